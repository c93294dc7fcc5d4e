"""A fake gateway, and both clients behind one way of calling them."""

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from kandinsky_client import AsyncClient, Client
from tests.client.fake_service import FakeImageService, FakeServer


class Caller:
    """Carries a call out with either client, so that one test holds for both.

    Args:
        kind: which client.
        server: its address.
        options: the client's own.
    """

    def __init__(self, kind: type[Client] | type[AsyncClient], server: str, **options: Any) -> None:
        self.kind = kind
        self.server = server
        self.options = options

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        if self.kind is AsyncClient:
            return asyncio.run(self._call(method, *arguments, **options))
        with Client(self.server, **self.options) as client:
            answer = getattr(client, method)(*arguments, **options)
            return list(answer) if method == "stream_img2img" else answer

    def with_options(self, **options: Any) -> "Caller":
        return Caller(self.kind, self.server, **options)

    async def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        async with AsyncClient(self.server, **self.options) as client:
            answer = getattr(client, method)(*arguments, **options)
            return [event async for event in answer] if method == "stream_img2img" else await answer


@pytest.fixture
def environment() -> dict[str, str]:
    """For child processes: this one's, with the modules that it finds and without settings for the command."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("KANDINSKY_")}
    return settings | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def service() -> FakeImageService:
    return FakeImageService()


@pytest.fixture
def server(service: FakeImageService) -> Iterator[str]:
    with FakeServer(service) as running:
        yield running.address


@pytest.fixture(params=[Client, AsyncClient])
def call(request: pytest.FixtureRequest, server: str) -> Caller:
    return Caller(request.param, server)
