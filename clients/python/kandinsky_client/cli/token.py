"""`kandinsky token`: a new bearer token for a tenant of a gateway."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kandinsky_client.cli.failures import UsageError
from serving import flags
from serving.flags import flag
from serving.tokens import Tokens, hashed, new_token

DESCRIPTION = (
    "Make a bearer token and put its hash into the file of a gateway's --tokens. Prints the token: it is kept nowhere. "
    "Further tokens of a tenant are added; take the old ones out once nobody uses them."
)


@dataclass(frozen=True, kw_only=True)
class TokenFlags:
    """The command's flags."""

    tenant: str = flag("Whom the token is for; made if there is no such tenant yet.", metavar="NAME")
    tokens: Path = flag("The gateway's file; made if it is not there.", metavar="FILE")


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    given = flags.parse(TokenFlags, "kandinsky token", DESCRIPTION, argv)
    token = new_token()
    text = with_hash(given.tokens, given.tenant, hashed(token))
    _replace(given.tokens, text)
    print(f"{given.tenant}'s token, whose hash is now in {given.tokens}:", file=sys.stderr)
    print(token)
    return 0


def with_hash(file: Path, tenant: str, token_hash: str) -> str:
    """What the file holds, with one more hash.

    Raises:
        UsageError: the file holds something else, or the name is not a tenant's.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {"tenants": {}}
        content["tenants"].setdefault(tenant, {}).setdefault("tokens", []).append(token_hash)
        text = json.dumps(content, indent=2) + "\n"
        Tokens.parse(text.encode())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"--tokens: {file}: {error}") from error
    return text


def _replace(file: Path, text: str) -> None:
    """At once, so that no gateway reads half of it. Who may read it stays as it was; at first only its owner."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        if file.exists():
            _give_to_the_same(new, file)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _give_to_the_same(new: Path, file: Path) -> None:
    """The owner, group and mode of another file.

    Raises:
        UsageError: this user may not.
    """
    wanted = file.stat()
    try:
        os.chown(new, wanted.st_uid, wanted.st_gid)
    except PermissionError:
        raise UsageError(f"--tokens: {file} belongs to user {wanted.st_uid}; run this as that user or root") from None
    new.chmod(wanted.st_mode & 0o777)
