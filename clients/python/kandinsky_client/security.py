"""How a client secures its connection and says who it is."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import grpc

from kandinsky_client.channel import is_loopback

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tls:
    """A connection over TLS.

    Attributes:
        ca: file of the CAs that the gateway's certificate may be of, PEM; None: the public ones that gRPC knows.
        cert: file of the certificate to show a gateway that asks for one, PEM. With `key`.
        key: file of its private key, PEM.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def credentials(tls: Tls | None) -> grpc.ChannelCredentials | None:
    """What to open the channel with; None: no TLS. Raises OSError when a file cannot be read."""
    if tls is None:
        return None
    ca, key, cert = (None if path is None else path.read_bytes() for path in (tls.ca, tls.key, tls.cert))
    return grpc.ssl_channel_credentials(ca, key, cert)


def metadata(server: str, token: str | None, tls: Tls | None) -> Metadata:
    """What every call is sent with."""
    if token is None:
        return ()
    if tls is None and not is_loopback(server):
        warnings.warn(f"the token goes to {server} unencrypted: connect over TLS", stacklevel=3)
    return (("authorization", f"Bearer {token}"),)
