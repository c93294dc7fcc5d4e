"""A request in the engine: what the device does for it, who is told, and how far it is."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from imagegen.v1.common_pb2 import CacheStatus
from serving.batching.table import Batch
from serving.batching.work import Request, Stage

Input = TypeVar("Input")
State = TypeVar("State")
Output = TypeVar("Output")


class Actions(Protocol[Input, State, Output]):  # type: ignore[misc]  # variance is nobody's concern here
    """What the device does. Runs on the device thread; returns when the device has finished."""

    @property
    def compilations(self) -> int:
        """How many graphs have been compiled since the process started."""

    @property
    def compile_seconds(self) -> float:
        """What compiling them took, which is no part of what an action takes."""

    def caches(self) -> list[CacheStatus]:
        """How what it remembers is doing; asked from any thread."""

    def encode(self, requests: Sequence[Input]) -> list[list[State] | Exception]:
        """The states of each request's rows before their first step, or why there are none."""

    def step(self, states: Sequence[State], size: int) -> list[State]:
        """The states after one more step, of rows of one kind, in a batch that is filled up to a compiled size."""

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
class Unit(Generic[Input, State, Output]):
    """One request to encode, or one row to step or decode.

    Attributes:
        job: the request, or the row's.
        index: the row's number.
    """

    job: Job[Input, State, Output]
    index: int


def perform(
    actions: Actions[Input, State, Output], batch: Batch, units: Sequence[Unit[Input, State, Output]]
) -> list[Any]:
    """Run an action; what it gives for each unit, an exception where it failed."""
    if batch.kind.stage is Stage.ENCODE:
        results = tried(actions.encode, [unit.job.input for unit in units])
    else:
        states = [unit.job.states[unit.index] for unit in units]
        if batch.kind.stage is Stage.DECODE:
            return [tried(actions.decode, state) for state in states]
        results = tried(actions.step, states, batch.size)
    return [results] * len(units) if isinstance(results, Exception) else results


def tried(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, or the exception it raises, for whoever waits for the result."""
    try:
        return function(*arguments)
    except Exception as error:  # told to whoever waits for the result
        return error
