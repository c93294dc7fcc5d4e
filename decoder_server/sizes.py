"""Which sizes a decoder works at: those compiled at its start, and some more as they are asked for."""

from collections.abc import Iterable, Sequence

from serving.batching.limits import Limits
from serving.batching.work import Shape, Stage
from serving.errors import InvalidFieldError


class ServedSizes:
    """The working sizes of one decoder.

    Args:
        compiled: at its start.
        max_others: how many more may be compiled. What is compiled stays in memory.
    """

    def __init__(self, compiled: Iterable[Shape], max_others: int) -> None:
        self.compiled = tuple(dict.fromkeys(compiled))
        self._max_others = max_others
        self._others: set[Shape] = set()

    def admit(self, shape: Shape) -> None:
        """Take a request of this size in.

        Raises:
            InvalidFieldError: as many others as there may be are compiled; names the sizes that are served.
        """
        if shape in self.compiled or shape in self._others:
            return
        if len(self._others) >= self._max_others:
            served = ", ".join(f"{width}×{height}" for width, height in sorted({*self.compiled, *self._others}))
            raise InvalidFieldError(
                "params.width",
                f"× params.height needs {shape.width_px}×{shape.height_px}; this decoder works at {served}",
            )
        self._others.add(shape)


def limits_of(compiled: Iterable[Shape], sizes: Sequence[int]) -> Limits:
    """The planner's limits where steps of the compiled shapes run in batches of these sizes, all else alone."""
    return Limits({(Stage.STEP, shape): tuple(sizes) for shape in compiled})
