"""An engine on a held device, with requests that have names and states that count their steps."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from serving.batching.limits import Limits
from serving.batching.work import Request, Shape, Stage
from serving.device_thread import DeviceThread
from serving.metrics import WorkerMetrics
from tests.worker.held_device import ACTION_SECONDS, Counted, HeldDevice
from worker.engine import Engine
from worker.jobs import Job

SMALL = Shape(64, 64)
LARGE = Shape(128, 128)


@dataclass(frozen=True)
class Asked:
    """What a request asks for: so many rows of its name, or, when it is encoded, an error."""

    name: str
    rows: int
    error: Exception | None = None


@dataclass(frozen=True)
class State:
    """A row after some steps."""

    name: str
    steps_done: int = 0


NamedJob = Job[Asked, State, str]
NamedEngine = Engine[Asked, State, str]


class NamedActions(Counted):
    """What they do can be read off what they give."""

    def encode(self, requests: Sequence[Asked]) -> list[list[State] | Exception]:
        self.device.hold(Stage.ENCODE, [request.name for request in requests], len(requests))
        return [
            request.error or [State(f"{request.name}/{index}") for index in range(request.rows)] for request in requests
        ]

    def step(self, states: Sequence[State], size: int) -> list[State]:
        self.device.hold(Stage.STEP, [state.name for state in states], size)
        return [replace(state, steps_done=state.steps_done + 1) for state in states]

    def decode(self, state: State) -> str:
        self.device.hold(Stage.DECODE, [state.name])
        return f"{state.name} after {state.steps_done}"


@dataclass
class Notes:
    """A listener that writes down what it is told."""

    stages: list[Stage] = field(default_factory=list)
    steps: list[State] = field(default_factory=list)

    def begun(self, stage: Stage) -> None:
        self.stages.append(stage)

    def stepped(self, index: int, state: State) -> None:
        assert state.name.endswith(f"/{index}")
        self.steps.append(state)


@dataclass
class Rig:
    """An engine at work, and what is around it.

    Attributes:
        lost: what asyncio reported as lost: errors that nobody took, tasks that nobody ended.
        working: the engine's task.
    """

    device: HeldDevice
    actions: NamedActions
    engine: NamedEngine
    metrics: WorkerMetrics
    working: "asyncio.Task[None]"
    lost: list[str]

    def submit(
        self,
        name: str,
        *steps: int,
        error: Exception | None = None,
        shape: Shape = SMALL,
        within_seconds: float = math.inf,
        tenant: str = "",
        weight: float = 1.0,
        notes: Notes | None = None,
    ) -> NamedJob:
        """A request with a row for each number of steps."""
        now_seconds = self.engine.now_seconds()
        request = Request(name, shape, 1, now_seconds, now_seconds + within_seconds, tenant, weight)
        listener = Notes() if notes is None else notes
        return self.engine.submit(request, Asked(name, len(steps), error), steps, listener)

    def sample(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        return self.metrics.registry.get_sample_value(f"kandinsky_{name}", dict(labels or {}))


@asynccontextmanager
async def start(limits: Limits, *, max_queue_seconds: float = math.inf) -> AsyncIterator[Rig]:
    device, thread, metrics, lost = HeldDevice(), DeviceThread(), WorkerMetrics(), list[str]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: lost.append(context["message"]))
    actions = NamedActions(device)
    engine: NamedEngine = Engine("worker-0", actions, thread, metrics, limits, max_queue_seconds, device.clock)
    working = asyncio.create_task(engine.run())
    try:
        yield Rig(device, actions, engine, metrics, working, lost)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        device.open()
        await thread.close()


def measure(engine: NamedEngine, limits: Limits, shape: Shape = SMALL) -> None:
    """Company costs nothing: an action takes the same for every size."""
    for stage in Stage:
        for size in limits.sizes(stage, shape):
            engine.curve = engine.curve.measured(stage, shape, size, ACTION_SECONDS)
