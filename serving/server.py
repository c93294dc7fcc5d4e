"""A gRPC server from its first socket to its last answer: limits, health, reflection, loading, draining."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from imagegen.v1.common_pb2 import Tier
from serving.flags import flag
from serving.gate import Gate, ServerState
from serving.interceptor import CallInterceptor
from serving.requests import RunningRequests

LIVENESS = ""
READINESS = "readiness"

_LAST_WORDS_SECONDS = 0.2

_log = logging.getLogger("serving.server")


def _nobody() -> None:
    """Nobody is told."""


class StartupError(Exception):
    """Why a server cannot start and what to do about it, in one line."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The flags that every server has."""

    host: str = flag("Address to listen on; 0.0.0.0: all of the machine's.", default="127.0.0.1", metavar="ADDRESS")
    port: int = flag("Port to listen on; 0: one that the system chooses.", default=0, minimum=0, maximum=65535)
    max_message_bytes: int = flag("Largest message that is accepted.", default=64 * 2**20, minimum=2**10)
    drain_seconds: float = flag("How long running requests may take after SIGTERM.", default=30.0, minimum=0)
    log_level: Literal["debug", "info", "warning", "error"] = flag("Least level that is logged.", default="info")


@dataclass(frozen=True)
class Application:
    """What a server serves.

    Attributes:
        tier: which tier it is.
        service: full name of its gRPC service.
        running: its running requests, for its Cancel method and the phases.
        add_to_server: adds the service's methods.
        warm_up: loads and compiles, in the event loop while health checks are answered; raises StartupError. Other
            calls are refused until it has returned.
        close: frees what the application holds; called once, after the last answer, also when warm-up failed.
        drain: called once, when the server takes no new work any more but may still have some.
    """

    tier: Tier.ValueType
    service: str
    running: RunningRequests
    add_to_server: Callable[[grpc.aio.Server], None]
    warm_up: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    drain: Callable[[], None] = _nobody


class Server:
    """One gRPC server. `start`, `warm_up`, `stop`, in this order; `stop` is due after every `start` that returned."""

    def __init__(self, application: Application, config: ServerConfig) -> None:
        self._application = application
        self._config = config
        self._gate = Gate(application.tier)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(self._gate, application.running)],
            options=[
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.max_send_message_length", -1),  # the receiver sets the limit
                ("grpc.so_reuseport", 0),  # else a second server on the port would silently share it
                # Clients ping every 30 s, also while a unary call is silent for minutes; by default gRPC takes that for
                # an attack and ends the connection.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )

    def __repr__(self) -> str:
        return f"Server({self._application.service}, {self._gate!r})"

    async def start(self) -> str:
        """Listens; health answers, all else is refused. Returns the address, host:port.

        Raises:
            StartupError: the address cannot be had.
        """
        self._application.add_to_server(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (self._application.service, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        address = self._bind()
        await self._server.start()
        return address

    async def warm_up(self) -> None:
        """Warms the application up; from then on calls are served."""
        await self._application.warm_up()
        self._gate.state = ServerState.SERVING
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Says NOT_SERVING, refuses new work, lets running work finish as long as configured, and closes."""
        self._gate.state = ServerState.DRAINING
        self._application.drain()
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        if not await self._gate.wait_idle(self._config.drain_seconds):
            _log.warning("requests are cut off", extra={"requests": len(self._application.running)})
        # What is still open are watchers, who are to read NOT_SERVING, and what outstayed its time.
        await self._server.stop(_LAST_WORDS_SECONDS)
        await self._application.close()

    def _bind(self) -> str:
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        _check_free(self._config.host, self._config.port)
        try:
            port = self._server.add_insecure_port(f"{host}:{self._config.port}")
        except RuntimeError as error:
            raise StartupError(f"cannot listen on {host}:{self._config.port}: {error}") from error
        return f"{host}:{port}"

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        # Not liveness: that is the event loop, which runs while the server loads and while it stops.
        await asyncio.gather(*(self._health.set(name, status) for name in (READINESS, self._application.service)))


def _check_free(host: str, port: int) -> None:
    """Binds a socket of our own first: gRPC's error does not say why, and its library writes lines to stderr."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does: a port in TIME_WAIT is free
            probe.bind(address)
            probe.listen()
    except socket.gaierror as error:
        raise StartupError(f"{host} is not an address of this machine; choose another with --host") from error
    except OSError as error:
        raise StartupError(_why_not(error, host, port)) from error


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs rights that this user lacks; choose one above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; choose another with --host"
    return f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"
