"""Whether a request is taken: by the work that waits, whose it is, and how much time there is. Pure but for its table.

Workers order what they have by tenant, priority and deadline. What is decided here is only that they never get more
than they can do within a time that is worth waiting for.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.routing import Standing, WorkerView
from imagegen.v1.common_pb2 import Priority, Tier
from serving.errors import DeadlineUnreachableError, QueueFullError, TenantLimitError
from serving.tenants import Tenant

# How much of the queue may be filled by requests of a priority: some is left for those who are in more of a hurry.
_PORTIONS = {Priority.PRIORITY_HIGH: 1.0, Priority.PRIORITY_LOW: 0.5}
_NORMAL_PORTION = 0.9

_SHORTEST_RETRY_SECONDS = 0.05


class Load(NamedTuple):
    """What a tier has to do.

    Attributes:
        queued_seconds: device seconds of the work of all workers that get work.
        workers: how many these are.
    """

    queued_seconds: float
    workers: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request asks for.

    Attributes:
        tenant: whose it is.
        priority: how urgent it is.
        seconds: device seconds by tier, of the tiers it needs; none where caches have all it asks for.
        remaining_seconds: until its deadline; None for none.
    """

    tenant: Tenant
    priority: Priority.ValueType
    seconds: Mapping[Tier.ValueType, float]
    remaining_seconds: float | None = None


@dataclass(eq=False)
class Ticket:
    """A request that was taken.

    Attributes:
        demand: what it asked for.
        unsent: the part that no worker has been sent yet, by tier.
    """

    demand: Demand
    unsent: dict[Tier.ValueType, float] = field(default_factory=dict)

    def sent(self, tier: Tier.ValueType) -> None:
        """A worker of the tier has it now, and reports it."""
        self.unsent.pop(tier, None)


class Admission:
    """The requests that were taken and are not answered.

    Args:
        max_queue_seconds: the longest time that a request may have to wait for a tier.
        max_requests: how many there may be at once.
    """

    def __init__(self, max_queue_seconds: float, max_requests: int) -> None:
        self._max_queue_seconds = max_queue_seconds
        self._max_requests = max_requests
        self._tickets: set[Ticket] = set()

    def __repr__(self) -> str:
        return f"Admission({len(self._tickets)} of {self._max_requests} requests)"

    @contextmanager
    def admit(self, demand: Demand, loads: Mapping[Tier.ValueType, Load]) -> Iterator[Ticket]:
        """Takes a request for the length of the body.

        Raises:
            DeadlineUnreachableError: it could not be done in time by idle workers.
            TenantLimitError: its tenant has as much as it may have.
            QueueFullError: too much work waits already.
        """
        loads = {tier: self._with_unsent(tier, load) for tier, load in loads.items()}
        self._check_deadline(demand, loads)
        self._check_tenant(demand, loads)
        self._check_count(loads)
        for tier, own_seconds in demand.seconds.items():
            self._check_queue(tier, own_seconds, demand, loads[tier])
        ticket = Ticket(demand, dict(demand.seconds))
        self._tickets.add(ticket)
        try:
            yield ticket
        finally:
            self._tickets.remove(ticket)

    def wait_seconds(self, loads: Mapping[Tier.ValueType, Load]) -> float:
        """How long a request would wait that came now, in all these tiers together."""
        return sum(wait_seconds(self._with_unsent(tier, load)) for tier, load in loads.items())

    def _with_unsent(self, tier: Tier.ValueType, load: Load) -> Load:
        unsent_seconds = sum(ticket.unsent.get(tier, 0.0) for ticket in self._tickets)
        return load._replace(queued_seconds=load.queued_seconds + unsent_seconds)

    def _check_deadline(self, demand: Demand, loads: Mapping[Tier.ValueType, Load]) -> None:
        needed_seconds = sum(demand.seconds.values())
        if demand.remaining_seconds is not None and needed_seconds > demand.remaining_seconds:
            wait = sum(wait_seconds(load) for load in loads.values())
            raise DeadlineUnreachableError(needed_seconds, demand.remaining_seconds, wait)

    def _check_tenant(self, demand: Demand, loads: Mapping[Tier.ValueType, Load]) -> None:
        tenant = demand.tenant
        own = [ticket for ticket in self._tickets if ticket.demand.tenant.id == tenant.id]
        held_seconds = [sum(ticket.demand.seconds.values()) for ticket in own]
        if tenant.max_concurrent is not None and len(own) >= tenant.max_concurrent:
            raise TenantLimitError(tenant.id, f"{tenant.max_concurrent} requests at once", _retry(min(held_seconds)))
        excess_seconds = sum(held_seconds) + sum(demand.seconds.values()) - tenant.max_queued_seconds
        if own and demand.seconds and excess_seconds > 0:  # what needs no device adds nothing to what waits for one
            workers = max(min(load.workers for load in loads.values()), 1)
            limit = f"{tenant.max_queued_seconds:g} s of work at once"
            raise TenantLimitError(tenant.id, limit, _retry(excess_seconds / workers))

    def _check_count(self, loads: Mapping[Tier.ValueType, Load]) -> None:
        if len(self._tickets) >= self._max_requests:
            wait = sum(wait_seconds(load) for load in loads.values())
            raise QueueFullError(_retry(wait / len(self._tickets)), wait)

    def _check_queue(self, tier: Tier.ValueType, own_seconds: float, demand: Demand, load: Load) -> None:
        portion = _PORTIONS.get(demand.priority, _NORMAL_PORTION)
        limit_seconds = portion * self._max_queue_seconds * load.workers
        excess_seconds = load.queued_seconds + own_seconds - limit_seconds
        if not load.workers or load.queued_seconds == 0 or excess_seconds <= 0:
            return  # whether there are workers at all is found out by asking them
        if not self._is_owed(tier, own_seconds, demand.tenant, limit_seconds):
            raise QueueFullError(_retry(excess_seconds / load.workers), wait_seconds(load))

    def _is_owed(self, tier: Tier.ValueType, own_seconds: float, tenant: Tenant, limit_seconds: float) -> bool:
        """Whether a tenant has less than its share of a queue that others have filled."""
        weights = {ticket.demand.tenant.id: ticket.demand.tenant.weight for ticket in self._tickets}
        if weights.keys() <= {tenant.id}:
            return False
        weights[tenant.id] = tenant.weight
        share = tenant.weight / sum(weights.values())
        held = [ticket.demand for ticket in self._tickets if ticket.demand.tenant.id == tenant.id]
        return sum(each.seconds.get(tier, 0.0) for each in held) + own_seconds <= share * limit_seconds


def load_of(table: Sequence[WorkerView]) -> Load:
    """What a tier has to do."""
    ready = [worker.queued_seconds for worker in table if worker.standing is Standing.READY]
    return Load(math.fsum(ready), len(ready))


def wait_seconds(load: Load) -> float:
    """How long a request would wait for a tier."""
    return load.queued_seconds / load.workers if load.workers else 0.0


def _retry(seconds: float) -> float:
    return max(seconds, _SHORTEST_RETRY_SECONDS)
