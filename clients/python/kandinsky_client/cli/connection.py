"""The flags of every command that talks to a server."""

from dataclasses import dataclass

from kandinsky_client.channel import DEFAULT_SERVER
from serving.flags import flag


@dataclass(frozen=True, kw_only=True)
class ConnectionFlags:
    """Where the server is and how long it may take."""

    server: str = flag("The server, or dns:///NAME:PORT.", default=DEFAULT_SERVER, metavar="HOST:PORT")
    timeout_seconds: float | None = flag("How long the call may take; none: as long as it does.", default=None)


@dataclass(frozen=True, kw_only=True)
class RequestFlags(ConnectionFlags):
    """What every request for device time has besides."""

    request_id: str | None = flag("Names the request in the server's log and for kandinsky cancel.", default=None)
