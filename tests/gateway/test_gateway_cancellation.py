"""A request that nobody wants any more is stopped in the worker, in every phase and in every way."""

import asyncio
from typing import Any

import grpc
import pytest

from imagegen.v1.common_pb2 import Phase
from imagegen.v1.gateway_pb2 import CancelRequest, EncodePromptRequest, Img2ImgRequest, StreamImg2ImgRequest
from tests.errors_on_the_wire import read_error
from tests.gateway.fakes import Deployment, FakeDecoder, FakePrior, until

PLACES = [
    ("encoding", Phase.PHASE_ENCODING),
    ("arrival", Phase.PHASE_QUEUED),
    ("queue", Phase.PHASE_QUEUED),
    ("denoising", Phase.PHASE_DENOISING),
    ("decoding", Phase.PHASE_DECODING),
]


async def start(deployment: Deployment, place: str, *, stream: bool, **options: Any) -> tuple[Any, Any]:
    """A call that waits at a place, and the worker where it waits."""
    worker: FakePrior | FakeDecoder = deployment.prior if place == "encoding" else deployment.decoder
    worker.hold_at = place
    request = Img2ImgRequest(request_id="r", image=b"picture")
    if stream:
        call = drain(deployment.stub.StreamImg2Img(StreamImg2ImgRequest(request=request), **options))
    else:
        call = finish(deployment.stub.Img2Img(request, **options))
    task = asyncio.create_task(call)
    await asyncio.wait_for(worker.reached.wait(), 10)
    return task, worker


async def drain(call: Any) -> None:
    async for _ in call:
        pass


async def finish(call: Any) -> None:
    await call


async def assert_nothing_is_left(deployment: Deployment, worker: Any) -> None:
    await asyncio.wait_for(worker.stopped.wait(), 10)
    for running in (deployment.gateway.running, deployment.prior.running, deployment.decoder.running):
        await until(lambda running=running: len(running) == 0)  # an instant after the worker noticed
    worker.hold_at = None
    await deployment.stub.Img2Img(Img2ImgRequest(request_id="r", image=b"picture"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("place", "phase"), PLACES)
async def test_a_cancel_call_stops_the_worker_and_tells_the_caller(
    deployment: Deployment, place: str, phase: Phase.ValueType, stream: bool
) -> None:
    task, worker = await start(deployment, place, stream=stream)
    if place in ("denoising", "decoding"):  # the gateway knows as soon as the client does
        await until(lambda: deployment.gateway.running["r"].phase == phase)
    answer = await deployment.stub.Cancel(CancelRequest(request_id="r"))
    assert answer.found
    assert answer.phase == phase
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await task
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED_BY_ID")
    assert error.metadata == {"request_id": "r", "phase": Phase.Name(phase).removeprefix("PHASE_")}
    await assert_nothing_is_left(deployment, worker)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("place", [place for place, _ in PLACES])
async def test_a_client_that_leaves_stops_the_worker(deployment: Deployment, place: str, stream: bool) -> None:
    task, worker = await start(deployment, place, stream=stream)
    task.cancel()
    await assert_nothing_is_left(deployment, worker)


@pytest.mark.parametrize("place", ["encoding", "denoising"])
async def test_a_deadline_that_passes_stops_the_worker(deployment: Deployment, place: str) -> None:
    task, worker = await start(deployment, place, stream=True, timeout=1.5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await task
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await assert_nothing_is_left(deployment, worker)


@pytest.mark.parametrize("deadline", [60, None])
async def test_workers_are_given_the_time_that_is_left(deployment: Deployment, deadline: float | None) -> None:
    await deployment.stub.Img2Img(Img2ImgRequest(image=b"picture"), timeout=deadline)
    for worker in (deployment.prior, deployment.decoder):
        if deadline is None:
            assert worker.remaining_seconds is None
        else:
            assert 30 < worker.remaining_seconds < 61


async def test_a_cancel_reaches_embeddings_too(deployment: Deployment) -> None:
    deployment.prior.hold_at = "encoding"
    call = deployment.stub.EncodePrompt(EncodePromptRequest(request_id="e"))
    await asyncio.wait_for(deployment.prior.reached.wait(), 10)
    assert (await deployment.stub.Cancel(CancelRequest(request_id="e"))).phase == Phase.PHASE_ENCODING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert read_error(caught.value).reason == "CANCELLED_BY_ID"
    await asyncio.wait_for(deployment.prior.stopped.wait(), 10)


async def test_an_unknown_request_is_not_found(deployment: Deployment) -> None:
    answer = await deployment.stub.Cancel(CancelRequest(request_id="nobody's"))
    assert (answer.found, answer.phase) == (False, Phase.PHASE_UNSPECIFIED)


async def test_a_second_cancel_does_no_harm(deployment: Deployment) -> None:
    task, worker = await start(deployment, "denoising", stream=True)
    cancel = CancelRequest(request_id="r")
    await asyncio.gather(deployment.stub.Cancel(cancel), deployment.stub.Cancel(cancel))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await task
    assert read_error(caught.value).reason == "CANCELLED_BY_ID"
    await assert_nothing_is_left(deployment, worker)
