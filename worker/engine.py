"""The engine of a device: asks the planner what is next, runs it on the device thread, commits it.

plan → act → commit. Deciding is `serving.batching`, pure code over a table; acting is the model's, one action at a
time; this file only carries results to whoever waits for them. Everything but the actions runs in the event loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from imagegen.v1.common_pb2 import WorkerStatus
from serving.batching.curve import Curve
from serving.batching.estimates import Ahead, ahead_of, queued_work_seconds, unreachable_after_seconds
from serving.batching.limits import Limits
from serving.batching.planner import plan
from serving.batching.table import Batch, Table
from serving.batching.work import Kind, Request, Row, Stage
from serving.device_thread import DeviceThread
from serving.errors import DeadlineUnreachableError, QueueFullError

Input = TypeVar("Input")
State = TypeVar("State")
Output = TypeVar("Output")


class Actions(Protocol[Input, State, Output]):  # type: ignore[misc]  # variance is nobody's concern here
    """What the device does. Runs on the device thread; returns when the device has finished."""

    def encode(self, request: Input) -> list[State]:
        """The states of a request's rows before their first step."""

    def step(self, states: Sequence[State]) -> list[State]:
        """The states after one more step, of rows of one shape."""

    def decode(self, state: State) -> Output:
        """What a row that is done gives."""


class Listener(Protocol[State]):  # type: ignore[misc]  # likewise
    """Who is told how a request gets on. Called in the event loop."""

    def begun(self, stage: Stage) -> None:
        """The request takes part in an action."""

    def stepped(self, index: int, state: State) -> None:
        """A row has been stepped."""


@dataclass(eq=False)
class Job(Generic[Input, State, Output]):
    """A request in the engine.

    Attributes:
        request: what the planner knows of it.
        input: what `Actions.encode` takes.
        rows: ids of its rows, in the order of their numbers.
        listener: told how it gets on.
        states: of each row; empty before encoding.
        outputs: of each row that is decoded, by its number.
        started_seconds: when it first had the device, by the engine's clock; None while it waits.
        stepping_seconds: when its first step began and its latest ended, by the engine's clock; None before.
        action_seconds: device seconds of the actions it took part in, by stage.
        steps_by_batch_size: how many of its steps ran in a batch of how many rows.
        done: resolves when all rows are decoded.
    """

    request: Request
    input: Input
    rows: list[str]
    listener: Listener[State]
    states: list[State] = field(default_factory=list)
    outputs: dict[int, Output] = field(default_factory=dict)
    started_seconds: float | None = None
    stepping_seconds: tuple[float, float] | None = None
    action_seconds: dict[Stage, float] = field(default_factory=dict)
    steps_by_batch_size: dict[int, int] = field(default_factory=dict)
    done: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(frozen=True, eq=False)
class _Unit(Generic[Input, State, Output]):
    """One request to encode, or one row to step or decode."""

    job: Job[Input, State, Output]
    index: int


