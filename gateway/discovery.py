"""Where the workers are: addresses as they were given, and all those of a DNS name, looked up again and again."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

_SCHEME = "dns:///"

_log = logging.getLogger("gateway.discovery")


async def lookup(name: str, port: int) -> frozenset[str]:
    """All addresses of a name, as host:port.

    Raises:
        OSError: it has none, or nobody could be asked.
    """
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    hosts = {str(address[0]) for _, _, _, _, address in found}
    return frozenset(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)


class Discovery:
    """The addresses of one tier.

    Args:
        addresses: host:port, or dns:///name:port.
        refresh_seconds: how old what DNS says may be.
        look_up: asks for a name's addresses.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        refresh_seconds: float,
        look_up: Callable[[str, int], Awaitable[frozenset[str]]],
    ) -> None:
        self._fixed = [address for address in addresses if not address.startswith(_SCHEME)]
        self._names = [address.removeprefix(_SCHEME) for address in addresses if address.startswith(_SCHEME)]
        self._refresh_seconds = refresh_seconds
        self._look_up = look_up
        self._known: dict[str, frozenset[str]] = dict.fromkeys(self._names, frozenset())

    def __repr__(self) -> str:
        return f"Discovery({len(self._fixed)} fixed, {', '.join(self._names) or 'no names'})"

    def addresses(self) -> Mapping[str, str | None]:
        """Each address known, and the name it was found by: its certificate has that name. None: its own."""
        named = {address: name.rpartition(":")[0] for name in self._names for address in self._known[name]}
        return {**named, **dict.fromkeys(self._fixed)}

    async def refresh(self) -> None:
        """Look all names up. A name that has no answer keeps its addresses: DNS may be down while workers are not."""
        for name in self._names:
            host, _, port = name.rpartition(":")
            try:
                self._known[name] = await self._look_up(host.strip("[]"), int(port))
            except OSError as error:
                _log.warning("name not found", extra={"worker_name": name, "error": str(error)})

    async def follow(self, tell: Callable[[Mapping[str, str | None]], None]) -> None:
        """Keep telling the addresses; ends when cancelled, or at once where there are no names."""
        while self._names:
            await asyncio.sleep(self._refresh_seconds)
            await self.refresh()
            tell(self.addresses())
