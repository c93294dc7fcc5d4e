"""The flags of every command that talks to a server."""

from dataclasses import dataclass
from pathlib import Path

from kandinsky_client.channel import DEFAULT_SERVER
from kandinsky_client.cli.failures import UsageError
from kandinsky_client.client import Client
from kandinsky_client.security import Tls
from serving.flags import flag


@dataclass(frozen=True, kw_only=True)
class ConnectionFlags:
    """Where the server is and how long it may take."""

    server: str = flag("The server, or dns:///NAME:PORT.", default=DEFAULT_SERVER, metavar="HOST:PORT")
    timeout_seconds: float | None = flag("How long the call may take; none: as long as it does.", default=None)
    token: str | None = flag("Who asks, where the server wants to know.", default=None)
    tls: bool = flag("Connect over TLS; --ca and --client-cert imply it.", default=False)
    ca: Path | None = flag(
        "CAs that the server's certificate may be of, PEM; none: the public ones.", default=None, metavar="FILE"
    )
    client_cert: Path | None = flag("Certificate to show the server, PEM.", default=None, metavar="FILE")
    client_key: Path | None = flag("Its private key, PEM.", default=None, metavar="FILE")

    def __post_init__(self) -> None:
        """Refuses half of a pair of flags."""
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("--client-cert and --client-key: give both or none")

    def connect(self) -> Client:
        """A client of the server, to be closed."""
        secured = self.tls or self.ca is not None or self.client_cert is not None
        tls = Tls(self.ca, self.client_cert, self.client_key) if secured else None
        try:
            return Client(self.server, token=self.token, tls=tls)
        except ValueError as error:
            raise UsageError(f"--token: {error} (--tls)") from error


@dataclass(frozen=True, kw_only=True)
class RequestFlags(ConnectionFlags):
    """What every request for device time has besides."""

    request_id: str | None = flag("Names the request in the server's log and for kandinsky cancel.", default=None)
