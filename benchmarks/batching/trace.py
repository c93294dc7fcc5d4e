"""Requests as they come to a decoder: a Poisson process of mixed sizes, steps and strengths."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serving.batching.work import Shape

STEPS = (25, 50, 100)
STRENGTHS = (0.1, 1.0)


@dataclass(frozen=True)
class Arrival:
    """A request of one image.

    Attributes:
        seconds: when it comes, from the trace's start.
        shape: of its picture.
        steps: length of its schedule.
        strength: how much of the schedule is run.
        seed: of its picture.
    """

    seconds: float
    shape: Shape
    steps: int
    strength: float
    seed: int

    @property
    def steps_run(self) -> int:
        """How many steps it needs."""
        return int(self.steps * self.strength)


def poisson_trace(
    count: int, shapes: Sequence[Shape], alone_seconds: Callable[[Arrival], float], load: float, seed: int
) -> list[Arrival]:
    """So many requests, in order of arrival.

    Args:
        count: how many.
        shapes: each request has one of these.
        alone_seconds: what a request takes by itself.
        load: arriving work ÷ what a device can do that serves one request at a time.
        seed: of the trace.
    """
    draw = random.Random(seed)  # noqa: S311 - a trace that can be repeated, no secret
    drawn = [
        Arrival(0.0, draw.choice(shapes), draw.choice(STEPS), draw.uniform(*STRENGTHS), number)
        for number in range(count)
    ]
    gap_seconds = sum(map(alone_seconds, drawn)) / count / load
    now_seconds, arrivals = 0.0, []
    for each in drawn:
        arrivals.append(Arrival(now_seconds, each.shape, each.steps, each.strength, each.seed))
        now_seconds += draw.expovariate(1 / gap_seconds)
    return arrivals
