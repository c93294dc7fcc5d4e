"""Memory of whole trees of processes. What they share with each other counts once: the sum of PSS."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

_EVERY_SECONDS = 2.0


@dataclass
class Peak:
    """The most there was so far."""

    memory_bytes: int = 0


def tree(roots: Collection[int]) -> list[psutil.Process]:
    """These processes and all that they have started, as far as they still run."""
    found = []
    for root in roots:
        try:
            process = psutil.Process(root)
            found += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def pss_bytes(roots: Collection[int]) -> int:
    """Memory of these processes and all that they have started."""
    total = 0
    for process in tree(roots):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


@asynccontextmanager
async def peak_memory(roots: Collection[int]) -> AsyncIterator[Peak]:
    """Watches while the body runs, now and then: reading it stops a process for milliseconds."""
    peak = Peak()

    async def watch() -> None:
        while True:
            peak.memory_bytes = max(peak.memory_bytes, await asyncio.to_thread(pss_bytes, roots))
            await asyncio.sleep(_EVERY_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()
