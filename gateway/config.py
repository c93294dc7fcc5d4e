"""The gateway's flags."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.config import ServerConfig
from serving.flags import flag

# name:port, 10.0.0.1:port, [::1]:port, or dns:///name:port for a name with several addresses.
_ADDRESS = re.compile(r"(dns:///)?([\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")

_CACHE_SCHEMES = ("redis://", "rediss://", "valkey://", "valkeys://")


@dataclass(frozen=True, kw_only=True)
class GatewayConfig(ServerConfig):
    """The flags of `kandinsky-gateway`."""

    port: int = flag("Port to listen on; 0: one that the system chooses.", default=50050, minimum=0, maximum=65535)
    prior: tuple[str, ...] = flag(
        "Where the prior workers are: HOST:PORT, or dns:///NAME:PORT for all addresses of a name.",
        metavar="ADDRESS[,ADDRESS…]",
    )
    decoder: tuple[str, ...] = flag("Where the decoder workers are, likewise.", metavar="ADDRESS[,ADDRESS…]")
    dns_refresh_seconds: float = flag("How old what DNS says of a dns:/// name may be.", default=10.0, minimum=0.1)
    progress_timeout_seconds: float = flag(
        "How long a worker may get no further with its work before the work goes to another one; longer than a worker "
        "may need to compile a size on first use.",
        default=60.0,
        minimum=0.1,
    )
    checkpoint_every_steps: int = flag(
        "Steps after which decoders send what another one could go on from, should they be lost; 0: never.",
        default=10,
        minimum=0,
    )
    max_queue_seconds: float = flag(
        "Work that may wait for a tier, in device seconds for each of its workers; more is refused.",
        default=120.0,
        minimum=0,
    )
    max_requests: int = flag("Requests that may wait and run at once; more are refused.", default=1000, minimum=1)
    cache_bytes: int = flag("Memory for embeddings of prompts; 0: none are kept.", default=64 * 2**20, minimum=0)
    shared_cache: str | None = flag(
        "A Redis or Valkey server for embeddings that several gateways share; none: each has its own.",
        default=None,
        metavar="URL",
    )

    tokens: Path | None = flag(
        "Tenants and the hashes of their bearer tokens, JSON; read again when it changes. None: no token is asked for.",
        default=None,
        metavar="FILE",
    )
    worker_ca: Path | None = flag(
        "Workers are reached over TLS and need a certificate of these CAs, PEM; none: no TLS.",
        default=None,
        metavar="FILE",
    )
    worker_cert: Path | None = flag("The certificate shown to workers, PEM.", default=None, metavar="FILE")
    worker_key: Path | None = flag("Its private key, PEM.", default=None, metavar="FILE")

    def __post_init__(self) -> None:
        """Refuses what cannot be an address, and half of a pair of flags."""
        super().__post_init__()
        if (self.worker_cert is None) != (self.worker_key is None):
            raise ValueError("--worker-cert and --worker-key: give both or none")
        if self.worker_cert is not None and self.worker_ca is None:
            raise ValueError("--worker-cert: needs --worker-ca")
        if self.shared_cache is not None and not self.shared_cache.startswith(_CACHE_SCHEMES):
            raise ValueError("--shared-cache: must be a URL that begins with " + " or ".join(_CACHE_SCHEMES))
        _check_addresses("--prior", self.prior)
        _check_addresses("--decoder", self.decoder)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether clients have to send a token."""
        return self.tokens is not None


def _check_addresses(option: str, addresses: Sequence[str]) -> None:
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise ValueError(f"{option}: {address!r} is not allowed; it must be HOST:PORT or dns:///NAME:PORT")
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"{option}: an address is named twice")
