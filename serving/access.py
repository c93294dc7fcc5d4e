"""Who may call a server, and for whom: names in client certificates, bearer tokens, and what a gateway says.

Each check is a function of what came with the call; the interceptor asks before it looks at anything else.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from serving.errors import BadCredentialsError, InvalidFieldError, NotPermittedError
from serving.tenants import NOBODY, TENANT_ID_KEY, TENANT_WEIGHT_KEY, Tenant
from serving.tokens import Tokens
from serving.watched import Watched

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
# Whom a call is for, by its metadata; raises a ServiceError.
TenantOf: TypeAlias = Callable[[Metadata], Tenant]

AUTHORIZATION_KEY = "authorization"
_SCHEME = "bearer "


def anybody(metadata: Metadata) -> Tenant:  # noqa: ARG001 - it asks for nothing
    """No credentials are asked for."""
    return NOBODY


def bearer_of(tokens: Watched[Tokens]) -> TenantOf:
    """Asks for a token of the file, as it is now."""

    def tenant_of(metadata: Metadata) -> Tenant:
        given = _first(metadata, AUTHORIZATION_KEY)
        if given is None:
            raise BadCredentialsError("this server asks for a token: send the metadata authorization: Bearer TOKEN")
        if not given.lower().startswith(_SCHEME):
            raise BadCredentialsError("the metadata authorization must be: Bearer TOKEN")
        tenant = tokens.current().tenant(given[len(_SCHEME) :].strip())
        if tenant is None:
            raise BadCredentialsError("the token is not valid")
        return tenant

    return tenant_of


def told_by_gateway(metadata: Metadata) -> Tenant:
    """What a gateway has found out. A worker believes whoever it lets in: see --tls-client-names."""
    tenant_id, weight = _first(metadata, TENANT_ID_KEY), _first(metadata, TENANT_WEIGHT_KEY)
    if tenant_id is None:
        return NOBODY
    return Tenant(id=tenant_id, weight=1.0 if weight is None else _positive(weight))


def check_client_name(auth_context: Mapping[str, Iterable[bytes]], accepted: Collection[str]) -> None:
    """Refuses a client whose certificate has none of the accepted names; with none to accept, refuses nobody.

    Raises:
        NotPermittedError: none of its DNS names and URIs is among them.
    """
    names = {name.decode() for kind in ("peer_dns", "peer_uri") for name in auth_context.get(kind, ())}
    if accepted and not names & set(accepted):
        shown = ", ".join(sorted(names)) or "no name"
        raise NotPermittedError(f"this server does not take calls of {shown}; ask the gateway")


def _positive(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InvalidFieldError(TENANT_WEIGHT_KEY, "must be a number above 0, in the metadata")
    return weight


def _first(metadata: Metadata, key: str) -> str | None:
    return next((value for name, value in metadata if name == key and isinstance(value, str)), None)
