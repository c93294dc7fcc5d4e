"""What a request takes by itself, from whole requests with few steps and with many: loads and slowdowns hang on it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.batching.trace import Arrival
from serving.batching.work import Shape

FEW_STEPS = 5
MANY_STEPS = 45
# The first, which finds the device cold, is left out.
ROUNDS = 8


@dataclass(frozen=True)
class Alone:
    """What requests take by themselves.

    Attributes:
        seconds: of each shape, all of a request but its UNet steps, and one step.
    """

    seconds: Mapping[Shape, tuple[float, float]]

    def of(self, arrival: Arrival) -> float:
        """Seconds of a request."""
        rest_seconds, step_seconds = self.seconds[arrival.shape]
        return rest_seconds + arrival.steps_run * step_seconds

    @classmethod
    def from_rounds(cls, taken: Mapping[Shape, tuple[Sequence[float], Sequence[float]]]) -> Self:
        """Of each shape's seconds with few steps and with many, round by round."""
        seconds = {}
        for shape, rounds in taken.items():
            few_seconds, many_seconds = (statistics.median(each[1:]) for each in rounds)
            step_seconds = (many_seconds - few_seconds) / (MANY_STEPS - FEW_STEPS)
            seconds[shape] = (few_seconds - FEW_STEPS * step_seconds, step_seconds)
        return cls(seconds)
