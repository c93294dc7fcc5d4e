"""The flags that every server has, and the error that a server which cannot start ends with."""

from dataclasses import dataclass
from pathlib import Path
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
    log_prompts: bool = flag("Whether the log may hold prompts.", default=False)
    tracing: str | None = flag(
        "Where an OpenTelemetry collector takes spans, OTLP over gRPC, as http://HOST:4317 (https:// for TLS); none: "
        "no tracing.",
        default=None,
        metavar="URL",
    )
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
    tls_cert: Path | None = flag(
        "The server's certificate chain, PEM; read again when it changes. None: no TLS.", default=None, metavar="FILE"
    )
    tls_key: Path | None = flag("Its private key, PEM.", default=None, metavar="FILE")
    tls_client_ca: Path | None = flag(
        "Clients need a certificate of these CAs, PEM; none: they need no certificate.", default=None, metavar="FILE"
    )
    tls_client_names: tuple[str, ...] = flag(
        "Only clients are served whose certificate has one of these DNS names or URIs; none: any of the CA.",
        default=(),
        metavar="NAME[,NAME…]",
    )

    def __post_init__(self) -> None:
        """Refuses flags of which one is nothing without the other."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key: give both, or none for no TLS")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca: needs --tls-cert and --tls-key")
        if self.tls_client_names and self.tls_client_ca is None:
            raise ValueError("--tls-client-names: needs --tls-client-ca, whose certificates the names are in")

    @property
    def asks_for_tokens(self) -> bool:
        """Whether clients have to send a token; only a gateway can ask for one."""
        return False
