"""On whose behalf a request runs: set where credentials are checked, read wherever a share or a limit matters."""

import math
from contextvars import ContextVar
from dataclasses import dataclass

TENANT_ID_KEY = "x-tenant-id"
TENANT_WEIGHT_KEY = "x-tenant-weight"


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who pays for a request.

    Attributes:
        id: its name; empty where clients need no credentials.
        weight: its share of the devices, relative to other tenants; above 0.
        max_queued_seconds: device seconds that it may have waiting and running.
        max_concurrent: requests that it may have waiting and running; None for no limit.
    """

    id: str = ""
    weight: float = 1.0
    max_queued_seconds: float = math.inf
    max_concurrent: int | None = None


NOBODY = Tenant()

# The tenant of the request that the current task works on.
current_tenant: ContextVar[Tenant] = ContextVar("current_tenant", default=NOBODY)
