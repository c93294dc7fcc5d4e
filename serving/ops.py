"""The ports of those who watch a server: gRPC health without TLS for probes, and /metrics for Prometheus.

They answer from the first moment to the last, whatever state the server is in.
"""

import asyncio
import logging
from threading import Thread
from wsgiref.simple_server import WSGIServer

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from prometheus_client import CollectorRegistry, start_http_server

from serving.config import ServerConfig
from serving.ports import check_free, joined

_log = logging.getLogger("serving.ops")


class OpsPorts:
    """Both ports, each where the configuration asks for it. `start`, then `stop`.

    Attributes:
        health_address: host:port once started, None without such a port; `metrics_address` likewise.
    """

    def __init__(
        self, config: ServerConfig, health_servicer: health.aio.HealthServicer, registry: CollectorRegistry
    ) -> None:
        self._config = config
        self._health_servicer = health_servicer
        self._registry = registry
        self._health_server: grpc.aio.Server | None = None
        self._metrics_server: tuple[WSGIServer, Thread] | None = None
        self.health_address: str | None = None
        self.metrics_address: str | None = None

    async def start(self) -> None:
        """Listens.

        Raises:
            StartupError: one of the ports cannot be had.
        """
        if self._config.health_port is not None:
            await self._start_health(self._config.ops_host, self._config.health_port)
        if self._config.metrics_port is not None:
            self._start_metrics(self._config.ops_host, self._config.metrics_port)
        if self.health_address is not None or self.metrics_address is not None:
            _log.info("watched", extra={"health": self.health_address, "metrics": self.metrics_address})

    async def stop(self) -> None:
        """Closes what was opened."""
        if self._health_server is not None:
            await self._health_server.stop(None)
        if self._metrics_server is not None:
            http_server, thread = self._metrics_server
            await asyncio.to_thread(http_server.shutdown)
            http_server.server_close()
            await asyncio.to_thread(thread.join)

    async def _start_health(self, host: str, port: int) -> None:
        check_free(host, port, "--ops-host", "--health-port")
        self._health_server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health_servicer, self._health_server)
        self.health_address = joined(host, self._health_server.add_insecure_port(joined(host, port)))
        await self._health_server.start()

    def _start_metrics(self, host: str, port: int) -> None:
        check_free(host, port, "--ops-host", "--metrics-port")
        self._metrics_server = start_http_server(port, host, self._registry)
        self.metrics_address = joined(host, self._metrics_server[0].server_port)
