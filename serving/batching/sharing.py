"""Who shares an action.

Sharing has to pay for everybody. An action of n rows holds up all N requests for seconds(n). A row that takes part
saves its seconds alone for its own request and for those behind it: N − place of them. So rows join from the front of
the line, up to the number at which N × seconds(n) − Σ seconds alone × (N − place) is least. Where a row costs as much
in company as alone, nobody joins; where it costs little and many wait, the largest bucket is filled.

N counts the requests in the line and a few more: those that come while these run gain and lose as well.
"""

from collections.abc import Sequence
from typing import NamedTuple

from serving.batching.costs import Costs
from serving.batching.order import Turn
from serving.batching.work import Kind, Row, Stage

# How many more: the best of 0, 1, 2, 4 and 100 in the simulation, at every load.
_TO_COME = 2


class Unit(NamedTuple):
    """What joins or stays out: a row, or all rows of a request that is to be encoded.

    Attributes:
        place: the request's in the line; 0 is first.
        rows: one row, unless they are to be encoded.
    """

    place: int
    rows: tuple[Row, ...]


class Share(NamedTuple):
    """How many of the units offered take part, and what that costs all requests: negative seconds where it pays."""

    taken: int
    cost_seconds: float


class Sharing:
    """Decides who joins, for one line.

    Args:
        line: all requests in order.
        costs: what actions cost.
        merge_gain: part of a row's seconds alone that joining has to save.
        spare_seconds: by how much others may delay the first in line, all its actions together.
    """

    def __init__(self, line: Sequence[Turn], costs: Costs, merge_gain: float, spare_seconds: float) -> None:
        self._line = line
        self._costs = costs
        self._merge_gain = merge_gain
        self._spare_seconds = spare_seconds

    def together_with(self, leader: Row) -> list[Unit]:
        """The units of the leader's next action, its own first."""
        units = self._offered(leader, unencoded=False)
        return units[: self.share(leader.kind, units, leader.steps_remaining).taken]

    def worth_encoding(self, leader: Row) -> Row | None:
        """A row to encode before the leader's next step, so that it can share the steps that follow; None if none.

        Only while the largest batch cannot be filled without it: so a step waits for fewer encodings than that.
        """
        ready = self._offered(leader, unencoded=False)
        if len(ready) == self._costs.sizes(leader.kind)[-1]:
            return None
        units = self._offered(leader, unencoded=True)
        share = self.share(leader.kind, units, leader.steps_remaining)
        joining = [unit for unit in units[: share.taken] if unit.rows[0].stage is Stage.ENCODE]
        if not joining:
            return None
        now = self.share(leader.kind, ready, leader.steps_remaining)
        steps = min(leader.steps_remaining, *(unit.rows[0].steps_remaining for unit in joining))
        saved_seconds = steps * (now.cost_seconds - share.cost_seconds)
        # It has to be encoded sooner or later: only those ahead of it lose by its being encoded now.
        first, places = joining[0].rows[0], {unit.place for unit in joining}
        encode_seconds = self._costs.action_seconds(first.kind, 1)
        worth = saved_seconds > encode_seconds * sum(places) and self._spare_seconds >= encode_seconds * len(places)
        return first if worth else None

    def share(self, kind: Kind, units: Sequence[Unit], steps: int) -> Share:
        """How many of the units to take, from the first on.

        Args:
            kind: of the action.
            units: as many as the largest batch holds, or fewer; the first takes part in any case.
            steps: how many such actions the first has before it; 0 counts as 1.
        """
        first, present = units[0].place, len(self._line) + _TO_COME
        alone_seconds = self._costs.action_seconds(kind, 1)
        longest_seconds = self._spare_seconds / max(steps, 1)
        longest_seconds += self._costs.action_seconds(kind, sum(unit.place == first for unit in units))
        best, saved_seconds = Share(1, 0.0), 0.0
        for count, unit in enumerate(units[1:], 2):
            seconds = self._costs.action_seconds(kind, count)
            if seconds > longest_seconds:
                break
            saved_seconds += alone_seconds * (1 - self._merge_gain) * (present - unit.place)
            cost_seconds = present * (seconds - alone_seconds) - saved_seconds
            if cost_seconds < best.cost_seconds:
                best = Share(count, cost_seconds)
        return best

    def _offered(self, leader: Row, unencoded: bool) -> list[Unit]:
        """The leader's units and those that could join, as many as the largest batch holds, from the line's front."""
        largest = self._costs.sizes(leader.kind)[-1]
        units: list[Unit] = []
        for place, turn in sorted(enumerate(self._line), key=lambda item: item[1].request is not leader.request):
            units += _units(place, turn, leader.kind, unencoded)
            if len(units) >= largest:
                break
        return units[:largest]


def _units(place: int, turn: Turn, kind: Kind, unencoded: bool) -> list[Unit]:
    """A request's units of a kind, the least work first; with those that will be of the kind once they are encoded."""
    if turn.request.shape != kind.shape:
        return []
    if turn.rows[0].stage is Stage.ENCODE:
        if kind.stage is Stage.ENCODE:
            return [Unit(place, turn.rows)]
        if not unencoded or turn.request.step_kind != kind:
            return []
        return [Unit(place, (row,)) for row in turn.rows if row.steps_remaining]
    rows = sorted((row for row in turn.rows if row.kind == kind), key=lambda row: row.steps_remaining)
    return [Unit(place, (row,)) for row in rows]
