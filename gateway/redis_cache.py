"""A cache that gateways share, in Redis or Valkey. It may fail, be slow or be away: then there is none for a while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

_PREFIX = b"kandinsky:"
_KEEP_SECONDS = 7 * 24 * 3600

_CONNECTIONS = 64

# A prior takes longer than this.
_TIMEOUT_SECONDS = 0.2
# After a failure nobody asks for so long: waiting for what does not answer would slow every request down.
_PAUSE_SECONDS = 5.0

_log = logging.getLogger("gateway.redis_cache")


class RedisCache:
    """Bytes by key.

    Args:
        url: redis://, rediss:// (TLS) or valkey://, with user, password and database where they are needed.
        clock: seconds, rising.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = Redis.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            max_connections=_CONNECTIONS,
        )
        self._free_connections = asyncio.Semaphore(_CONNECTIONS)
        self._clock = clock
        self._paused_until = 0.0

    async def get(self, key: bytes) -> bytes | None:
        """The value of a key, if it is held and can be had."""
        value = await self._done(lambda: self._redis.get(_PREFIX + key))
        return value if isinstance(value, bytes) else None

    async def put(self, key: bytes, value: bytes) -> None:
        """Hold a value, if that can be done."""
        await self._done(lambda: self._redis.set(_PREFIX + key, value, ex=_KEEP_SECONDS))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _done(self, command: Callable[[], Awaitable[object]]) -> object:
        """What a command gives; None where it cannot be had."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self._free_connections.acquire()
        except TimeoutError:  # there is much to do, which speaks against nobody
            return None
        try:
            return None if self._clock() < self._paused_until else await command()
        except (RedisError, OSError) as error:
            self._pause(error)
            return None
        finally:
            self._free_connections.release()

    def _pause(self, error: Exception) -> None:
        self._paused_until = self._clock() + _PAUSE_SECONDS
        # Not the message, which may tell the URL.
        _log.warning("the shared cache failed", extra={"error": type(error).__name__})
