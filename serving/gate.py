"""Whether calls are let in: nothing while the server loads, no new work while it stops."""

import asyncio
import enum

from imagegen.v1.common_pb2 import Tier
from serving.errors import DrainingError, NoWorkerError, tier_name

# Long enough for a load balancer to have noticed, short enough to be worth waiting.
RETRY_AFTER_SECONDS = 1.0


class ServerState(enum.Enum):
    """Where a server is in its life."""

    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"


class Gate:
    """Refuses calls by the server's state, and knows when the last one has been answered."""

    def __init__(self, tier: Tier.ValueType) -> None:
        self.state = ServerState.LOADING
        self._tier = tier
        self._open_calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return f"Gate({self.state.value}, {self._open_calls} calls open)"

    def check(self, is_work: bool) -> None:
        """Raises what a call is refused with: all while loading, work while draining (a Cancel is still let in)."""
        if self.state is ServerState.LOADING:
            message = f"the {tier_name(self._tier).lower()} is still loading; ask again"
            raise NoWorkerError(self._tier, message, RETRY_AFTER_SECONDS)
        if self.state is ServerState.DRAINING and is_work:
            raise DrainingError(RETRY_AFTER_SECONDS)

    def enter(self) -> None:
        """Counts a call that the server has to answer before it stops."""
        self._open_calls += 1
        self._idle.clear()

    def leave(self) -> None:
        """Counts its end, once the answer has been sent."""
        self._open_calls -= 1
        if self._open_calls == 0:
            self._idle.set()

    async def wait_idle(self, timeout_seconds: float) -> bool:
        """Waits until no call is open; False when that took too long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
