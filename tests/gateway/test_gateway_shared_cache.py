"""Embeddings that gateways share through Redis: found by the next gateway, and never a reason to fail."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fakeredis import TcpFakeServer

from gateway.redis_cache import RedisCache
from imagegen.v1.gateway_pb2 import EncodePromptRequest
from imagegen.v1.prior_pb2 import PriorParams
from tests.gateway.fakes import Deployment, deploy, until

CONNECTIONS = 64
# Longer than any machine that is busy takes.
PATIENT_SECONDS = 30.0
REQUEST = EncodePromptRequest(prompt="cat", params=PriorParams(seed=1))


@pytest.fixture
def redis_url() -> Iterator[str]:
    server = TcpFakeServer(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
    thread.join()


@asynccontextmanager
async def gateway_with(url: str) -> AsyncIterator[Deployment]:
    async with deploy(cache_bytes=2**20, shared_cache=url) as deployment:
        yield deployment


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_what_one_gateway_has_asked_for_another_one_finds(redis_url: str, scheme: str) -> None:
    url = redis_url.replace("redis", scheme, 1)
    async with gateway_with(url) as first:
        made = await first.stub.EncodePrompt(REQUEST)
    async with gateway_with(url) as second:
        found = [await second.stub.EncodePrompt(REQUEST) for _ in range(2)]
        assert second.prior.requests == []
    assert not made.receipt.cache_hit
    assert [answer.receipt.cache_hit for answer in found] == [True, True]
    assert found[0].embeddings == found[1].embeddings == made.embeddings


async def test_a_server_that_is_away_costs_nothing_but_its_hits() -> None:
    async with gateway_with("redis://127.0.0.1:1/0") as deployment:
        assert not (await deployment.stub.EncodePrompt(REQUEST)).receipt.cache_hit
        assert (await deployment.stub.EncodePrompt(REQUEST)).receipt.cache_hit


async def test_a_server_that_never_answers_is_not_waited_for_twice() -> None:
    now = [10.0]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = RedisCache(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", lambda: now[0])
        assert await cache.get(b"key") is None
        assert cache._paused_until == 15.0
        await cache.put(b"key", b"value")  # would take as long again, were it tried
        now[0] = 15.0
        assert await cache.get(b"key") is None
        assert cache._paused_until == 20.0
        await cache.close()


async def test_more_lookups_than_there_are_connections_take_turns(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.redis_cache._TIMEOUT_SECONDS", PATIENT_SECONDS)
    cache = RedisCache(redis_url)
    await cache.put(b"key", b"value")
    assert await asyncio.gather(*(cache.get(b"key") for _ in range(3 * CONNECTIONS))) == [b"value"] * 3 * CONNECTIONS
    await cache.close()


async def test_a_lookup_whose_turn_does_not_come_is_a_miss_and_no_reason_to_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with connections() as (address, opened):
        monkeypatch.setattr("gateway.redis_cache._TIMEOUT_SECONDS", PATIENT_SECONDS)
        cache = RedisCache(f"redis://{address}/0")
        busy = asyncio.gather(*(cache.get(b"key") for _ in range(CONNECTIONS)))
        await until(lambda: len(opened) == CONNECTIONS)
        monkeypatch.setattr("gateway.redis_cache._TIMEOUT_SECONDS", 0.01)
        assert await cache.get(b"key") is None
        assert cache._paused_until == 0
        busy.cancel()
        await asyncio.wait((busy,))
        await cache.close()


async def test_lookups_that_wait_for_their_turn_when_the_server_fails_do_not_ask_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.redis_cache._TIMEOUT_SECONDS", PATIENT_SECONDS)
    async with connections() as (address, opened):
        cache = RedisCache(f"redis://{address}/0")
        lookups = asyncio.gather(*(cache.get(b"key") for _ in range(2 * CONNECTIONS)))
        await until(lambda: len(opened) == CONNECTIONS)
        for writer in opened:
            writer.close()
        assert await lookups == [None] * 2 * CONNECTIONS
        assert len(opened) == CONNECTIONS
        await cache.close()


@asynccontextmanager
async def connections() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """A server that takes connections and says nothing: its address, and those it has."""
    opened: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: opened.append(writer), "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", opened
    finally:
        for writer in opened:
            writer.close()
        server.close()
        await server.wait_closed()


async def test_what_no_gateway_has_written_is_no_hit(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def garbage(*_: object) -> bytes:
        return b"\xff\xff\xff"

    monkeypatch.setattr(RedisCache, "get", garbage)
    async with gateway_with(redis_url) as deployment:
        assert not (await deployment.stub.EncodePrompt(REQUEST)).receipt.cache_hit
