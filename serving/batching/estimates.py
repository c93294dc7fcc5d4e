"""What the work in a table comes to, for admission, for routing and for those who wait."""

import heapq
import math
from typing import NamedTuple

from serving.batching.costs import Costs
from serving.batching.curve import Curve
from serving.batching.deadlines import schedule
from serving.batching.limits import Limits
from serving.batching.order import Haste, Turn, in_turn
from serving.batching.sharing import Sharing, Unit
from serving.batching.table import Table


class Ahead(NamedTuple):
    """What a request waits for.

    Attributes:
        requests: that are before it in the line; 0 when it is next.
        seconds: until work on it begins, as far as is known now.
    """

    requests: int
    seconds: float


def remaining_seconds(table: Table, request_id: str, curve: Curve, limits: Limits) -> float:
    """Device seconds that a request still needs, with no other's company."""
    return Costs(curve, limits).request_seconds(table.requests[request_id])


def queued_work_seconds(table: Table, curve: Curve, limits: Limits) -> float:
    """Device seconds of all accepted work that is not done, allowing for the actions that requests share."""
    return Costs(curve, limits).all_seconds(table.requests.values())


def unreachable_after_seconds(
    table: Table, request_id: str, curve: Curve, limits: Limits, now_seconds: float
) -> float | None:
    """Whether to refuse a request that has just been added: seconds until it could be done, when that is too late.

    None when it can be in time, without breaking deadlines that can be met: those were promised first.
    """
    costs = Costs(curve, limits)
    own = table.requests[request_id]
    own_seconds, deadline_seconds = costs.request_seconds(own), own[0].request.deadline_seconds
    late = [turn for turn in in_turn(table, costs, limits, now_seconds) if turn.haste is Haste.LATE]
    late_seconds = costs.all_seconds(turn.rows for turn in late if turn.request.deadline_seconds == math.inf)
    done_seconds = late_seconds + own_seconds
    for due in schedule(table, costs, now_seconds):
        demand_seconds = late_seconds + due.demand_seconds
        spare_seconds = due.request.deadline_seconds - now_seconds - demand_seconds
        would_be_broken = due.request.deadline_seconds >= deadline_seconds and -own_seconds <= spare_seconds < 0
        if due.request is own[0].request or would_be_broken:
            done_seconds = max(done_seconds, demand_seconds)
    return done_seconds if now_seconds + done_seconds > deadline_seconds else None


def ahead_of(table: Table, request_id: str, curve: Curve, limits: Limits, now_seconds: float) -> Ahead:
    """What a request waits for, as if no more came: requests that go before it even when it has waited its own work."""
    costs = Costs(curve, limits)
    own_seconds = costs.request_seconds(table.requests[request_id])
    line = in_turn(table, costs, limits, now_seconds + own_seconds)
    place = next(place for place, turn in enumerate(line) if turn.request.request_id == request_id)
    before, own = line[:place], line[place]
    alike = [turn for turn in before if turn.request.step_kind == own.request.step_kind]
    others = [turn.rows for turn in before if turn.request.step_kind != own.request.step_kind]
    return Ahead(place, costs.all_seconds(others) + _until_there_is_room(line, alike, own, costs, limits))


def _until_there_is_room(line: list[Turn], alike: list[Turn], own: Turn, costs: Costs, limits: Limits) -> float:
    """Seconds until a request can join those before it whose steps it can share."""
    kind = own.request.step_kind
    units = [Unit(place, (row,)) for place, turn in enumerate([*alike, own]) for row in turn.rows]
    together = Sharing(line, costs, limits.merge_gain, math.inf).share(kind, units[: costs.sizes(kind)[-1]], 1).taken
    alone_seconds = costs.action_seconds(kind, 1)
    slower = costs.action_seconds(kind, together) / alone_seconds if alone_seconds else 1.0
    # Each row before it takes the first of the places in the batch that becomes free.
    free_seconds = [0.0] * together
    for turn in alike:
        for _ in turn.rows:
            heapq.heapreplace(free_seconds, free_seconds[0] + slower * turn.seconds / len(turn.rows))
    return free_seconds[0]
