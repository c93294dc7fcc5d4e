"""What a request takes by itself: measured on whole requests, since the trace's load and every slowdown hang on it."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.batching.real import Decoder, one_at_a_time
from benchmarks.batching.trace import Arrival
from serving.batching.work import Shape

_FEW_STEPS = 5
_MANY_STEPS = 45
_ROUNDS = 7


@dataclass(frozen=True)
class Alone:
    """What requests take by themselves.

    Attributes:
        seconds: of each shape, a request's ends (texts, MoVQ both ways), and one step.
    """

    seconds: Mapping[Shape, tuple[float, float]]

    def of(self, arrival: Arrival) -> float:
        """Seconds of a request."""
        ends_seconds, step_seconds = self.seconds[arrival.shape]
        return ends_seconds + arrival.steps_run * step_seconds


async def measure_alone(decoder: Decoder, shapes: Sequence[Shape]) -> Alone:
    """Medians of several rounds over all shapes; the first round, which finds the device cold, is left out."""
    rounds = [
        {(shape, steps): await _one(decoder, shape, steps) for shape in shapes for steps in (_FEW_STEPS, _MANY_STEPS)}
        for _ in range(_ROUNDS + 1)
    ][1:]
    seconds = {}
    for shape in shapes:
        few, many = (statistics.median(each[shape, steps] for each in rounds) for steps in (_FEW_STEPS, _MANY_STEPS))
        step_seconds = (many - few) / (_MANY_STEPS - _FEW_STEPS)
        seconds[shape] = (few - _FEW_STEPS * step_seconds, step_seconds)
    return Alone(seconds)


async def _one(decoder: Decoder, shape: Shape, steps: int) -> float:
    started = time.monotonic()
    await one_at_a_time(decoder, [Arrival(0.0, shape, steps, 1.0, 0)])
    return time.monotonic() - started
