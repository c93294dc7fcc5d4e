"""Single flight: those who want the same at the same time wait for one answer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

ValueT = TypeVar("ValueT")


class _Flight(Generic[ValueT]):
    def __init__(self, task: "asyncio.Task[ValueT]") -> None:
        self.task = task
        self.passengers = 0


class Flights(Generic[ValueT]):
    """What is being fetched, by key. Only used in one event loop."""

    def __init__(self) -> None:
        self._flights: dict[bytes, _Flight[ValueT]] = {}

    def __contains__(self, key: bytes) -> bool:
        """Whether a call of `join` would find others on their way."""
        return key in self._flights

    async def join(self, key: bytes, fetch: Callable[[], Coroutine[Any, Any, ValueT]]) -> ValueT:
        """What `fetch` gives, to all who want it. It goes on while one of them waits, whoever began it."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(fetch()))
        flight.passengers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.passengers -= 1
            if self._flights.get(key) is flight and (flight.task.done() or not flight.passengers):
                del self._flights[key]
            if not flight.passengers:
                flight.task.cancel()
