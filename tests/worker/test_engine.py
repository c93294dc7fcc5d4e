"""The engine between its planner and its device: who takes part in what, and who is told what."""

import asyncio
import gc
from contextlib import aclosing
from typing import Any

import pytest

from imagegen.v1.common_pb2 import Bucket, WorkerStatus
from serving.batching.limits import Limits
from serving.batching.work import Kind, Request, Stage
from serving.errors import DeadlineUnreachableError, DrainingError, QueueFullError
from tests.worker.held_device import Action
from tests.worker.rig import LARGE, SMALL, Asked, Notes, measure, start

ALONE = Limits()
PAIRS = Limits({(stage, SMALL): (1, 2) for stage in (Stage.ENCODE, Stage.STEP)})
FOURS = Limits({(Stage.STEP, SMALL): (1, 4)})


def seen(action: Action) -> tuple[Stage, list[str], int]:
    return action.stage, action.rows, action.size


def of_stage(actions: list[Action], stage: Stage) -> list[list[str]]:
    return [action.rows for action in actions if action.stage is stage]


async def test_rows_join_and_leave_a_batch_between_its_steps() -> None:
    async with start(PAIRS) as rig:
        measure(rig.engine, PAIRS)
        early = rig.submit("early", 4)
        step = await rig.device.reach(Stage.STEP, "early")
        late = rig.submit("late", 4)
        step.finish()
        actions = await rig.device.work_off(early.done, late.done)
        assert of_stage(actions, Stage.ENCODE) == [["late"]]
        steps = [["early/0"], *of_stage(actions, Stage.STEP)]
    together = [set(rows) for rows in steps if len(rows) == 2]
    assert together == [{"early/0", "late/0"}] * 3
    assert [rows for rows in steps if len(rows) == 1] == [["early/0"], ["late/0"]]
    assert early.outputs == {0: "early/0 after 4"}
    assert late.outputs == {0: "late/0 after 4"}
    assert early.steps_by_batch_size == late.steps_by_batch_size == {1: 1, 2: 3}


async def test_a_batch_is_filled_up_to_a_compiled_size_and_each_row_gets_its_own_result() -> None:
    notes = Notes()
    async with start(FOURS) as rig:
        measure(rig.engine, FOURS)
        job = rig.submit("r", 3, 2, 1, notes=notes)
        actions = await rig.device.work_off(job.done)
    assert of_stage(actions, Stage.ENCODE) == [["r"]]
    steps = [(sorted(action.rows), action.size) for action in actions if action.stage is Stage.STEP]
    assert steps == [(["r/0", "r/1", "r/2"], 4), (["r/0", "r/1"], 4), (["r/0"], 1)]
    assert job.outputs == {0: "r/0 after 3", 1: "r/1 after 2", 2: "r/2 after 1"}
    assert job.steps_by_batch_size == {3: 3, 2: 2, 1: 1}
    assert [state.steps_done for state in notes.steps if state.name == "r/0"] == [1, 2, 3]


async def test_the_listener_is_told_each_stage_before_it_is_run() -> None:
    notes = Notes()
    async with start(ALONE) as rig:
        job = rig.submit("r", 1, notes=notes)
        for stage in Stage:
            action = await rig.device.next()
            assert (action.stage, notes.stages[-1]) == (stage, stage)
            action.finish()
        await job.done
    assert notes.stages == list(Stage)


async def test_a_row_without_steps_is_decoded_at_once() -> None:
    async with start(ALONE) as rig:
        job = rig.submit("r", 0)
        assert [action.stage for action in await rig.device.work_off(job.done)] == [Stage.ENCODE, Stage.DECODE]
    assert job.outputs == {0: "r/0 after 0"}


