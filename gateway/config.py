"""The gateway's flags."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from serving.config import ServerConfig
from serving.flags import flag

# name:port, 10.0.0.1:port, [::1]:port, or dns:///name:port for a name with several addresses.
_ADDRESS = re.compile(r"(dns:///)?([\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class GatewayConfig(ServerConfig):
    """The flags of `kandinsky-gateway`."""

    port: int = flag("Port to listen on; 0: one that the system chooses.", default=50050, minimum=0, maximum=65535)
    prior: tuple[str, ...] = flag(
        "Where the prior workers are: HOST:PORT, or dns:///NAME:PORT for all addresses of a name.",
        metavar="ADDRESS[,ADDRESS…]",
    )
    decoder: tuple[str, ...] = flag("Where the decoder workers are, likewise.", metavar="ADDRESS[,ADDRESS…]")

    def __post_init__(self) -> None:
        """Refuses what cannot be an address."""
        _check_addresses("--prior", self.prior)
        _check_addresses("--decoder", self.decoder)


def _check_addresses(option: str, addresses: Sequence[str]) -> None:
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise ValueError(f"{option}: {address!r} is not allowed; it must be HOST:PORT or dns:///NAME:PORT")
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"{option}: an address is named twice")
