"""A gRPC server from its first socket to its last answer: limits, health, reflection, loading, draining."""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from imagegen.v1.common_pb2 import Tier
from serving.access import TenantOf, anybody
from serving.calls import Observer
from serving.config import ServerConfig, StartupError
from serving.gate import Gate, ServerState
from serving.interceptor import CallInterceptor
from serving.metrics import Metrics
from serving.ops import OpsPorts
from serving.ports import check_free, joined
from serving.requests import RunningRequests
from serving.tls import server_credentials
from serving.watched import why_unusable

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from serving.tracing import Tracing

LIVENESS = ""
READINESS = "readiness"

_LAST_WORDS_SECONDS = 0.2
# For what the device has begun, and for telling clients how far their work has come.
_HAND_OVER_SECONDS = 5.0
# Tokens and traces need some hundreds. gRPC refuses some calls that have more, and all that have twice as much.
_METADATA_BYTES = 8 * 2**10
# A client whose machine has gone says nothing; without pings its requests would be computed until TCP gives up.
_PING_SECONDS = 20
_PING_TIMEOUT_SECONDS = 5

_log = logging.getLogger("serving.server")


def _nobody() -> None:
    """Nobody is told."""


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
        hand_over: called when it has outstayed its time: to be ended at once, so that others can go on with it.
        metrics: what it counts; the server counts its calls there.
        tenant_of: whom a call is for, by its metadata; refuses calls without the credentials it asks for.
    """

    tier: Tier.ValueType
    service: str
    running: RunningRequests
    add_to_server: Callable[[grpc.aio.Server], None]
    warm_up: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    drain: Callable[[], None] = _nobody
    hand_over: Callable[[], None] = _nobody
    metrics: Metrics = field(default_factory=Metrics)
    tenant_of: TenantOf = anybody


class Server:
    """One gRPC server. `start`, `warm_up`, `stop`, in this order; `stop` is due after every `start` that returned.

    The constructor raises StartupError, too: --tracing may need a package that is not installed.

    Attributes:
        ops: its ports for health and metrics.
    """

    def __init__(self, application: Application, config: ServerConfig) -> None:
        self._application = application
        self._config = config
        self._gate = Gate(application.tier)
        self._health = health.aio.HealthServicer()
        self.ops = OpsPorts(config, self._health, application.metrics.registry)
        self._tracing = _open_tracing(config.tracing, application.tier)
        observer = Observer(application.metrics, self._tracing, log_prompts=config.log_prompts)
        self._server = grpc.aio.server(
            interceptors=[
                CallInterceptor(
                    self._gate, application.running, observer, application.tenant_of, config.tls_client_names
                )
            ],
            options=[
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.max_send_message_length", -1),  # the receiver sets the limit
                ("grpc.max_metadata_size", _METADATA_BYTES),
                ("grpc.so_reuseport", 0),  # else a second server on the port would silently share it
                ("grpc.keepalive_time_ms", 1000 * _PING_SECONDS),
                ("grpc.http2.ping_timeout_ms", 1000 * _PING_TIMEOUT_SECONDS),
                ("grpc.http2.max_pings_without_data", 0),  # as many as there are silent minutes
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
        await self.ops.start()
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
            _log.warning("requests are handed over", extra={"requests": len(self._application.running)})
            self._application.hand_over()
            await self._gate.wait_idle(_HAND_OVER_SECONDS)
        # What is still open are watchers, who are to read NOT_SERVING, and what outstayed its time.
        await self._server.stop(_LAST_WORDS_SECONDS)
        await self._application.close()
        if self._tracing is not None:
            await self._tracing.close()
        await self.ops.stop()

    def _bind(self) -> str:
        host, address = self._config.host, joined(self._config.host, self._config.port)
        check_free(host, self._config.port)
        try:
            return joined(host, self._add_port(address))
        except RuntimeError as error:
            raise StartupError(f"cannot listen on {address}: {error}") from error
        except (OSError, ValueError) as error:
            raise StartupError(f"--tls-cert and the like: {why_unusable(error)}") from error

    def _add_port(self, address: str) -> int:
        cert, key = self._config.tls_cert, self._config.tls_key
        if cert is None or key is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, server_credentials(cert, key, self._config.tls_client_ca))

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        is_ready = status == health_pb2.HealthCheckResponse.SERVING
        self._application.metrics.ready(self._application.tier, is_ready=is_ready)
        # Not liveness: that is the event loop, which runs while the server loads and while it stops.
        await asyncio.gather(*(self._health.set(name, status) for name in (READINESS, self._application.service)))


def _open_tracing(endpoint: str | None, tier: Tier.ValueType) -> "Tracing | None":
    """The spans' way out, where it is asked for."""
    if endpoint is None:
        return None
    try:
        tracing = importlib.import_module("serving.tracing")
    except ModuleNotFoundError as error:
        install = 'pip install "kandinsky-serving[tracing]"'
        raise StartupError(f"--tracing needs the package {error.name}: {install}") from error
    opened: Tracing = tracing.Tracing(endpoint, tier)
    return opened
