"""What workers are told of a request's tenant."""

from serving.tenants import TENANT_ID_KEY, TENANT_WEIGHT_KEY, current_tenant


def tenant_metadata() -> tuple[tuple[str, str], ...]:
    """The metadata of a call on behalf of the current tenant."""
    tenant = current_tenant.get()
    return (TENANT_ID_KEY, tenant.id), (TENANT_WEIGHT_KEY, repr(tenant.weight))
