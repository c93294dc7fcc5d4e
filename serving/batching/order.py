"""Whose turn it is: all requests in the order in which the device should get to them.

Four things decide, in this order.

1. Tenants share by weight. A tenant goes first until what it has had exceeds what the tenant that is due next will have
   had when its first request is done (virtual finish times, as in weighted fair queueing). So a tenant's first request
   is done within its own work divided by the tenant's share, whatever others send.
2. A request that has waited `patience` times its own work is late, and goes by the date at which it became so. Requests
   that come after that date never overtake it: neither deadlines nor short requests starve anybody.
3. Deadlines that are in danger come next, the earliest first (deadlines.py).
4. Remaining work ÷ (remaining work + time waited) ** ageing, the least first. Short work is quick, long work gets its
   turn, and what runs keeps it, because its work shrinks. Unlike remaining work less a part of the time waited, this
   does not turn into first come first served where queues are long.

Priority scales the work in 2 and 4. It decides which request of a tenant takes the tenant's place in the line.
"""

import enum
import math
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
        haste: whether it goes before those that need less.
    """

    request: Request
    rows: tuple[Row, ...]
    seconds: float
    haste: Haste


def in_turn(table: Table, costs: Costs, limits: Limits, now_seconds: float) -> list[Turn]:
    """All requests, the one whose turn it is first."""
    hasty = endangered(table, costs, now_seconds)
    turns = []
    for request_id, rows in table.requests.items():
        request, seconds = rows[0].request, costs.request_seconds(rows)
        haste = Haste.DEADLINE if request_id in hasty else Haste.NONE
        if now_seconds > _late_from_seconds(request, seconds * request.priority.value, limits):
            haste = Haste.LATE
        turns.append(Turn(request, rows, seconds, haste))
    return _line(turns, table, limits, now_seconds)


def _line(turns: list[Turn], table: Table, limits: Limits, now_seconds: float) -> list[Turn]:
    """Each tenant's turns in its own order, in the places that fairness among tenants gives it."""

    def rank(turn: Turn, work_seconds: float) -> tuple[Haste, float, float, float, str]:
        precedence = _precedence(turn, work_seconds, limits, now_seconds)
        return turn.haste, precedence, work_seconds, turn.request.arrival_seconds, turn.request.request_id

    queues: defaultdict[str, list[Turn]] = defaultdict(list)
    for turn in sorted(turns, key=lambda turn: rank(turn, turn.seconds * turn.request.priority.value)):
        queues[turn.request.tenant].append(turn)
    if len(queues) < 2:
        return [turn for queue in queues.values() for turn in queue]
    had = table.virtual_seconds
    next_done = min(had[tenant] + queue[0].seconds / queue[0].request.weight for tenant, queue in queues.items())
    places = sorted(turns, key=lambda turn: (had[turn.request.tenant] > next_done, rank(turn, turn.seconds)))
    following = {tenant: iter(queue) for tenant, queue in queues.items()}
    return [next(following[place.request.tenant]) for place in places]


def _precedence(turn: Turn, work_seconds: float, limits: Limits, now_seconds: float) -> float:
    """The less, the sooner, among turns of the same haste."""
    if turn.haste is Haste.LATE:
        return _late_from_seconds(turn.request, work_seconds, limits)
    if turn.haste is Haste.DEADLINE:
        return turn.request.deadline_seconds
    response_seconds = max(now_seconds - turn.request.arrival_seconds, 0.0) + work_seconds
    return work_seconds / math.pow(response_seconds, limits.ageing) if work_seconds else 0.0


def _late_from_seconds(request: Request, work_seconds: float, limits: Limits) -> float:
    return request.arrival_seconds + limits.patience * work_seconds
