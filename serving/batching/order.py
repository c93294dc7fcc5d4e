"""Whose turn it is: all requests in the order in which the device should get to them.

Four things decide, in this order.

1. Tenants share by weight. A tenant goes first until what it has had exceeds what the tenant that is due next will have
   had when its first request is done (virtual finish times, as in weighted fair queueing). So a tenant's first request
   is done within its own work divided by the tenant's share, whatever others send.
2. A request that is late beyond patience goes first, so that deadlines starve nobody.
3. Deadlines that are in danger come next, the earliest first (deadlines.py).
4. Remaining work less ageing × time waited, the least first. As all age alike, this is the order of
   arrival + remaining ÷ ageing, a date that stands still while a request waits and comes closer while it runs. So what
   runs is overtaken by shorter new work only, and what waits only by what came before its date: nobody waits for ever.

Priority scales the remaining work in 4. It decides which request of a tenant takes the tenant's place in the line.
"""

import enum
from collections import defaultdict
from typing import NamedTuple

from serving.batching.costs import Costs
from serving.batching.deadlines import endangered
from serving.batching.limits import Limits
from serving.batching.table import Table
from serving.batching.work import Request, Row


class Haste(enum.IntEnum):
    """Why a request goes before those that need less, most pressing first."""

    LATE = 0
    DEADLINE = 1
    NONE = 2


class Turn(NamedTuple):
    """A request's claim to the device.

    Attributes:
        request: whose turn it is.
        rows: its rows that are not done.
        seconds: device seconds it needs, with no company.
        due_seconds: the date by which its tenant's other requests have to come to overtake it.
        haste: whether it goes before those that need less.
    """

    request: Request
    rows: tuple[Row, ...]
    seconds: float
    due_seconds: float
    haste: Haste


def in_turn(table: Table, costs: Costs, limits: Limits, now_seconds: float) -> list[Turn]:
    """All requests, the one whose turn it is first."""
    hasty = endangered(table, costs, now_seconds)
    turns = []
    for request_id, rows in table.requests.items():
        request, seconds = rows[0].request, costs.request_seconds(rows)
        due_seconds = request.arrival_seconds + seconds * request.priority.value / limits.ageing
        haste = Haste.DEADLINE if request_id in hasty else Haste.NONE
        if now_seconds > due_seconds + limits.patience_seconds:
            haste = Haste.LATE
        turns.append(Turn(request, rows, seconds, due_seconds, haste))
    return _line(turns, table, limits)


def _line(turns: list[Turn], table: Table, limits: Limits) -> list[Turn]:
    """Each tenant's turns in its own order, in the places that fairness among tenants gives it."""
    queues: defaultdict[str, list[Turn]] = defaultdict(list)
    for turn in sorted(turns, key=lambda turn: _rank(turn, turn.due_seconds)):
        queues[turn.request.tenant].append(turn)
    if len(queues) < 2:
        return [turn for queue in queues.values() for turn in queue]
    had = table.virtual_seconds
    next_done = min(had[tenant] + queue[0].seconds / queue[0].request.weight for tenant, queue in queues.items())
    places = sorted(turns, key=lambda turn: (had[turn.request.tenant] > next_done, _rank_of_any_priority(turn, limits)))
    following = {tenant: iter(queue) for tenant, queue in queues.items()}
    return [next(following[place.request.tenant]) for place in places]


def _rank_of_any_priority(turn: Turn, limits: Limits) -> tuple[Haste, float, float, str]:
    return _rank(turn, turn.request.arrival_seconds + turn.seconds / limits.ageing)


def _rank(turn: Turn, due_seconds: float) -> tuple[Haste, float, float, str]:
    request = turn.request
    when = request.deadline_seconds if turn.haste is Haste.DEADLINE else due_seconds
    return turn.haste, when, request.arrival_seconds, request.request_id
