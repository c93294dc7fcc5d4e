"""Workers that are lost, stand still or stop: their work goes on elsewhere, and is answered once."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import pytest_asyncio

from imagegen.v1.common_pb2 import Phase
from imagegen.v1.gateway_pb2 import (
    GetServerInfoRequest,
    Img2ImgRequest,
    StreamImg2ImgRequest,
    WorkerState,
)
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from serving.errors import NonFiniteOutputError
from tests.errors_on_the_wire import read_error
from tests.gateway.fakes import FakeDecoder, FakePrior, RunningServer, eventually, fake, gateway, serve, until

REQUEST = Img2ImgRequest(request_id="r", prompt="a cat", image=b"picture")
TIMEOUT_SECONDS = 0.4


@dataclass
class Fleet:
    """Two workers of each tier and a gateway."""

    priors: list[FakePrior]
    decoders: list[FakeDecoder]
    servers: dict[Any, RunningServer]
    server: RunningServer

    @property
    def stub(self) -> Any:
        return ImageServiceStub(self.server.channel)

    def start(self) -> "asyncio.Task[list[Any]]":
        return asyncio.create_task(self._events())

    async def _events(self) -> list[Any]:
        return [event async for event in self.stub.StreamImg2Img(StreamImg2ImgRequest(request=REQUEST))]

    async def stop(self, worker: Any) -> None:
        await self.servers[worker].server.stop()


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Fleet]:
    priors, decoders = [FakePrior(name) for name in "pq"], [FakeDecoder(name) for name in "de"]
    async with AsyncExitStack() as stack:
        servers = {worker: await stack.enter_async_context(serve(fake(worker))) for worker in (*priors, *decoders)}
        at_prior, at_decoder = ([servers[worker].address for worker in tier] for tier in (priors, decoders))
        application = gateway(at_prior, at_decoder, progress_timeout_seconds=TIMEOUT_SECONDS)
        yield Fleet(priors, decoders, servers, await stack.enter_async_context(serve(application)))


async def held(workers: list[Any], place: str) -> tuple[Any, Any]:
    """The worker that waits at a place now, which the other one from now on does not; and that other one."""
    await until(lambda: any(worker.reached.is_set() for worker in workers))
    first, second = sorted(workers, key=lambda worker: not worker.reached.is_set())
    second.hold_at = None
    return first, second


def hold(workers: list[Any], place: str) -> None:
    for worker in workers:
        worker.hold_at = place


@pytest.mark.parametrize(("place", "resumed"), [("arrival", []), ("queue", []), ("denoising", [1]), ("decoding", [2])])
async def test_a_lost_decoders_work_goes_on_from_the_last_checkpoint(
    fleet: Fleet, place: str, resumed: list[int]
) -> None:
    hold(fleet.decoders, place)
    call = fleet.start()
    lost, other = await held(fleet.decoders, place)
    if resumed:
        await until(lambda: fleet.server.running["r"].phase in (Phase.PHASE_DENOISING, Phase.PHASE_DECODING))
    await fleet.stop(lost)
    events = await call
    assert [checkpoint.steps_done for checkpoint in other.requests[0].resume_from] == resumed
    assert other.requests[0].request == lost.requests[0].request
    results = [event.result for event in events if event.HasField("result")]
    assert [result.images[0].data for result in results] == [b"erutcip"]
    receipt = results[0].receipt
    assert receipt.retries == FakePrior.receipt.retries + FakeDecoder.receipt.retries + 1
    assert receipt.workers[1].worker == lost.status.worker
    assert receipt.denoising_steps == FakeDecoder.receipt.denoising_steps + sum(resumed)


async def test_a_decoder_that_stands_still_loses_its_work(fleet: Fleet) -> None:
    hold(fleet.decoders, "denoising")
    call = fleet.start()
    hung, other = await held(fleet.decoders, "denoising")
    hung.report(acting=True)
    events = await asyncio.wait_for(call, 10 * TIMEOUT_SECONDS)
    await asyncio.wait_for(hung.stopped.wait(), 10)
    assert [checkpoint.steps_done for checkpoint in other.requests[0].resume_from] == [1]
    assert sum(event.HasField("result") for event in events) == 1
    info = await fleet.stub.GetServerInfo(GetServerInfoRequest())
    states = {worker.address: worker.state for worker in info.workers}
    assert states[fleet.servers[hung].address] == WorkerState.WORKER_STATE_UNREACHABLE
    assert states[fleet.servers[other].address] == WorkerState.WORKER_STATE_READY


@pytest.mark.parametrize("seconds_more", [1, -1], ids=["comes", "leaves"])
async def test_that_work_comes_or_leaves_is_no_sign_of_life(fleet: Fleet, seconds_more: int) -> None:
    hold(fleet.decoders, "denoising")
    call = fleet.start()
    hung, _ = await held(fleet.decoders, "denoising")
    async with asyncio.timeout(10):
        for changes in itertools.count():
            if hung.stopped.is_set():
                break
            hung.report(queued_work_seconds=1000 + seconds_more * changes, acting=True)
            await asyncio.sleep(TIMEOUT_SECONDS / 8)
    await call


async def test_a_worker_that_hangs_gets_nothing_until_its_device_moves(fleet: Fleet) -> None:
    hold(fleet.decoders, "denoising")
    call = fleet.start()
    hung, _ = await held(fleet.decoders, "denoising")
    hung.report(queued_work_seconds=9, actions_done=3, acting=True)
    await call
    hung.report(actions_done=3, acting=True)  # the calls that were taken from it are gone
    await knows(fleet, hung, lambda worker: worker.status.queued_work_seconds == 0)
    await knows(fleet, hung, lambda worker: worker.state == WorkerState.WORKER_STATE_UNREACHABLE)
    hung.report(actions_done=4)
    await knows(fleet, hung, lambda worker: worker.status.actions_done == 4)
    await knows(fleet, hung, lambda worker: worker.state == WorkerState.WORKER_STATE_EJECTED)


async def test_a_device_that_outlasts_the_deadlines_of_all_its_clients_hangs_all_the_same(fleet: Fleet) -> None:
    hold(fleet.decoders, "arrival")
    for decoder in fleet.decoders:
        decoder.report(actions_done=1, acting=True)
    await eventually(partial(hangs, fleet))


async def test_that_a_worker_did_nothing_while_it_had_nothing_to_do_does_not_count(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def long_after() -> float:
        looks.append(1e9)
        return looks[-1]

    monkeypatch.setattr("gateway.worker.time", SimpleNamespace(monotonic=long_after))
    hold(fleet.decoders, "arrival")
    call = fleet.start()
    slow, other = await held(fleet.decoders, "arrival")
    looks.clear()
    await until(lambda: len(looks) > 5)  # the gateway has looked at it, again and again
    slow.release()
    await call
    assert other.requests == []


async def hangs(fleet: Fleet) -> bool:
    """Whether a decoder was given up, after one more client that did not wait for that."""
    with suppress(grpc.aio.AioRpcError):
        await fleet.stub.Img2Img(REQUEST, timeout=TIMEOUT_SECONDS / 4)
    info = await fleet.stub.GetServerInfo(GetServerInfoRequest())
    return any(worker.state == WorkerState.WORKER_STATE_UNREACHABLE for worker in info.workers)


async def test_a_lost_priors_work_goes_elsewhere(fleet: Fleet) -> None:
    hold(fleet.priors, "encoding")
    call = asyncio.create_task(fleet._events())
    lost, other = await held(fleet.priors, "encoding")
    await fleet.stop(lost)
    events = await call
    assert other.requests == lost.requests
    assert events[-1].result.receipt.retries == FakePrior.receipt.retries + FakeDecoder.receipt.retries + 1


async def test_a_prior_that_stands_still_loses_its_work(fleet: Fleet) -> None:
    hold(fleet.priors, "encoding")
    call = fleet.start()
    hung, _ = await held(fleet.priors, "encoding")
    assert (await asyncio.wait_for(call, 10 * TIMEOUT_SECONDS))[-1].HasField("result")
    await asyncio.wait_for(hung.stopped.wait(), 10)


async def test_work_goes_where_the_reports_say_there_is_least(fleet: Fleet) -> None:
    busy, idle = fleet.decoders
    busy.report(queued_work_seconds=100)
    await knows(fleet, busy, lambda worker: worker.status.queued_work_seconds == 100)
    for _ in range(5):
        await fleet.stub.Img2Img(REQUEST)
    assert (len(busy.requests), len(idle.requests)) == (0, 5)


async def test_a_draining_worker_gets_nothing_new(fleet: Fleet) -> None:
    draining, staying = fleet.decoders
    draining.report(draining=True)
    await knows(fleet, draining, lambda worker: worker.state == WorkerState.WORKER_STATE_DRAINING)
    for _ in range(5):
        await fleet.stub.Img2Img(REQUEST)
    assert (len(draining.requests), len(staying.requests)) == (0, 5)


async def test_a_worker_that_only_fails_is_ejected(fleet: Fleet) -> None:
    bad, good = fleet.decoders
    good.report(queued_work_seconds=1)
    await knows(fleet, good, lambda worker: worker.status.queued_work_seconds == 1)
    bad.error = NonFiniteOutputError(Phase.PHASE_DENOISING)
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError):
            await fleet.stub.Img2Img(REQUEST)
    await fleet.stub.Img2Img(REQUEST)
    assert (len(bad.requests), len(good.requests)) == (3, 1)
    await knows(fleet, bad, lambda worker: worker.state == WorkerState.WORKER_STATE_EJECTED)


async def test_when_the_last_worker_is_lost_its_caller_is_told(fleet: Fleet) -> None:
    hold(fleet.decoders, "queue")
    call = fleet.start()
    lost, _ = await held(fleet.decoders, "queue")
    await asyncio.gather(*(fleet.stop(decoder) for decoder in fleet.decoders))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "WORKER_LOST")
    assert lost.requests


async def test_a_worker_that_comes_back_gets_work_again() -> None:
    async with serve(fake(FakePrior())) as prior, AsyncExitStack() as later:
        first = FakeDecoder()
        async with serve(fake(first)) as decoder:
            address = decoder.address
            server = await later.enter_async_context(serve(gateway([prior.address], [address])))
            stub: Any = ImageServiceStub(server.channel)
            await stub.Img2Img(REQUEST)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Img2Img(REQUEST)
        second = FakeDecoder()
        async with serve(fake(second), port=int(address.rpartition(":")[2])):
            await eventually(partial(is_ready, stub))
            await stub.Img2Img(REQUEST)
    assert len(second.requests) == 1


async def is_ready(stub: Any) -> bool:
    """Whether the decoder gets work."""
    info = await stub.GetServerInfo(GetServerInfoRequest())
    return bool(info.workers[1].state == WorkerState.WORKER_STATE_READY)


async def knows(fleet: Fleet, worker: Any, condition: Any) -> None:
    """Waits until the gateway has heard of it."""
    address = fleet.servers[worker].address
    async with asyncio.timeout(10):
        while True:
            info = await fleet.stub.GetServerInfo(GetServerInfoRequest())
            if any(each.address == address and condition(each) for each in info.workers):
                return
