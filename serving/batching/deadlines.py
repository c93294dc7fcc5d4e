"""Which deadlines are in danger, and which can be promised.

When the work that is due by some deadline leaves little slack, that work is next, earliest deadline first. Least slack
first would alternate between equals: what runs keeps its slack, what waits loses it. What cannot be done in time any
more has no claim to haste.
"""

import math
from typing import NamedTuple

from serving.batching.costs import Costs
from serving.batching.table import Table
from serving.batching.work import Request, Row

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
    hopeful = _hopeful(table, costs, now_seconds)
    dues, alone_seconds, demand_seconds, shared = [], 0.0, 0.0, 1.0
    for count, (own_seconds, rows) in enumerate(hopeful, 1):
        request = rows[0].request
        alone_seconds += own_seconds
        # The part of its seconds alone that a request costs in company: looked up when the company has doubled.
        if count.bit_count() == 1 and alone_seconds > 0:
            shared = costs.all_seconds(company for _, company in hopeful[:count]) / alone_seconds
        slower = shared * min(count, costs.sizes(request.step_kind)[-1])
        has_time = now_seconds + own_seconds * slower <= request.deadline_seconds
        demand_seconds += own_seconds * (shared if has_time else 1.0)
        dues.append(Due(request, max(own_seconds, demand_seconds)))
    return dues


def _hopeful(table: Table, costs: Costs, now_seconds: float) -> list[tuple[float, tuple[Row, ...]]]:
    """Seconds alone and rows of each request whose deadline can be met, the earliest deadline first."""
    found = []
    for request_id, rows in table.requests.items():
        request = rows[0].request
        if request.deadline_seconds < math.inf:
            own_seconds = costs.request_seconds(rows)
            if can_be_in_time(request, own_seconds, now_seconds):
                found.append((request.deadline_seconds, request.arrival_seconds, request_id, own_seconds, rows))
    return [(own_seconds, rows) for *_, own_seconds, rows in sorted(found)]
