"""One system under both loads: what is measured, and how it is summed up."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.batching.figures import Figures, figures
from benchmarks.serving.job import Job
from benchmarks.serving.load import Outcome, replay
from benchmarks.serving.loads import Load
from benchmarks.serving.memory import peak_memory
from benchmarks.serving.system import System


@dataclass(frozen=True)
class Measured:
    """What became of one system.

    Attributes:
        start_seconds: until it was warm.
        mixed: what became of each request of the mixed trace.
        crowd: of those that came all at once.
        memory_peak_bytes: the most memory there was under both loads.
    """

    start_seconds: float
    mixed: list[Outcome]
    crowd: list[Outcome]
    memory_peak_bytes: int


async def measure(system: System, warm_up: Sequence[Sequence[Job]], mixed: Load, crowd: Load) -> Measured:
    """Starts the system, replays both loads and stops it again."""
    started = time.monotonic()
    try:
        await system.start()
        for batch in warm_up:
            await asyncio.gather(*map(system.make, batch))
        start_seconds = time.monotonic() - started
        async with peak_memory(system.process_ids) as peak:
            of_mixed = await replay(mixed.jobs, mixed.arrival_seconds, system.make)
            of_crowd = await replay(crowd.jobs, crowd.arrival_seconds, system.make)
    finally:
        await system.stop()
    return Measured(start_seconds, of_mixed, of_crowd, peak.memory_bytes)


def summed_up(outcomes: Sequence[Outcome], load: Load) -> tuple[Figures, int]:
    """How a system did on a load: figures of the requests that got their picture, and how many did not.

    Raises:
        RuntimeError: no request got a picture.
    """
    done = [place for place, outcome in enumerate(outcomes) if outcome.picture is not None]
    if not done:
        raise RuntimeError(f"not one picture; the first error: {outcomes[0].error}")
    return figures(
        [outcomes[place].arrival_seconds for place in done],
        [outcomes[place].done_seconds for place in done],
        [load.alone_seconds[place] for place in done],
    ), len(outcomes) - len(done)
