"""News of a request on their way to its client, who may be slower than the device.

A device never waits for a client: news that are not read yet are replaced by newer ones.
"""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from typing import Any, Generic, TypeVar

News = TypeVar("News")


class Mailbox(Generic[News]):
    """Holds the newest piece of news for each key until it is read."""

    def __init__(self) -> None:
        self._news: dict[Hashable, News] = {}
        self._arrived = asyncio.Event()

    def put(self, key: Hashable, news: News) -> None:
        """Leave news; older ones under the key that were not read are gone."""
        self._news.pop(key, None)
        self._news[key] = news
        self._arrived.set()

    async def follow(self, work: asyncio.Future[Any]) -> AsyncGenerator[News, None]:
        """Yield news as they come, in the order they came, until the work has ended."""
        work.add_done_callback(lambda _: self._arrived.set())
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            news, self._news = self._news, {}
            for piece in news.values():
                yield piece
            if work.done() and not self._news:
                return
