"""`kandinsky cancel`: stops a request."""

from collections.abc import Sequence
from dataclasses import dataclass

from kandinsky_client.cli.connection import ConnectionFlags
from kandinsky_client.cli.failures import OTHER
from serving import flags
from serving.flags import flag

DESCRIPTION = (
    "Stop a running request: kandinsky cancel REQUEST_ID. Whoever waits for it is told that it was cancelled. "
    "Exits with 1 if there was nothing to stop."
)


@dataclass(frozen=True, kw_only=True)
class CancelFlags(ConnectionFlags):
    """The command's flags."""

    request_id: str = flag("The request; its flag's name may be left out.")
    timeout_seconds: float | None = flag("How long the server may take to answer.", default=10.0)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    named = ["--request-id", *argv] if argv and not argv[0].startswith("-") else argv
    given = flags.parse(CancelFlags, "kandinsky cancel", DESCRIPTION, named)
    with given.connect() as client:
        result = client.cancel(given.request_id, timeout_seconds=given.timeout_seconds)
    if not result.found:
        print(f"{given.request_id}: no such request is waiting or running")
        return OTHER
    print(f"{given.request_id}: cancelled while {result.phase}")
    return 0
