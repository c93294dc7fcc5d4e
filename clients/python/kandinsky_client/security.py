"""How a client secures its connection and says who it is."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import grpc

from kandinsky_client.channel import ChannelOptions, is_loopback

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tls:
    """A connection over TLS.

    Attributes:
        ca: file of the CAs that the gateway's certificate may be of, PEM; None: the public ones that gRPC knows.
        cert: file of the certificate to show a gateway that asks for one, PEM. With `key`.
        key: file of its private key, PEM.
        server_name: the name that the gateway's certificate must have; None: the host that is connected to.
    """

    ca: str | PathLike[str] | None = None
    cert: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None
    server_name: str | None = None


def credentials(tls: Tls | None) -> grpc.ChannelCredentials | None:
    """What to open the channel with; None: no TLS. Raises OSError when a file cannot be read."""
    if tls is None:
        return None
    ca, key, cert = (None if path is None else Path(path).read_bytes() for path in (tls.ca, tls.key, tls.cert))
    return grpc.ssl_channel_credentials(ca, key, cert)


def options(tls: Tls | None) -> ChannelOptions:
    """The channel's options besides those that every channel has."""
    if tls is None or tls.server_name is None:
        return []
    return [("grpc.ssl_target_name_override", tls.server_name)]


def metadata(server: str, token: str | None, tls: Tls | None) -> Metadata:
    """What every call is sent with.

    Raises:
        ValueError: a token would travel to another machine for everybody to read.
    """
    if token is None:
        return ()
    if tls is None and not is_loopback(server):
        raise ValueError(f"the token would go to {server} unencrypted; connect over TLS")
    return (("authorization", f"Bearer {token}"),)
