"""What the engine measures, promises and tells of itself."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from imagegen.v1.common_pb2 import Bucket, WorkerStatus
from serving.batching.limits import Limits
from serving.batching.work import Kind, Stage
from serving.errors import DeadlineUnreachableError, QueueFullError
from tests.worker.rig import SMALL, measure, start

ALONE = Limits()
PAIRS = Limits({(stage, SMALL): (1, 2) for stage in (Stage.ENCODE, Stage.STEP)})


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


async def test_calibrating_measures_the_first_run_of_long_actions_without_what_compiling_took() -> None:
    took = iter((2.0, 3.0))
    async with start(PAIRS) as rig:

        def action() -> float:
            seconds = next(took)
            rig.device.clock.now_seconds += 60.0 + seconds
            rig.actions.compile_seconds += 60.0
            return seconds

        for size in (1, 2):
            given = await rig.engine.calibrate(Kind(Stage.STEP, SMALL, 2), size, action)
        assert given == 3.0
        assert rig.engine.curve.seconds == {(Stage.STEP, SMALL): {2: pytest.approx(2.0), 4: pytest.approx(3.0)}}


@pytest.mark.parametrize(("limits", "runs"), [(ALONE, 6), (PAIRS, 30)], ids=["one size", "a choice of sizes"])
async def test_of_short_runs_the_fastest_counts_because_others_may_have_shared_the_machine(
    limits: Limits, runs: int
) -> None:
    took = iter([0.02] * (runs - 2) + [0.01, 0.02])
    async with start(limits) as rig:

        def action() -> None:
            rig.device.clock.now_seconds += next(took)

        await rig.engine.calibrate(Kind(Stage.STEP, SMALL, 1), 1, action)
        assert rig.engine.curve.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(0.01)
        assert next(took, None) is None


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
        (await rig.device.reach(Stage.STEP, "r")).finish(1.3)
        await rig.device.work_off(job.done)
        assert rig.engine.curve.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(1.0 + (1.3 - 1.0) / 5)


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
        actions_done=1,
        acting=True,
    )
    assert status == expected
    assert not running.done.done()


async def test_a_device_that_stands_still_says_so_whoever_comes_and_leaves_until_it_moves() -> None:
    async with start(ALONE) as rig, aclosing(rig.engine.watch()) as states:
        job = rig.submit("stuck", 1)
        action = await rig.device.next()
        for name in ("r", "s"):
            rig.engine.drop(job)
            job = rig.submit(name, 1)
        rig.engine.drop(job)
        status = await anext(states)
        assert (status.queued_rows, status.running_rows) == (0, 0)
        assert (status.actions_done, status.acting) == (0, True)
        action.finish()
        status = await asyncio.wait_for(anext(states), 10)
        assert (status.actions_done, status.acting) == (1, False)


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