async def test_what_a_job_had_of_the_device_is_written_down() -> None:
    async with start(ALONE) as rig:
        first = rig.submit("first", 2)
        (await rig.device.next()).finish(7.0)
        (await rig.device.next()).finish(2.0)
        step = await rig.device.next()
        second = rig.submit("second", 3)
        step.finish(4.0)
        (await rig.device.next()).finish(3.0)
        await first.done
        await rig.device.work_off(second.done)
        assert rig.sample("queue_wait_seconds_sum") == pytest.approx(7.0)
        assert rig.sample("queue_wait_seconds_count") == 2
        assert rig.sample("device_busy_seconds_total") == pytest.approx(16.0 + 5.0)
    assert first.action_seconds == {Stage.ENCODE: 7.0, Stage.STEP: 6.0, Stage.DECODE: 3.0}
    assert first.stepping_seconds == (7.0, 13.0)
    assert (first.started_seconds, second.started_seconds) == (0.0, 16.0)


async def test_a_step_that_fails_fails_those_that_took_part_and_nobody_else() -> None:
    async with start(PAIRS) as rig:
        measure(rig.engine, PAIRS)
        pair, other = rig.submit("pair", 2, 2), rig.submit("other", 2, shape=LARGE)
        step = await rig.device.reach(Stage.STEP, "pair")
        assert sorted(step.rows) == ["pair/0", "pair/1"]
        step.fail(ZeroDivisionError("in the step"))
        with pytest.raises(ZeroDivisionError, match="in the step"):
            await pair.done
        actions = await rig.device.work_off(other.done)
        assert not rig.working.done()
        rig.engine.drop(pair)
        assert rig.engine.status().queued_rows + rig.engine.status().running_rows == 0
    assert all(row.startswith("other") for action in actions for row in action.rows)
    assert other.outputs == {0: "other/0 after 2"}


async def test_all_who_shared_a_failing_step_are_told() -> None:
    async with start(PAIRS) as rig:
        measure(rig.engine, PAIRS)
        jobs = [rig.submit(name, 3) for name in ("a", "b")]
        while len((step := await rig.device.reach(Stage.STEP, "a")).rows) < 2:
            step.finish()
        step.fail(ZeroDivisionError())
        results = await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError] * 2


async def test_one_request_that_cannot_be_encoded_does_not_hurt_its_neighbour() -> None:
    async with start(PAIRS) as rig:
        measure(rig.engine, PAIRS)
        first = rig.submit("first", 2)
        encode = await rig.device.next()
        good, bad = rig.submit("good", 2), rig.submit("bad", 2, error=ValueError("no such picture"))
        encode.finish()
        shared = await rig.device.reach(Stage.ENCODE, "bad")
        assert sorted(shared.rows) == ["bad", "good"]
        shared.finish()
        with pytest.raises(ValueError, match="no such picture"):
            await bad.done
        await rig.device.work_off(first.done, good.done)
    assert good.outputs == {0: "good/0 after 2"}


async def test_an_encoding_that_fails_as_a_whole_fails_all_its_requests() -> None:
    async with start(PAIRS) as rig:
        measure(rig.engine, PAIRS)
        rig.submit("first", 9)
        encode = await rig.device.next()
        jobs = [rig.submit(name, 2) for name in ("a", "b")]
        encode.finish()
        shared = await rig.device.reach(Stage.ENCODE, "a")
        assert sorted(shared.rows) == ["a", "b"]
        shared.fail(ZeroDivisionError())
        results = await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError] * 2


async def test_a_job_of_which_one_row_cannot_be_decoded_fails_once() -> None:
    async with start(ALONE) as rig:
        job, next_one = rig.submit("r", 1, 1), rig.submit("s", 4)
        decode = await rig.device.reach(Stage.DECODE, "r")
        decode.fail(ValueError("no picture"))
        with pytest.raises(ValueError, match="no picture"):
            await job.done
        actions = await rig.device.work_off(next_one.done)
    assert not [action for action in actions if action.rows[0].startswith("r")]
    assert job.outputs == {}


