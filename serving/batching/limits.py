"""What the planner may do: the batch sizes there are, and its measured settings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.batching.work import Shape, Stage

_ALONE = (1,)


@dataclass(frozen=True)
class Limits:
    """The planner's settings. docs/performance.md has the measurements behind the defaults.

    Attributes:
        buckets: rows that an action of this stage and shape can have (requests, when encoding), ascending. What is not
            named runs alone.
        ageing: how much waiting counts against work, from 0 to 1: 0 is shortest remaining work first, 1 is highest
            response ratio first. Less favours short requests and the mean, more favours long requests and the tail.
        patience: how many times its own remaining work a request waits before it goes by age alone.
        merge_gain: part of a row's time alone that sharing an action has to save.
    """

    buckets: Mapping[tuple[Stage, Shape], tuple[int, ...]] = field(default_factory=dict)
    ageing: float = 1.0
    patience: float = 50.0
    merge_gain: float = 0.1

    def __post_init__(self) -> None:
        """Refuse settings under which rows could starve, and sizes that are not sizes."""
        if not 0 <= self.ageing <= 1 or not 0 <= self.patience < math.inf or not 0 <= self.merge_gain < 1:
            raise ValueError(
                f"{self!r}: ageing must be from 0 to 1, patience 0 or more and finite, merge_gain from 0 to below 1"
            )
        for key, sizes in self.buckets.items():
            if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
                raise ValueError(f"buckets of {key} are {sizes}; ascending sizes of 1 or more are needed")

    def sizes(self, stage: Stage, shape: Shape) -> tuple[int, ...]:
        """Sizes an action can have."""
        return self.buckets.get((stage, shape), _ALONE)
