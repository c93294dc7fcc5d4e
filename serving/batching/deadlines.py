"""Which deadlines are in danger, and which can be promised.

When the work that is due by some deadline leaves little slack, that work is next, earliest deadline first. Least slack
first would alternate between equals: what runs keeps its slack, what waits loses it. What cannot be done in time any
more has no claim to haste.
"""

import math
from itertools import accumulate
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
    urgent = 0
    for count, due in enumerate(dues, 1):
        if now_seconds + due.demand_seconds * (1 + _ERROR) > due.request.deadline_seconds:
            urgent = count
    return {due.request.request_id for due in dues[:urgent]}


def schedule(table: Table, costs: Costs, now_seconds: float) -> list[Due]:
    """Requests whose deadline can be met, the earliest first. Demands allow for actions that requests share."""
    dated = [rows for rows in table.requests.values() if rows[0].request.deadline_seconds < math.inf]
    if not dated:
        return []
    hopeful = [rows for rows in dated if can_be_in_time(rows[0].request, costs.request_seconds(rows), now_seconds)]
    hopeful.sort(key=lambda rows: (rows[0].request.deadline_seconds, rows[0].request.arrival_seconds))
    alone = [costs.request_seconds(rows) for rows in hopeful]
    sharing = costs.all_seconds(hopeful) / sum(alone) if any(alone) else 0.0
    return [
        Due(rows[0].request, max(own_seconds, sharing * sum_seconds))
        for rows, own_seconds, sum_seconds in zip(hopeful, alone, accumulate(alone), strict=True)
    ]
