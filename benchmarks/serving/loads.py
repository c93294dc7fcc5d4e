"""The requests: a mixed trace, a crowd that comes all at once, and some to warm up with."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from benchmarks.alone import Alone
from benchmarks.batching.trace import Arrival, poisson_trace
from benchmarks.serving.job import Job, job, jobs_of
from benchmarks.serving.settings import Settings
from serving.batching.work import Shape

LOAD = 0.8
# Numbers of jobs, and with them prompts and seeds: those of one load do not come again in another.
_FIRST_OF_MIXED, _FIRST_OF_CROWD, _FIRST_OF_WARM_UP = 0, 100_000, 200_000
_WARM_UP_STEPS = 5
_WARM_UP_BATCHES = 12


@dataclass(frozen=True)
class Load:
    """Requests to replay.

    Attributes:
        jobs: what is asked for.
        arrival_seconds: when each comes.
        alone_seconds: what each takes by itself.
    """

    jobs: Sequence[Job]
    arrival_seconds: Sequence[float]
    alone_seconds: Sequence[float]


def mixed_trace(settings: Settings, requests: int, alone: Alone, seed: int, image: bytes) -> Load:
    """A Poisson process at 80 % of what one process can do that makes one picture at a time."""
    trace = _trace(settings, requests, alone, seed)
    return Load(
        jobs_of(trace, _FIRST_OF_MIXED, image), [each.seconds for each in trace], [alone.of(each) for each in trace]
    )


def crowd(settings: Settings, requests: int, alone: Alone, seed: int, image: bytes) -> Load:
    """Other requests of the same kind, all there from the start."""
    trace = _trace(settings, requests, alone, seed + 1)
    return Load(jobs_of(trace, _FIRST_OF_CROWD, image), [0.0] * requests, [alone.of(each) for each in trace])


def warm_up(settings: Settings, image: bytes) -> list[list[Job]]:
    """Full batches of each size, to be sent one after another: BentoML's batcher learns from its first eleven."""
    sides_px = [settings.sides_px[number % len(settings.sides_px)] for number in range(_WARM_UP_BATCHES)]
    numbers = count(_FIRST_OF_WARM_UP)
    return [
        [job(next(numbers), side_px, _WARM_UP_STEPS, 1.0, image) for _ in range(settings.largest_batch)]
        for side_px in sides_px
    ]


def _trace(settings: Settings, requests: int, alone: Alone, seed: int) -> list[Arrival]:
    shapes = [Shape(side_px, side_px) for side_px in settings.sides_px]
    return poisson_trace(requests, shapes, alone.of, LOAD, seed)
