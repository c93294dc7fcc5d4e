"""The flags that every server has, and the error that a server which cannot start ends with."""

from dataclasses import dataclass
from typing import Literal

from serving.flags import flag


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
    health_port: int | None = flag(
        "A second port, without TLS, for gRPC health checks only; none: they are answered on the first one.",
        default=None,
        minimum=0,
        maximum=65535,
    )
    metrics_port: int | None = flag(
        "Port of /metrics, over plain HTTP for Prometheus; none: no metrics.", default=None, minimum=0, maximum=65535
    )
    ops_host: str = flag("Address of these two ports.", default="127.0.0.1", metavar="ADDRESS")