@pytest.mark.parametrize("stage", list(Stage))
async def test_a_job_that_leaves_during_an_action_is_not_touched_by_its_end(stage: Stage) -> None:
    notes = Notes()
    async with start(PAIRS) as rig:
        measure(rig.engine, PAIRS)
        leaver, stayer = rig.submit("leaver", 2, notes=notes), rig.submit("stayer", 5)
        action = await rig.device.reach(stage, "leaver")
        before = list(leaver.states), list(notes.steps), dict(leaver.action_seconds)
        rig.engine.drop(leaver)
        action.finish()
        actions = await rig.device.work_off(stayer.done)
    assert leaver.done.cancelled()
    assert (leaver.states, notes.steps, leaver.action_seconds) == before
    assert not [action for action in actions for row in action.rows if row.startswith("leaver")]
    assert stayer.outputs == {0: "stayer/0 after 5"}


@pytest.mark.parametrize("stage", list(Stage))
async def test_a_new_request_of_the_same_id_does_not_get_the_old_ones_results(stage: Stage) -> None:
    async with start(ALONE) as rig:
        old = rig.submit("r", 1)
        action = await rig.device.reach(stage, "r")
        rig.engine.drop(old)
        rig.device.clock.now_seconds += 0.5
        new = rig.submit("r", 3)
        action.finish()
        actions = await rig.device.work_off(new.done)
    assert [action.stage for action in actions] == [Stage.ENCODE, *[Stage.STEP] * 3, Stage.DECODE]
    assert new.outputs == {0: "r/0 after 3"}


async def test_leaving_the_body_of_a_job_drops_it() -> None:
    async with start(ALONE) as rig:
        request = Request("r", SMALL, 1, 0.0)
        with rig.engine.job(request, Asked("r", 1), [1], Notes()) as job:
            assert rig.engine.status().queued_rows == 1
        assert rig.engine.status().queued_rows == 0
        assert job.done.cancelled()


async def test_an_error_that_nobody_waits_for_any_more_is_not_reported_as_lost() -> None:
    async with start(ALONE) as rig:
        job = rig.submit("r", 1)
        (await rig.device.next()).fail(ZeroDivisionError())
        await asyncio.wait((job.done,))
        rig.engine.drop(job)
        del job
        gc.collect()
        assert rig.lost == []


async def test_an_engine_that_breaks_tells_all_who_wait_and_all_who_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async with start(ALONE) as rig:
        jobs = [rig.submit(name, 2) for name in ("a", "b")]
        step = await rig.device.reach(Stage.STEP, "a")
        monkeypatch.setattr("worker.engine.plan", lambda *_: 1 / 0)
        step.finish()
        results = await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError] * 2
        with pytest.raises(RuntimeError, match="the engine has stopped") as caught:
            rig.submit("c", 1)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            await rig.working


async def test_work_that_is_handed_over_ends_where_it_was() -> None:
    async with start(ALONE) as rig:
        done, running, waiting = rig.submit("done", 1), rig.submit("running", 3), rig.submit("waiting", 3)
        await rig.device.work_off(done.done)
        step = await rig.device.reach(Stage.STEP, "running")
        step.finish()
        in_step = await rig.device.reach(Stage.STEP, "running")
        rig.engine.hand_over()
        for job in (running, waiting):
            with pytest.raises(DrainingError):
                await job.done
        assert done.done.result() is None
        assert rig.engine.queued_work_seconds == 0
        reading = asyncio.ensure_future(rig.engine.read(lambda state: state.steps_done, running.states[0]))
        in_step.finish()
        assert await reading == 1  # of the two, as the second had not ended
        assert waiting.states == []


async def test_work_beyond_what_may_wait_is_refused_with_the_time_to_come_back() -> None:
    async with start(ALONE, max_queue_seconds=10.0) as rig:
        measure(rig.engine, ALONE)
        rig.submit("long", 20)  # alone it may be as long as it likes
        with pytest.raises(QueueFullError) as caught:
            rig.submit("r", 3)
        assert rig.engine.queued_work_seconds == pytest.approx(22.0)
        assert rig.engine.status().queued_rows == 1
    assert caught.value.retry_after_seconds == pytest.approx(22.0 + 5.0 - 10.0)
    assert float(caught.value.metadata["estimated_wait_seconds"]) == pytest.approx(22.0)


