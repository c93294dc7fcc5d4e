"""Which deadlines are in danger, and which can be promised.

When the work that is due by some deadline leaves little slack, that work is next, earliest deadline first. Least slack
first would alternate between equals: what runs keeps its slack, what waits loses it. What cannot be done in time any
more has no claim to haste.
"""

import math
from typing import NamedTuple

from serving.batching.costs import Costs
from serving.batching.table import Table
from serving.batching.work import Request

# By what part an estimate of seconds may be off.
_ERROR = 0.25


class Due(NamedTuple):
    """A request with a deadline that can be met.

    Attributes:
        request: whose it is.
        demand_seconds: device seconds of all that is due by then, the request's own included.
    """

    request: Request
    demand_seconds: float


def can_be_in_time(request: Request, seconds: float, now_seconds: float) -> bool:
    """Whether a request that needs so many seconds can meet its deadline without waiting, as far as estimates go."""
    return now_seconds + seconds * (1 - _ERROR) <= request.deadline_seconds


def endangered(table: Table, costs: Costs, now_seconds: float) -> set[str]:
    """Ids of the requests that have to be next, or some deadline would be missed."""
    dues = schedule(table, costs, now_seconds)
    if not dues:
        return set()
    # Whatever goes before them cannot be interrupted.
    latest_start_seconds = now_seconds + max(costs.longest_seconds(kind) for kind in {row.kind for row in table})
    urgent = 0
    for count, due in enumerate(dues, 1):
        if latest_start_seconds + due.demand_seconds * (1 + _ERROR) > due.request.deadline_seconds:
            urgent = count
    return {due.request.request_id for due in dues[:urgent]}


def schedule(table: Table, costs: Costs, now_seconds: float) -> list[Due]:
    """Requests whose deadline can be met, the earliest first.

    Demands allow for the actions that requests share, except by those that have no time for company.
    """
    dated = [rows for rows in table.requests.values() if rows[0].request.deadline_seconds < math.inf]
    hopeful = [rows for rows in dated if can_be_in_time(rows[0].request, costs.request_seconds(rows), now_seconds)]
    hopeful.sort(key=lambda rows: (rows[0].request.deadline_seconds, rows[0].request.arrival_seconds))
    dues, demand_seconds, shared = [], 0.0, 1.0
    for count, rows in enumerate(hopeful, 1):
        own_seconds = costs.request_seconds(rows)
        # The part of its seconds alone that a request costs in company: looked up when the company has doubled.
        if count.bit_count() == 1 and own_seconds > 0:
            shared = costs.all_seconds(hopeful[:count]) / sum(map(costs.request_seconds, hopeful[:count]))
        slower = shared * min(count, costs.sizes(rows[0].kind)[-1])
        has_time = now_seconds + own_seconds * slower <= rows[0].request.deadline_seconds
        demand_seconds += own_seconds * (shared if has_time else 1.0)
        dues.append(Due(rows[0].request, max(own_seconds, demand_seconds)))
    return dues
