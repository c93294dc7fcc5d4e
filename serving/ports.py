"""Whether a port can be had, asked before gRPC is, whose error does not say why and whose library writes to stderr."""

import errno
import os
import socket

from serving.config import StartupError


def check_free(host: str, port: int, host_option: str = "--host", port_option: str = "--port") -> None:
    """Binds a socket of our own and closes it.

    Args:
        host: where to listen.
        port: what port; 0: any.
        host_option: the flag that chose the host, for the error.
        port_option: the flag that chose the port.

    Raises:
        StartupError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does: a port in TIME_WAIT is free
            probe.bind(address)
            probe.listen()
    except socket.gaierror as error:
        raise StartupError(f"{host} is not an address of this machine; choose another with {host_option}") from error
    except OSError as error:
        raise StartupError(_why_not(error, host, port, host_option, port_option)) from error


def joined(host: str, port: int) -> str:
    """host:port, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _why_not(error: OSError, host: str, port: int, host_option: str, port_option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another with {port_option}"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs rights that this user lacks; choose one above 1023 with {port_option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; choose another with {host_option}"
    return f"cannot listen on {joined(host, port)}: {os.strerror(error.errno or 0)}"