async def test_a_refused_request_leaves_its_id_free() -> None:
    async with start(ALONE, max_queue_seconds=10.0) as rig:
        measure(rig.engine, ALONE)
        running = rig.submit("running", 5)
        with pytest.raises(QueueFullError):
            rig.submit("r", 5)
        await rig.device.work_off(running.done)
        rig.engine.drop(running)
        await rig.device.work_off(rig.submit("r", 5).done)


async def test_a_deadline_that_cannot_be_met_is_refused_at_once_with_honest_numbers() -> None:
    async with start(ALONE) as rig:
        measure(rig.engine, ALONE)
        rig.submit("promised", 3, within_seconds=5.0)
        with pytest.raises(DeadlineUnreachableError) as caught:
            rig.submit("r", 4, within_seconds=10.0)
        assert rig.engine.status().queued_rows == 1
        rig.submit("s", 4, within_seconds=11.5)
    assert str(caught.value) == "it would take 11.0 s, but the deadline is in 10.0 s"
    assert caught.value.metadata == {"estimated_seconds": "11.000"}
    assert caught.value.retry_after_seconds == pytest.approx(5.0)


async def test_nothing_is_refused_while_nothing_is_measured() -> None:
    async with start(ALONE, max_queue_seconds=0.0) as rig:
        for number in range(5):
            rig.submit(str(number), 1000, within_seconds=0.001)


async def test_calibrating_measures_the_second_run_because_the_first_compiles() -> None:
    took = iter((60.0, 2.0, 50.0, 3.0))
    async with start(PAIRS) as rig:

        def action() -> None:
            rig.device.clock.now_seconds += next(took)

        for size in (1, 2):
            await rig.engine.calibrate(Kind(Stage.STEP, SMALL, 2), size, action)
        assert rig.engine.curve.seconds == {(Stage.STEP, SMALL): {2: 2.0, 4: 3.0}}


async def test_of_short_runs_the_fastest_counts_because_others_may_have_shared_the_machine() -> None:
    took = iter((9.0, 0.3, 0.2, 0.25))
    async with start(ALONE) as rig:

        def action() -> None:
            rig.device.clock.now_seconds += next(took)

        await rig.engine.calibrate(Kind(Stage.DECODE, SMALL, 1), 1, action)
        assert rig.engine.curve.step_seconds(Stage.DECODE, SMALL, 1) == pytest.approx(0.2)


async def test_only_what_is_compiled_after_readiness_is_counted_and_none_of_it_is_measured() -> None:
    async with start(ALONE) as rig:
        before = rig.submit("before", 1)
        action = await rig.device.next()
        rig.actions.compilations += 2
        action.finish(60.0)
        await rig.device.work_off(before.done)
        rig.engine.ready()
        assert rig.sample("recompiles_total") == 0
        after = rig.submit("after", 1)
        action = await rig.device.next()
        rig.actions.compilations += 3
        action.finish(60.0)
        await rig.device.work_off(after.done)
        assert rig.sample("recompiles_total") == 3
        assert (Stage.ENCODE, SMALL) not in rig.engine.curve.seconds
        assert rig.engine.curve.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(1.0)


async def test_every_action_moves_the_curve() -> None:
    async with start(ALONE) as rig:
        measure(rig.engine, ALONE)
        job = rig.submit("r", 1)
        (await rig.device.reach(Stage.STEP, "r")).finish(6.0)
        await rig.device.work_off(job.done)
        assert rig.engine.curve.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(1.0 + (6.0 - 1.0) / 5)


