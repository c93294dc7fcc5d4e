"""A device that does nothing until the test lets it: every action waits, in the device thread, to be let go."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from imagegen.v1.common_pb2 import CacheStatus
from serving.batching.work import Stage

ACTION_SECONDS = 1.0
"""What an action takes by the engine's clock, unless a test says otherwise."""


class Clock:
    """The engine's clock. Only actions move it, so what the engine measures is exact."""

    def __init__(self) -> None:
        self.now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


class Action:
    """What the device has begun.

    Attributes:
        stage: what is done.
        rows: names of what takes part, in the batch's order: requests when encoding, else rows.
        size: what the batch is filled up to; 1 where it is not filled up.
    """

    def __init__(self, stage: Stage, rows: Sequence[str], size: int, seconds: float) -> None:
        self.stage = stage
        self.rows = list(rows)
        self.size = size
        self._released = threading.Event()
        self._seconds = seconds
        self._error: Exception | None = None

    def __repr__(self) -> str:
        return f"Action({self.stage.name}, {self.rows}, {self.size})"

    def finish(self, seconds: float | None = None) -> None:
        """Let it end, as if it had taken so long, or else as long as actions take on its device."""
        self._seconds = self._seconds if seconds is None else seconds
        self._released.set()

    def fail(self, error: Exception) -> None:
        """Let it end with an error."""
        self._error = error
        self._released.set()

    def wait(self) -> float:
        """In the device thread: the seconds it has taken, once the test lets it end."""
        if not self._released.wait(20):
            raise TimeoutError(f"nobody let {self!r} go")
        if self._error is not None:
            raise self._error
        return self._seconds


class HeldDevice:
    """Shows each action to the test.

    Args:
        action_seconds: what actions take by its clock.

    Attributes:
        clock: for the engine.
    """

    def __init__(self, action_seconds: float = ACTION_SECONDS) -> None:
        self.clock = Clock()
        self._action_seconds = action_seconds
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Queue[Action] = asyncio.Queue()
        self._latest: Action | None = None
        self._is_open = False

    def hold(self, stage: Stage, rows: Sequence[str], size: int = 1) -> None:
        """In the device thread: wait for the test."""
        action = self._latest = Action(stage, rows, size, self._action_seconds)
        if self._is_open:
            action.finish()
        self._loop.call_soon_threadsafe(self._begun.put_nowait, action)
        self.clock.now_seconds += action.wait()

    async def next(self) -> Action:
        """The next action, once it has begun."""
        return await asyncio.wait_for(self._begun.get(), 10)

    async def reach(self, stage: Stage, name: str) -> Action:
        """Let actions end up to the one of this stage in which a row or request of this name takes part."""
        while True:
            action = await self.next()
            if action.stage is stage and any(row.partition("/")[0] == name for row in action.rows):
                return action
            action.finish()

    async def work_off(self, *futures: "asyncio.Future[Any]") -> list[Action]:
        """Let all actions end until the futures are done; what was done, in order. Raises what they raise."""
        done: list[Action] = []
        ended = asyncio.gather(*futures)
        while not ended.done():
            begun = asyncio.ensure_future(self._begun.get())
            await asyncio.wait((ended, begun), return_when=asyncio.FIRST_COMPLETED, timeout=10)
            if begun.done():
                begun.result().finish()
                done.append(begun.result())
            elif not begun.cancel() or not ended.done():
                raise TimeoutError(f"{len(done)} actions were done, and then nothing")
        await ended
        return done

    def open(self) -> None:
        """Let everything go, so that the thread can end."""
        self._is_open = True
        if self._latest is not None:
            self._latest.finish()


class Counted:
    """What all fake actions have.

    Attributes:
        compilations: graphs compiled; a test raises it while an action is held.
        compile_seconds: what that took; likewise.
    """

    def __init__(self, device: HeldDevice) -> None:
        self.device = device
        self.compilations = 0
        self.compile_seconds = 0.0

    def caches(self) -> list[CacheStatus]:
        return [CacheStatus(name="text", hits=3)]


class HeldCall:
    """A function whose first call waits for the test, in whatever thread it is.

    Attributes:
        begun: set when it is called.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.begun = asyncio.Event()
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._released = threading.Event()
        self._calls = itertools.count()

    def __call__(self, *arguments: Any) -> Any:
        if next(self._calls) == 0:
            self._loop.call_soon_threadsafe(self.begun.set)
            self._released.wait(20)
        return self._function(*arguments)

    def finish(self) -> None:
        """Let it go on."""
        self._released.set()
