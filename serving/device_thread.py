"""One thread for everything that touches the device, because one MindSpore net used from two threads is wrong."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DeviceThread:
    """Runs functions one after another, in the order they were given, in a thread of its own."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises.

        A caller that is cancelled gets its CancelledError at once: what has not begun never will, and what has begun
        runs to its end, unheard. So keep functions short: a step, not a loop.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *args, **kwargs))

    async def close(self) -> None:
        """Drops what has not begun and waits for what has; nothing may be run afterwards."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