async def test_the_status_counts_what_waits_and_what_runs() -> None:
    async with start(ALONE) as rig:
        measure(rig.engine, ALONE)
        running = rig.submit("running", 1, 2)
        encode = await rig.device.next()
        rig.submit("waiting", 30, 30, 30)
        encode.finish()
        await rig.device.next()
        status = rig.engine.status()
    expected = WorkerStatus(
        worker="worker-0",
        queued_rows=3,
        running_rows=2,
        queued_work_seconds=(1 + 2 + 2) + (1 + 90 + 3),
        caches=rig.actions.caches(),
    )
    assert status == expected
    assert not running.done.done()


async def test_those_who_watch_see_work_come_begin_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine._WATCH_SECONDS", 60)  # so that they are told, and need not look
    async with start(ALONE) as rig, aclosing(rig.engine.watch()) as states:

        async def told(**wanted: int) -> None:
            async with asyncio.timeout(10):
                async for status in states:
                    if all(getattr(status, name) == value for name, value in wanted.items()):
                        return

        await told(queued_rows=0, running_rows=0)
        job = rig.submit("r", 1)
        await told(running_rows=1)
        waiting, next_one = rig.submit("s", 1), rig.submit("t", 1)
        await told(queued_rows=2, running_rows=1)
        rig.engine.drop(waiting)
        await told(queued_rows=1, running_rows=1)
        (await rig.device.reach(Stage.DECODE, "r")).finish()
        await told(queued_rows=0, running_rows=1)
        rig.engine.drop(job)
        rig.engine.drop(next_one)
        await told(queued_rows=0, running_rows=0)
        rig.engine.drain()
        await told(draining=True)


async def test_those_who_watch_see_work_get_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine._WATCH_SECONDS", 0.001)
    async with start(ALONE) as rig, aclosing(rig.engine.watch()) as states:
        measure(rig.engine, ALONE)
        rig.submit("r", 8)
        encode = await rig.device.next()
        assert (await anext(states)).queued_work_seconds == 10
        encode.finish()
        async with asyncio.timeout(10):
            async for status in states:
                if status.queued_work_seconds == 9:
                    break


async def test_an_idle_engine_says_nothing_until_something_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine._WATCH_SECONDS", 0)
    async with start(ALONE) as rig, aclosing(rig.engine.watch()) as states:
        await anext(states)
        waiting: asyncio.Task[Any] = asyncio.ensure_future(anext(states))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        rig.engine.drain()
        assert (await asyncio.wait_for(waiting, 10)).draining


async def test_buckets_are_what_is_compiled_and_measured() -> None:
    async with start(PAIRS) as rig:
        assert rig.engine.buckets(evaluations=2) == []
        curve = rig.engine.curve
        for stage, evaluations, seconds in (
            (Stage.ENCODE, 1, 0.25),
            (Stage.STEP, 2, 1.0),
            (Stage.STEP, 4, 1.5),
            (Stage.DECODE, 1, 0.5),
        ):
            curve = curve.measured(stage, SMALL, evaluations, seconds)
        rig.engine.curve = curve
        buckets = rig.engine.buckets(evaluations=2)
    assert buckets == [
        Bucket(rows=1, width=64, height=64, step_seconds=1.0, overhead_seconds=0.75),
        Bucket(rows=2, width=64, height=64, step_seconds=1.5, overhead_seconds=1.25),
    ]


async def test_tenants_get_the_device_by_their_weights() -> None:
    async with start(ALONE) as rig:
        measure(rig.engine, ALONE)
        for number in range(40):
            rig.submit(f"light-{number}", 8, tenant="light", weight=1.0)
            rig.submit(f"heavy-{number}", 8, tenant="heavy", weight=3.0)
        counts = {"light": 0, "heavy": 0}
        for _ in range(200):
            action = await rig.device.next()
            counts[action.rows[0].partition("-")[0]] += 1
            action.finish()
    assert counts["heavy"] / counts["light"] == pytest.approx(3.0, rel=0.1)
