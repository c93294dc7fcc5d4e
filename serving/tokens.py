"""The file of bearer tokens: which tenants there are, what each may do, and the hashes of its tokens.

    {"tenants": {"studio": {"tokens": ["sha256:…"], "weight": 2, "max_concurrent": 8, "max_queued_seconds": 120}}}

All but `tokens` may be left out. Two tokens of a tenant are valid at once, so that one can replace the other. A token
is random and long: one SHA-256 of it is enough, and nobody who reads the file can call.
"""

import hashlib
import hmac
import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.tenants import Tenant

_TOKEN_BYTES = 32
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # it travels as a header
_LIMITS = frozenset({"weight", "max_concurrent", "max_queued_seconds"})


class Tokens:
    """Tenants by the hashes of their tokens."""

    def __init__(self, entries: Sequence[tuple[bytes, Tenant]]) -> None:
        self._entries = tuple(entries)

    def __repr__(self) -> str:
        return f"Tokens({len(self._entries)} of {len({tenant.id for _, tenant in self._entries})} tenants)"

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """The file's.

        Raises:
            OSError: it cannot be read.
            ValueError: it holds something else; the message says what and where.
        """
        try:
            return cls.parse(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, text: bytes) -> "Tokens":
        """What `read` does, with what the file holds."""
        content = json.loads(text)
        tenants = content.get("tenants") if isinstance(content, dict) else None
        if not isinstance(tenants, dict) or not tenants:
            raise ValueError('must be {"tenants": {NAME: {"tokens": […], …}, …}}')
        entries = [entry for name, fields in tenants.items() for entry in _entries(name, fields)]
        if len({token for token, _ in entries}) < len(entries):
            raise ValueError("a token is named twice")
        return cls(entries)

    def tenant(self, token: str) -> Tenant | None:
        """Whose token it is; takes the same time whatever is asked."""
        given = hashed(token).encode()
        found = None
        for known, tenant in self._entries:
            if hmac.compare_digest(known, given):
                found = tenant
        return found


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hashed(token: str) -> str:
    """A token as the file has it."""
    return "sha256:" + hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def _entries(name: str, fields: Any) -> list[tuple[bytes, Tenant]]:
    tokens, tenant = _hashes(name, fields), _tenant(name, fields)
    return [(token.encode(), tenant) for token in tokens]


def _hashes(name: str, fields: Any) -> list[str]:
    if not isinstance(fields, dict):
        raise ValueError(f"tenant {name}: must be an object with tokens and limits")
    tokens = fields.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, str) and _HASH.fullmatch(token) for token in tokens):
        raise ValueError(f"tenant {name}: tokens must be a list of sha256:HEX, as kandinsky token prints it")
    return tokens


def _tenant(name: str, fields: Mapping[str, Any]) -> Tenant:
    if _TENANT_ID.fullmatch(name) is None:
        raise ValueError(f"tenant {name!r}: a name has 1 to 63 letters, digits, dots, dashes and underscores")
    unknown = fields.keys() - _LIMITS - {"tokens"}
    if unknown:
        raise ValueError(f"tenant {name}: {sorted(unknown)[0]} is not known; there are {', '.join(sorted(_LIMITS))}")
    limits = {limit: fields[limit] for limit in _LIMITS & fields.keys()}
    for limit, value in limits.items():
        whole = limit == "max_concurrent"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 < value < math.inf:
            raise ValueError(f"tenant {name}: {limit} must be a {'whole number' if whole else 'number'} above 0")
    return Tenant(id=name, **limits)
