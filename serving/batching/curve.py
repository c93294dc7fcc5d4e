"""What an action costs on this device, from measurements: seconds by stage, shape and evaluations."""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.batching.work import Shape, Stage

# Weight of a new measurement in the running average, and how many times the known it counts for at most: one hiccup of
# the machine must not make a size look so dear that it is never tried again.
_NEW = 0.2
_MOST_OF_KNOWN = 1.5


@dataclass(frozen=True)
class Curve:
    """Measured seconds, and what follows from them for what was not measured.

    Attributes:
        seconds: by stage and shape, then by evaluations in ascending order.
    """

    seconds: Mapping[tuple[Stage, Shape], Mapping[int, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Curve({sum(map(len, self.seconds.values()))} points)"

    def step_seconds(self, stage: Stage, shape: Shape, evaluations: int) -> float:
        """Expected seconds of one action.

        Between measured numbers of evaluations it is a straight line; outside them, in proportion, which never claims
        that merging pays where nobody has measured it. A shape that was not measured takes its seconds from the one
        nearest in pixels, in proportion to them. 0 for a stage of which nothing is known.

        Args:
            stage: what is done.
            shape: the rows' shape.
            evaluations: of the network, padding included; 1 or more.
        """
        points = self.seconds.get((stage, shape))
        if points is not None:
            return _between(points, evaluations)
        near = self._nearest(stage, shape)
        if near is None:
            return 0.0
        return _between(self.seconds[stage, near], evaluations) * shape.pixels / near.pixels

    def measured(self, stage: Stage, shape: Shape, evaluations: int, seconds: float) -> "Curve":
        """The curve with one more measurement; the average moves by a fifth of the difference, up by a tenth at most.

        Args:
            stage: what was done.
            shape: the rows' shape.
            evaluations: of the network, padding included.
            seconds: what it took. Leave out runs that compiled.
        """
        if evaluations < 1 or not seconds >= 0:
            raise ValueError(f"{evaluations} evaluations in {seconds} s are no measurement")
        points = self.seconds.get((stage, shape), {})
        known = points.get(evaluations, seconds)
        counted = min(seconds, _MOST_OF_KNOWN * known) if known > 0 else seconds
        merged = dict(sorted({**points, evaluations: known + _NEW * (counted - known)}.items()))
        return Curve({**self.seconds, (stage, shape): merged})

    def _nearest(self, stage: Stage, shape: Shape) -> Shape | None:
        shapes = [known for known_stage, known in self.seconds if known_stage is stage]
        return min(shapes, key=lambda known: (_ratio(known.pixels, shape.pixels), known), default=None)


def _ratio(one: int, other: int) -> float:
    return max(one, other) / min(one, other)


def _between(points: Mapping[int, float], evaluations: int) -> float:
    exact = points.get(evaluations)
    if exact is not None:
        return exact
    counts = list(points)
    above = bisect.bisect(counts, evaluations)
    if above in (0, len(counts)):
        nearest = counts[min(above, len(counts) - 1)]
        return points[nearest] * evaluations / nearest
    low, high = counts[above - 1], counts[above]
    return points[low] + (points[high] - points[low]) * (evaluations - low) / (high - low)
