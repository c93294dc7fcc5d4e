"""The engine of a device: asks the planner what is next, runs it on the device thread, commits it.

plan → act → commit. Deciding is `serving.batching`, pure code over a table; acting is the model's, one action at a
time; this file only carries results to whoever waits for them. Everything but the actions runs in the event loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from imagegen.v1.common_pb2 import Bucket, WorkerStatus
from serving.batching.curve import Curve
from serving.batching.estimates import Ahead, ahead_of, queued_work_seconds, unreachable_after_seconds
from serving.batching.limits import Limits
from serving.batching.planner import plan
from serving.batching.table import Batch, Table
from serving.batching.work import Kind, Request, Row, Stage
from serving.device_thread import DeviceThread
from serving.errors import DeadlineUnreachableError, DrainingError, QueueFullError
from serving.gate import RETRY_AFTER_SECONDS
from serving.metrics import WorkerMetrics
from worker.jobs import Actions, Input, Job, Listener, Output, State, Unit, perform, tried

Result = TypeVar("Result")

# How often watchers are told how far the work is: often enough to choose a worker by, no burden on short steps.
_WATCH_SECONDS = 0.25
# Of short actions the fastest run counts, for others may have shared the machine; of long ones there is but one run.
_CALIBRATION_RUNS = 6
_CALIBRATION_SECONDS = 0.6
# Where the planner chooses between sizes: one that looks dearer than it is would never be tried again.
_CHOICE_RUNS = 30


class Engine(Generic[Input, State, Output]):
    """One device and all its work.

    Args:
        worker: the name in WorkerStatus.
        actions: what the device does.
        device: its thread.
        metrics: where its work is counted.
        limits: which batch sizes there are, and the planner's settings.
        max_queue_seconds: work that may wait; a request that comes to more is refused.
        clock: seconds, rising.
    """

    def __init__(
        self,
        worker: str,
        actions: Actions[Input, State, Output],
        device: DeviceThread,
        metrics: WorkerMetrics,
        limits: Limits,
        max_queue_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker = worker
        self.curve = Curve()
        self._actions = actions
        self._device = device
        self._metrics = metrics
        self._limits = limits
        self._max_queue_seconds = max_queue_seconds
        self._clock = clock
        self._table = Table()
        self._jobs: dict[str, Job[Input, State, Output]] = {}
        self._changed = asyncio.Event()
        self._ready = False
        self._acting = False
        self._actions_done = 0
        self._draining = False
        self._broken_by: Exception | None = None

    def __repr__(self) -> str:
        return f"Engine({self._table!r}, {self.curve!r})"

    @property
    def queued_work_seconds(self) -> float:
        """Device seconds of all accepted work that is not done."""
        return queued_work_seconds(self._table, self.curve, self._limits)

    def now_seconds(self) -> float:
        """The time by the engine's clock, which requests' arrivals and deadlines are told in."""
        return self._clock()

    def ahead(self, job: Job[Input, State, Output]) -> Ahead:
        """What a job waits for."""
        return ahead_of(self._table, job.request.request_id, self.curve, self._limits, self._clock())

    @contextmanager
    def job(
        self, request: Request, request_input: Input, steps: Sequence[int], listener: Listener[State]
    ) -> Iterator[Job[Input, State, Output]]:
        """Have a request worked on for the length of the body; await `Job.done` in it. Leaving it early cancels.

        Arguments and errors as for `submit`.
        """
        job = self.submit(request, request_input, steps, listener)
        try:
            yield job
        finally:
            self.drop(job)

    def submit(
        self, request: Request, request_input: Input, steps: Sequence[int], listener: Listener[State]
    ) -> Job[Input, State, Output]:
        """Take a request in, to be worked on until `drop`, which is due in any case.

        Args:
            request: what the planner knows of it; its id is unique among what is running.
            request_input: what `Actions.encode` takes.
            steps: how many steps each of its rows has left.
            listener: told how it gets on.

        Raises:
            QueueFullError: too much work waits already.
            DeadlineUnreachableError: it cannot be done in time.
        """
        if self._broken_by is not None:
            raise RuntimeError("the engine has stopped") from self._broken_by
        names = [f"{request.request_id}/{index}" for index in range(len(steps))]
        job = Job[Input, State, Output](request, request_input, names, listener)
        rows = [Row(name, request, Stage.ENCODE, left) for name, left in zip(names, steps, strict=True)]
        with_it = self._table.add(rows)
        self._admit(with_it, request)
        self._table = with_it
        self._jobs[request.request_id] = job
        self._notify()
        return job

    def drop(self, job: Job[Input, State, Output]) -> None:
        """Forget a request, done or not. A step that it takes part in runs to its end, unheard."""
        self._table = self._table.remove(job.request.request_id)
        del self._jobs[job.request.request_id]
        # Nobody awaits it any more; an error in it must not be reported as lost.
        job.done.cancel()
        self._notify()

    async def calibrate(self, kind: Kind, size: int, action: Callable[[], Result]) -> Result:
        """Compile an action of this kind and size, and measure it, before requests come. Returns what it gave.

        Args:
            kind: what the action does.
            size: rows of its batch (requests, when encoding).
            action: does it once, on the device thread.
        """
        choice = len(self._limits.sizes(kind.stage, kind.shape)) > 1
        most_runs = _CHOICE_RUNS if choice else _CALIBRATION_RUNS
        runs: list[float] = []
        while len(runs) < most_runs and sum(runs) < _CALIBRATION_SECONDS:
            started, compile_seconds = self._clock(), self._actions.compile_seconds
            result = await self._device.run(action)
            runs.append(self._clock() - started - (self._actions.compile_seconds - compile_seconds))
        self.curve = self.curve.measured(kind.stage, kind.shape, size * kind.evaluations, min(runs))
        return result

    def ready(self) -> None:
        """From now on, whatever is compiled counts as compiled again."""
        self._ready = True

    async def run(self) -> None:
        """Work until cancelled. An error of the engine's own ends it, and all that waits or comes later gets it."""
        try:
            while True:
                changed = self._changed
                batch = plan(self._table, self.curve, self._limits, self._clock())
                if batch is None:
                    await changed.wait()
                else:
                    await self._act(batch)
        except Exception as error:
            self._broken_by = error
            for job in self._jobs.values():
                if not job.done.done():
                    job.done.set_exception(error)
            raise

    def drain(self) -> None:
        """Tell those who watch that no new work will be taken."""
        self._draining = True
        self._notify()

    def hand_over(self) -> None:
        """End all that is not done: whoever waits for it gets a DrainingError, and its states are where to go on."""
        for job in self._jobs.values():
            if not job.done.done():
                job.done.set_exception(DrainingError(RETRY_AFTER_SECONDS))
                self._table = self._table.remove(job.request.request_id)

    async def read(self, function: Callable[[State], Result], state: State) -> Result:
        """What a function reads from a state, on the device thread."""
        return await self._device.run(function, state)

    async def watch(self) -> AsyncGenerator[WorkerStatus, None]:
        """The state now, again when requests come, begin or go, and now and then while there is work."""
        while True:
            changed = self._changed
            yield self.status()
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _WATCH_SECONDS if self._jobs else None)

    def buckets(self, evaluations: int) -> list[Bucket]:
        """What is compiled and measured, and what it takes.

        Args:
            evaluations: of the network for a row under guidance.
        """
        curve, found = self.curve, []
        for (stage, shape), sizes in self._limits.buckets.items():
            if stage is Stage.STEP and curve.step_seconds(stage, shape, evaluations) > 0:
                encode_seconds = curve.step_seconds(Stage.ENCODE, shape, 1)
                decode_seconds = curve.step_seconds(Stage.DECODE, shape, 1)
                found += [
                    Bucket(
                        rows=rows,
                        width=shape.width_px,
                        height=shape.height_px,
                        step_seconds=curve.step_seconds(stage, shape, rows * evaluations),
                        overhead_seconds=encode_seconds + rows * decode_seconds,
                    )
                    for rows in sizes
                ]
        return found

    def status(self) -> WorkerStatus:
        """The state now."""
        running = {request_id for request_id, job in self._jobs.items() if job.started_seconds is not None}
        return WorkerStatus(
            worker=self.worker,
            draining=self._draining,
            queued_work_seconds=self.queued_work_seconds,
            queued_rows=sum(row.request.request_id not in running for row in self._table),
            running_rows=sum(row.request.request_id in running for row in self._table),
            caches=self._actions.caches(),
            actions_done=self._actions_done,
            acting=self._acting,
        )

    def _admit(self, with_it: Table, request: Request) -> None:
        now_seconds = self._clock()
        own_id = request.request_id
        late_seconds = unreachable_after_seconds(with_it, own_id, self.curve, self._limits, now_seconds)
        if late_seconds is not None:
            remaining_seconds = max(request.deadline_seconds - now_seconds, 0.0)
            raise DeadlineUnreachableError(late_seconds, remaining_seconds, self.queued_work_seconds)
        total_seconds = queued_work_seconds(with_it, self.curve, self._limits)
        if self._jobs and total_seconds > self._max_queue_seconds:
            raise QueueFullError(total_seconds - self._max_queue_seconds, self.queued_work_seconds)

    async def _act(self, batch: Batch) -> None:
        units = self._units(batch)
        started, compilations = self._clock(), self._actions.compilations
        self._acting = True
        for unit in units:
            unit.job.listener.begun(batch.kind.stage)
            if unit.job.started_seconds is None:
                unit.job.started_seconds = started
                self._metrics.waited(started - unit.job.request.arrival_seconds)
                self._notify()
        results = await self._device.run(perform, self._actions, batch, units)
        self._acting = False
        self._actions_done += 1
        if not self._jobs:  # nothing else would tell those who watch that the device is free
            self._notify()
        seconds = self._clock() - started
        self._measure(batch, seconds, self._actions.compilations - compilations)
        self._table = self._table.advance(batch, seconds)
        for unit, result in zip(units, results, strict=True):
            # Results of a job that has left meanwhile, or of which another row failed, are dropped.
            if self._jobs.get(unit.job.request.request_id) is unit.job and not unit.job.done.done():
                self._take(unit, batch, result, seconds)

    def _units(self, batch: Batch) -> list[Unit[Input, State, Output]]:
        """What the action consists of: requests when encoding, else rows."""
        jobs = [self._jobs[row.request.request_id] for row in batch.rows]
        if batch.kind.stage is Stage.ENCODE:
            return [Unit(job, 0) for job in dict.fromkeys(jobs)]
        return [Unit(job, job.rows.index(row.row_id)) for job, row in zip(jobs, batch.rows, strict=True)]

    def _measure(self, batch: Batch, seconds: float, compilations: int) -> None:
        """Take a measurement in; an action that compiled says nothing of the next."""
        kind = batch.kind
        self._metrics.action(kind.stage.name.lower(), len(batch.rows), seconds)
        if not compilations:
            self.curve = self.curve.measured(kind.stage, kind.shape, batch.evaluations, seconds)
        elif self._ready:
            self._metrics.recompiled(compilations)

    def _take(
        self,
        unit: Unit[Input, State, Output],
        batch: Batch,
        result: Any,
        seconds: float,
    ) -> None:
        job, stage = unit.job, batch.kind.stage
        job.action_seconds[stage] = job.action_seconds.get(stage, 0.0) + seconds
        if isinstance(result, Exception):
            self._fail(job, result)
        elif stage is Stage.ENCODE:
            job.states = result
        elif stage is Stage.STEP:
            job.states[unit.index] = result
            now_seconds = self._clock()
            began_seconds = now_seconds - seconds if job.stepping_seconds is None else job.stepping_seconds[0]
            job.stepping_seconds = (began_seconds, now_seconds)
            rows = len(batch.rows)
            job.steps_by_batch_size[rows] = job.steps_by_batch_size.get(rows, 0) + 1
            told = tried(job.listener.stepped, unit.index, result)
            if isinstance(told, Exception):  # a preview that cannot be made ends its own request, not the engine
                self._fail(job, told)
        else:
            job.outputs[unit.index] = result
            if len(job.outputs) == len(job.states):
                job.done.set_result(None)

    def _fail(self, job: Job[Input, State, Output], error: Exception) -> None:
        """No more work on a job, whose owner is told why."""
        job.done.set_exception(error)
        self._table = self._table.remove(job.request.request_id)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
