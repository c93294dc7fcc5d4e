"""Sending requests at their times, whatever becomes of the others, from one event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.serving.job import Job


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        arrival_seconds: when it was sent, from the replay's start.
        done_seconds: when its answer was there.
        picture: the file; None: there is none.
        error: why there is none.
    """

    arrival_seconds: float
    done_seconds: float
    picture: bytes | None
    error: str = ""


async def replay(
    jobs: Sequence[Job], arrival_seconds: Sequence[float], make: Callable[[Job], Awaitable[bytes]]
) -> list[Outcome]:
    """Each job at its time."""
    started = time.monotonic()

    async def send(job: Job, at_seconds: float) -> Outcome:
        await asyncio.sleep(started + at_seconds - time.monotonic())
        picture, error = None, ""
        try:
            picture = await make(job)
        except Exception as failure:  # an error is a result here, whatever it is
            error = f"{type(failure).__name__}: {failure}"
        return Outcome(at_seconds, time.monotonic() - started, picture, error)

    return await asyncio.gather(*map(send, jobs, arrival_seconds))