class Engine(Generic[Input, State, Output]):
    """One device and all its work.

    Args:
        worker: the name in WorkerStatus.
        actions: what the device does.
        device: its thread.
        limits: which batch sizes there are, and the planner's settings.
        max_queue_seconds: work that may wait; a request that comes to more is refused.
        clock: seconds, rising.
    """

    def __init__(
        self,
        worker: str,
        actions: Actions[Input, State, Output],
        device: DeviceThread,
        limits: Limits,
        max_queue_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker = worker
        self.curve = Curve()
        self.compiled: set[tuple[Kind, int]] = set()
        self._actions = actions
        self._device = device
        self._limits = limits
        self._max_queue_seconds = max_queue_seconds
        self._clock = clock
        self._table = Table()
        self._jobs: dict[str, Job[Input, State, Output]] = {}
        self._changed = asyncio.Event()
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
        try:
            yield job
        finally:
            self._table = self._table.remove(request.request_id)
            del self._jobs[request.request_id]
            # Nobody awaits it any more; an error in it must not be reported as lost.
            job.done.cancel()
            self._notify()

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

    async def watch(self) -> AsyncGenerator[WorkerStatus, None]:
        """The state now, and again whenever it has changed; slow readers skip states."""
        while True:
            changed = self._changed
            yield self.status()
            await changed.wait()

    def status(self) -> WorkerStatus:
        """The state now."""
        running = {request_id for request_id, job in self._jobs.items() if job.started_seconds is not None}
        return WorkerStatus(
            worker=self.worker,
            draining=self._draining,
            queued_work_seconds=self.queued_work_seconds,
            queued_rows=sum(row.request.request_id not in running for row in self._table),
            running_rows=sum(row.request.request_id in running for row in self._table),
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
        started = self._clock()
        for unit in units:
            unit.job.listener.begun(batch.kind.stage)
            if unit.job.started_seconds is None:
                unit.job.started_seconds = started
        self._notify()
        results = await self._device.run(_perform, self._actions, batch.kind.stage, units)
        seconds = self._clock() - started
        self._measure(batch, seconds)
        self._table = self._table.advance(batch, seconds)
        for unit, result in zip(units, results, strict=True):
            # Results of a job that has left meanwhile, or of which another row failed, are dropped.
            if self._jobs.get(unit.job.request.request_id) is unit.job and not unit.job.done.done():
                self._take(unit, batch, result, seconds)
        self._notify()

    def _units(self, batch: Batch) -> "list[_Unit[Input, State, Output]]":
        """What the action consists of: requests when encoding, else rows."""
        jobs = [self._jobs[row.request.request_id] for row in batch.rows]
        if batch.kind.stage is Stage.ENCODE:
            return [_Unit(job, 0) for job in dict.fromkeys(jobs)]
        return [_Unit(job, job.rows.index(row.row_id)) for job, row in zip(jobs, batch.rows, strict=True)]

    def _measure(self, batch: Batch, seconds: float) -> None:
        """Take a measurement in; the first action of a kind and size compiles, and says nothing of the next."""
        key = (batch.kind, batch.size)
        if key in self.compiled:
            self.curve = self.curve.measured(batch.kind.stage, batch.kind.shape, batch.evaluations, seconds)
        self.compiled.add(key)

    def _take(
        self,
        unit: "_Unit[Input, State, Output]",
        batch: Batch,
        result: Any,
        seconds: float,
    ) -> None:
        job, stage = unit.job, batch.kind.stage
        job.action_seconds[stage] = job.action_seconds.get(stage, 0.0) + seconds
        if isinstance(result, Exception):
            job.done.set_exception(result)
            self._table = self._table.remove(job.request.request_id)
        elif stage is Stage.ENCODE:
            job.states = result
        elif stage is Stage.STEP:
            job.states[unit.index] = result
            now_seconds = self._clock()
            began_seconds = now_seconds - seconds if job.stepping_seconds is None else job.stepping_seconds[0]
            job.stepping_seconds = (began_seconds, now_seconds)
            rows = len(batch.rows)
            job.steps_by_batch_size[rows] = job.steps_by_batch_size.get(rows, 0) + 1
            job.listener.stepped(unit.index, result)
        else:
            job.outputs[unit.index] = result
            if len(job.outputs) == len(job.states):
                job.done.set_result(None)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _perform(
    actions: Actions[Input, State, Output], stage: Stage, units: Sequence[_Unit[Input, State, Output]]
) -> list[Any]:
    """Run an action; what it gives for each unit, an exception where it failed."""
    if stage is Stage.ENCODE:
        return [_tried(actions.encode, unit.job.input) for unit in units]
    states = [unit.job.states[unit.index] for unit in units]
    if stage is Stage.DECODE:
        return [_tried(actions.decode, state) for state in states]
    stepped = _tried(actions.step, states)
    return [stepped] * len(units) if isinstance(stepped, Exception) else stepped


def _tried(function: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return function(argument)
    except Exception as error:  # told to whoever waits for the result
        return error
