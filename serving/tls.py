"""TLS for servers and for channels. Both follow their files, so a certificate is replaced without a restart.

A server looks at every handshake; who holds a channel asks `current()` and opens a new one when it is another object.
Connections that are open stay open.
"""

import ssl
from pathlib import Path

import grpc

from serving.watched import Watched

ChannelCredentials = Watched[grpc.ChannelCredentials | None]


def server_credentials(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """What a port is opened with.

    Args:
        cert: the server's certificate and what leads up to its CA, PEM.
        key: its private key, PEM.
        client_ca: clients need a certificate of one of these CAs, PEM; None: they need none.

    Raises:
        OSError, ValueError: a file cannot be read, or holds something else.
    """
    paths = [cert, key] if client_ca is None else [cert, key, client_ca]

    def read() -> grpc.ServerCertificateConfiguration:
        roots = None if client_ca is None else _roots(client_ca)
        return grpc.ssl_server_certificate_configuration([_identity(cert, key)], roots)

    watched = Watched(paths, read)
    served = watched.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        before, served = served, watched.current()
        return None if served is before else served

    mutual = client_ca is not None
    # The stubs don't know that None means: as before.
    return grpc.dynamic_ssl_server_credentials(served, changed, mutual)  # type: ignore[arg-type]


def channel_credentials(ca: Path | None, cert: Path | None = None, key: Path | None = None) -> ChannelCredentials:
    """What a channel is opened with; without a CA that is None: no TLS.

    Args:
        ca: the server's certificate must be of one of these CAs, PEM.
        cert: the certificate to show, PEM; None for none.
        key: its private key, PEM.

    Raises:
        OSError, ValueError: a file cannot be read, or holds something else.
    """

    def read() -> grpc.ChannelCredentials | None:
        if ca is None:
            return None
        if cert is None or key is None:
            return grpc.ssl_channel_credentials(_roots(ca))
        private_key, chain = _identity(cert, key)
        return grpc.ssl_channel_credentials(_roots(ca), private_key, chain)

    return Watched([path for path in (ca, cert, key) if path is not None], read)


def _identity(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """Key and chain, known to belong together: gRPC would find out in the middle of a handshake, and not say so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    private_key, chain = key.read_bytes(), cert.read_bytes()
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise ValueError(f"{cert} and {key} are not a certificate and its key, in PEM") from error
    return private_key, chain


def _roots(ca: Path) -> bytes:
    pem = ca.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError(f"{ca} holds no CA certificate in PEM") from error
    return pem
