"""Device seconds of actions and of requests, from a curve and the batch sizes there are."""

import bisect
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from serving.batching.curve import Curve
from serving.batching.limits import Limits
from serving.batching.work import Kind, Row, Shape, Stage


class _Paces(NamedTuple):
    """Seconds of a request's encoding, of a row's step, and of a row's decoding, in company."""

    encode_seconds: float
    step_seconds: float
    decode_seconds: float


class Costs:
    """Looks each cost up once; made anew wherever a question is asked of a curve and limits."""

    def __init__(self, curve: Curve, limits: Limits) -> None:
        self._curve = curve
        self._limits = limits
        self._actions: dict[tuple[Kind, int], float] = {}
        self._paces: dict[tuple[Shape, int, int, int], _Paces] = {}

    def sizes(self, kind: Kind) -> tuple[int, ...]:
        """Rows that an action can have (requests, when encoding), ascending."""
        return self._limits.sizes(kind.stage, kind.shape)

    def size_for(self, kind: Kind, rows: int) -> int:
        """The smallest size that holds so many rows, at most the largest."""
        sizes = self.sizes(kind)
        return sizes[bisect.bisect_left(sizes, rows)]

    def action_seconds(self, kind: Kind, rows: int) -> float:
        """Of an action with so many rows, padding included."""
        seconds = self._actions.get((kind, rows))
        if seconds is None:
            seconds = self._actions[kind, rows] = self._size_seconds(kind, self.size_for(kind, rows))
        return seconds

    def longest_seconds(self, kind: Kind) -> float:
        """Of the largest action."""
        return self._size_seconds(kind, self.sizes(kind)[-1])

    def request_seconds(self, rows: tuple[Row, ...]) -> float:
        """Of all that a request needs, with no other's company.

        Args:
            rows: its rows that are not done.
        """
        request, steps = rows[0].request, 0
        for row in rows:
            steps += row.steps_remaining
        return self._seconds(request.shape, request.evaluations, int(rows[0].stage is Stage.ENCODE), steps, len(rows))

    def all_seconds(self, requests: Iterable[tuple[Row, ...]]) -> float:
        """Of all that these requests need, when those of one kind share actions as well as the curve allows."""
        encodes: defaultdict[tuple[Shape, int], int] = defaultdict(int)
        steps, rows = encodes.copy(), encodes.copy()
        for own in requests:
            key = own[0].request.shape, own[0].request.evaluations
            encodes[key] += own[0].stage is Stage.ENCODE
            steps[key] += sum(row.steps_remaining for row in own)
            rows[key] += len(own)
        return sum(self._seconds(*key, encodes[key], steps[key], rows[key]) for key in rows)

    def _seconds(self, shape: Shape, evaluations: int, encodes: int, steps: int, rows: int) -> float:
        paces = self._paces.get((shape, evaluations, encodes, rows))
        if paces is None:
            paces = self._paces[shape, evaluations, encodes, rows] = _Paces(
                self._pace_seconds(Kind(Stage.ENCODE, shape, 1), encodes),
                self._pace_seconds(Kind(Stage.STEP, shape, evaluations), rows),
                self._pace_seconds(Kind(Stage.DECODE, shape, 1), rows),
            )
        return encodes * paces.encode_seconds + steps * paces.step_seconds + rows * paces.decode_seconds

    def _pace_seconds(self, kind: Kind, rows: int) -> float:
        """One row's part of an action, when so many share actions of the size that suits them best."""
        sizes = self.sizes(kind)
        useful = sizes[: bisect.bisect_left(sizes, rows) + 1]
        return min(self._size_seconds(kind, size) / max(min(size, rows), 1) for size in useful)

    def _size_seconds(self, kind: Kind, size: int) -> float:
        return self._curve.step_seconds(kind.stage, kind.shape, size * kind.evaluations)
