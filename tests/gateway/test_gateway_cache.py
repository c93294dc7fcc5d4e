"""The embedding cache: bounded by bytes, one flight for all who want the same, no prior for what is held."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from gateway.flights import Flights
from gateway.lru_cache import LruCache
from imagegen.v1.decoder_pb2 import Img2ImgParams
from imagegen.v1.gateway_pb2 import EncodePromptRequest, GetServerInfoRequest, Img2ImgRequest, StreamImg2ImgRequest
from imagegen.v1.prior_pb2 import PriorParams
from serving.errors import DeadlineUnreachableError, InvalidFieldError
from tests.errors_on_the_wire import read_error
from tests.gateway.fakes import Deployment, deploy, until

SEED = PriorParams(seed=1)


@pytest_asyncio.fixture
async def deployment() -> AsyncIterator[Deployment]:
    async with deploy(cache_bytes=2**20) as running:
        yield running


async def test_the_second_request_needs_no_prior(deployment: Deployment) -> None:
    first = await deployment.stub.EncodePrompt(EncodePromptRequest(request_id="a", prompt="cat", params=SEED))
    second = await deployment.stub.EncodePrompt(EncodePromptRequest(request_id="b", prompt="cat", params=SEED))
    assert len(deployment.prior.requests) == 1
    assert (first.receipt.cache_hit, first.receipt.prior_steps) == (False, 25)
    assert (second.receipt.cache_hit, second.receipt.prior_steps) == (True, 0)
    assert second.embeddings == first.embeddings
    assert (second.seed, second.request_id) == (1, "b")


async def test_pictures_of_one_prior_seed_share_an_embedding(deployment: Deployment) -> None:
    hits = []
    for seed in (1, 2):
        request = Img2ImgRequest(image=b"picture", prompt="cat", prior=SEED, params=Img2ImgParams(seed=seed))
        events = [event async for event in deployment.stub.StreamImg2Img(StreamImg2ImgRequest(request=request))]
        hits.append((events[1].prompt_encoded.cache_hit, events[-1].result.receipt.cache_hit))
    assert hits == [(False, False), (True, True)]
    assert len(deployment.prior.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "dog"},
        {"negative_prompt": ""},
        {"num_embeddings": 2},
        {"params": PriorParams(seed=2)},
        {"params": PriorParams(seed=1, guidance_scale=0)},
        {"params": PriorParams(seed=1, num_inference_steps=5)},
    ],
    ids=str,
)
async def test_what_differs_is_not_held(deployment: Deployment, other: dict[str, Any]) -> None:
    await deployment.stub.EncodePrompt(EncodePromptRequest(prompt="cat", params=SEED))
    await deployment.stub.EncodePrompt(EncodePromptRequest(**{"prompt": "cat", "params": SEED} | other))
    assert len(deployment.prior.requests) == 2


@pytest.mark.parametrize("same", [{"num_embeddings": 1}, {"priority": 3}, {"request_id": "x"}], ids=str)
async def test_what_does_not_matter_makes_no_difference(deployment: Deployment, same: dict[str, Any]) -> None:
    await deployment.stub.EncodePrompt(EncodePromptRequest(prompt="cat", params=SEED))
    await deployment.stub.EncodePrompt(EncodePromptRequest(prompt="cat", params=SEED, **same))
    assert len(deployment.prior.requests) == 1


async def test_embeddings_of_another_model_than_expected_are_not_held(deployment: Deployment) -> None:
    deployment.prior.digest = "another"
    for _ in range(2):
        await deployment.stub.EncodePrompt(EncodePromptRequest(prompt="cat", params=SEED))
    assert len(deployment.prior.requests) == 2


async def test_errors_are_not_held(deployment: Deployment) -> None:
    deployment.prior.error = InvalidFieldError("prompt", "too long")
    request = EncodePromptRequest(prompt="cat", params=SEED)
    with pytest.raises(grpc.aio.AioRpcError):
        await deployment.stub.EncodePrompt(request)
    deployment.prior.error = None
    await deployment.stub.EncodePrompt(request)


async def test_all_who_want_the_same_wait_for_one_answer(deployment: Deployment) -> None:
    deployment.prior.hold_at = "encoding"
    calls = [start(deployment) for _ in range(5)]
    await until(lambda: len(deployment.gateway.running) == 5)
    deployment.prior.release()
    answers = await asyncio.gather(*calls)
    assert len(deployment.prior.requests) == 1
    assert [answer.receipt.cache_hit for answer in answers].count(False) == 1


async def test_the_others_go_on_when_the_first_one_leaves(deployment: Deployment) -> None:
    deployment.prior.hold_at = "encoding"
    first = start(deployment)
    await asyncio.wait_for(deployment.prior.reached.wait(), 10)
    second = start(deployment)
    await until(lambda: len(deployment.gateway.running) == 2)
    first.cancel()
    await until(lambda: len(deployment.gateway.running) == 1)
    deployment.prior.release()
    assert (await second).receipt.cache_hit
    assert not deployment.prior.stopped.is_set()


@pytest.mark.parametrize("request_id", ["r", "r" * 128], ids=["short", "as long as may be"])
async def test_a_client_that_leaves_others_waiting_may_ask_for_more_under_its_id(
    deployment: Deployment, request_id: str
) -> None:
    deployment.prior.hold_at = "encoding"
    first = start(deployment, request_id)
    await asyncio.wait_for(deployment.prior.reached.wait(), 10)
    second = start(deployment)
    await until(lambda: len(deployment.gateway.running) == 2)
    first.cancel()
    await until(lambda: len(deployment.gateway.running) == 1)
    deployment.prior.hold_at = None
    dog = EncodePromptRequest(request_id=request_id, prompt="dog", params=SEED)
    assert (await deployment.stub.EncodePrompt(dog)).request_id == request_id
    deployment.prior.release()
    assert (await second).receipt.cache_hit


async def test_the_prior_is_stopped_when_all_have_left(deployment: Deployment) -> None:
    deployment.prior.hold_at = "encoding"
    calls = [start(deployment) for _ in range(3)]
    await asyncio.wait_for(deployment.prior.reached.wait(), 10)
    await until(lambda: len(deployment.gateway.running) == 3)
    for call in calls:
        call.cancel()
    await asyncio.wait_for(deployment.prior.stopped.wait(), 10)


async def test_one_requests_deadline_is_not_anothers(deployment: Deployment) -> None:
    deployment.prior.hold_at = "encoding"
    hasty = start(deployment)
    await asyncio.wait_for(deployment.prior.reached.wait(), 10)
    patient = start(deployment)
    await until(lambda: len(deployment.gateway.running) == 2)
    deployment.prior.release(DeadlineUnreachableError(2, 1, 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await hasty
    assert read_error(caught.value).reason == "DEADLINE_UNREACHABLE"
    assert not (await patient).receipt.cache_hit
    assert len(deployment.prior.requests) == 2


async def test_the_caches_state_is_told(deployment: Deployment) -> None:
    for _ in range(3):
        await deployment.stub.EncodePrompt(EncodePromptRequest(prompt="cat", params=SEED))
    (cache,) = (await deployment.stub.GetServerInfo(GetServerInfoRequest())).caches
    assert (cache.name, cache.entries, cache.hits, cache.misses) == ("embeddings", 1, 2, 1)
    assert 0 < cache.size_bytes < cache.limit_bytes == 2**20


def start(deployment: Deployment, request_id: str = "") -> "asyncio.Task[Any]":
    request = EncodePromptRequest(request_id=request_id, prompt="cat", params=SEED)

    async def ask() -> Any:
        return await deployment.stub.EncodePrompt(request)

    return asyncio.create_task(ask())


@given(st.lists(st.tuples(st.binary(max_size=2), st.integers(0, 400) | st.none()), max_size=100))
def test_the_cache_never_holds_more_than_its_limit_and_drops_the_oldest(
    operations: list[tuple[bytes, int | None]],
) -> None:
    cache, recent = LruCache("c", 1000), dict[bytes, bytes]()
    for key, size in operations:
        if size is None:
            value = cache.get(key)
            assert value is None or value == recent[key]
            if value is not None:
                recent[key] = recent.pop(key)
        else:
            cache.put(key, bytes(size))
            recent.pop(key, None)
            recent[key] = bytes(size)
        held = [known for known in recent if known in cache]
        assert cache.status().size_bytes == sum(200 + len(each) + len(recent[each]) for each in held) <= 1000
        assert held == list(recent)[len(recent) - len(held) :]


def test_a_value_beyond_the_limit_is_not_held_and_moves_nothing() -> None:
    cache = LruCache("c", 1000)
    cache.put(b"a", b"value")
    cache.put(b"b", bytes(1000))
    assert b"a" in cache
    assert b"b" not in cache


async def test_a_flight_ends_for_all_by_its_error_and_the_next_one_is_a_new_one() -> None:
    flights = Flights[int]()
    landed = asyncio.Event()

    async def fail() -> int:
        await landed.wait()
        raise ValueError("no")

    async def succeed() -> int:
        return 1

    passengers = [asyncio.create_task(flights.join(b"k", fail)) for _ in range(3)]
    await asyncio.sleep(0)
    landed.set()
    outcomes = await asyncio.gather(*passengers, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no"] * 3
    assert b"k" not in flights
    assert await flights.join(b"k", succeed) == 1
