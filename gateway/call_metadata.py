"""What workers are told with each call: the request's tenant, and the trace that it belongs to."""

from serving.tenants import TENANT_ID_KEY, TENANT_WEIGHT_KEY, current_tenant
from serving.trace_context import trace_metadata


def call_metadata() -> tuple[tuple[str, str], ...]:
    """The metadata of a call on behalf of the current request."""
    tenant = current_tenant.get()
    return (TENANT_ID_KEY, tenant.id), (TENANT_WEIGHT_KEY, repr(tenant.weight)), *trace_metadata.get()
