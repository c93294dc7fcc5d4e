"""The device's next action: whose turn it is, and who shares it."""

import math

from serving.batching.costs import Costs
from serving.batching.curve import Curve
from serving.batching.deadlines import can_be_in_time
from serving.batching.limits import Limits
from serving.batching.order import Turn, in_turn
from serving.batching.sharing import Sharing
from serving.batching.table import Batch, Table
from serving.batching.work import Stage


def plan(table: Table, curve: Curve, limits: Limits, now_seconds: float) -> Batch | None:
    """The next action; None when there is no work.

    Args:
        table: all work.
        curve: what actions cost.
        limits: which batch sizes there are, and the planner's settings.
        now_seconds: by the clock of the requests' arrivals and deadlines.
    """
    if not table.requests:
        return None
    costs = Costs(curve, limits)
    line = in_turn(table, costs, limits, now_seconds)
    leader = min(line[0].rows, key=lambda row: (-row.stage, row.steps_remaining))
    sharing = Sharing(line, costs, limits.merge_gain, _spare_seconds(line[0], now_seconds))
    if leader.stage is Stage.STEP:
        leader = sharing.worth_encoding(leader) or leader
    units = sharing.together_with(leader)
    rows = tuple(row for unit in units for row in unit.rows)
    return Batch(leader.kind, rows, costs.size_for(leader.kind, len(units)))


def _spare_seconds(turn: Turn, now_seconds: float) -> float:
    """By how much others may delay a request, so that it still meets its deadline; no limit where it cannot."""
    if not can_be_in_time(turn.request, turn.seconds, now_seconds):
        return math.inf
    return max(turn.request.deadline_seconds - now_seconds - turn.seconds, 0.0)
