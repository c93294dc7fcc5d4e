"""What the planner may do: the batch sizes there are, and its measured settings."""

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
        ageing: seconds of waiting that make up for a second of work, inverted: at 0.2 a request is overtaken only by
            requests that come within 5 times its own work after it. Small values favour short requests and the mean,
            large ones first come first served and the tail.
        patience_seconds: a request that is late by this much, beyond what ageing grants it, goes before deadlines too.
        merge_gain: part of a row's time alone that sharing an action has to save.
    """

    buckets: Mapping[tuple[Stage, Shape], tuple[int, ...]] = field(default_factory=dict)
    ageing: float = 0.2
    patience_seconds: float = 60.0
    merge_gain: float = 0.1

    def __post_init__(self) -> None:
        """Refuse settings under which rows could starve, and sizes that are not sizes."""
        if not self.ageing > 0 or not self.patience_seconds >= 0 or not 0 <= self.merge_gain < 1:
            raise ValueError(f"{self!r}: ageing must be above 0, patience_seconds 0 or more, merge_gain from 0 to 1")
        for key, sizes in self.buckets.items():
            if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
                raise ValueError(f"buckets of {key} are {sizes}; ascending sizes of 1 or more are needed")

    def sizes(self, stage: Stage, shape: Shape) -> tuple[int, ...]:
        """Sizes an action can have."""
        return self.buckets.get((stage, shape), _ALONE)
