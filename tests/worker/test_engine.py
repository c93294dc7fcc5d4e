"""The engine between its planner and its device: who takes part in what, and who is told what."""

import asyncio
import gc
import signal

import pytest

from serving.batching.limits import Limits
from serving.batching.work import Request, Stage
from serving.errors import DrainingError
from tests.worker.held_device import Action
from tests.worker.rig import LARGE, SMALL, Asked, Notes, measure, start
from worker.service import stop_when_broken

ALONE = Limits()
PAIRS = Limits({(stage, SMALL): (1, 2) for stage in (Stage.ENCODE, Stage.STEP)})
FOURS = Limits({(Stage.STEP, SMALL): (1, 4)})


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


async def test_news_that_cannot_be_told_end_their_own_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with start(ALONE) as rig:
        deaf, other = rig.submit("deaf", 2), rig.submit("other", 2)
        monkeypatch.setattr(deaf.listener, "stepped", lambda *_: 1 / 0)
        await rig.device.work_off(other.done)
        with pytest.raises(ZeroDivisionError):
            await deaf.done
        assert other.outputs == {0: "other/0 after 2"}


async def test_a_server_whose_engine_has_broken_stops() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)

    async def breaks() -> None:
        raise ZeroDivisionError

    working = asyncio.create_task(breaks())
    working.add_done_callback(stop_when_broken)
    await asyncio.wait_for(stopped.wait(), 10)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


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
