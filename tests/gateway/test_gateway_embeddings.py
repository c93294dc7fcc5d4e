"""EncodePrompt, Interpolate and GetServerInfo through the gateway."""

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message

from imagegen.v1.common_pb2 import Tier
from imagegen.v1.gateway_pb2 import (
    EncodePromptRequest,
    EncodePromptResponse,
    GetServerInfoRequest,
    Img2ImgRequest,
    InterpolateRequest,
    InterpolateResponse,
    WorkerState,
)
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from imagegen.v1.prior_pb2 import (
    InterpolationItem,
    PriorParams,
    PriorServiceEncodePromptRequest,
    PriorServiceEncodePromptResponse,
    PriorServiceInterpolateRequest,
    PriorServiceInterpolateResponse,
)
from tests.gateway.fakes import (
    Deployment,
    FakeDecoder,
    FakePrior,
    embeddings,
    fake,
    gateway,
    serve,
    unreachable_address,
    until,
)


async def collect(call: Any) -> None:
    await call


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (EncodePromptRequest, PriorServiceEncodePromptRequest),
        (EncodePromptResponse, PriorServiceEncodePromptResponse),
        (InterpolateRequest, PriorServiceInterpolateRequest),
        (InterpolateResponse, PriorServiceInterpolateResponse),
    ],
)
def test_messages_that_are_sent_on_as_they_are_have_the_same_fields(ours: type[Message], theirs: type[Message]) -> None:
    def fields(message: type[Message]) -> list[tuple[object, ...]]:
        return [
            (field.number, field.name, field.type, field.is_repeated, field.has_presence, field.message_type)
            for field in message.DESCRIPTOR.fields
        ]

    assert fields(ours) == fields(theirs)


async def test_encode_prompt_is_sent_on_whole(deployment: Deployment) -> None:
    request = EncodePromptRequest(
        request_id="e",
        prompt="a cat",
        negative_prompt="",
        params=PriorParams(seed=0, guidance_scale=0.0),
        num_embeddings=2,
        priority=1,
    )
    answer = await deployment.stub.EncodePrompt(request)
    (sent,) = deployment.prior.requests
    assert sent.request_id.startswith("e.")
    sent.request_id = "e"
    assert sent.SerializeToString() == request.SerializeToString()
    assert answer.request_id == "e"
    assert answer.embeddings == embeddings(2)
    assert 0 < answer.receipt.total_seconds < 10
    assert answer.receipt.workers == deployment.prior.receipt.workers


async def test_interpolate_is_sent_on_whole(deployment: Deployment) -> None:
    items = [InterpolationItem(text="a cat", weight=0.0), InterpolationItem(image=b"picture", weight=-1)]
    request = InterpolateRequest(request_id="i", items=items, negative_prompt="fog", negative_prior_prompt="")
    answer = await deployment.stub.Interpolate(request)
    assert deployment.prior.requests[0].SerializeToString() == request.SerializeToString()
    assert answer.embeddings == embeddings(1)


async def test_a_prior_that_is_not_there_is_passed_over_for_embeddings_too() -> None:
    prior = FakePrior()
    async with (
        serve(fake(prior)) as there,
        serve(gateway([unreachable_address(), there.address], [unreachable_address()])) as server,
    ):
        stub = ImageServiceStub(server.channel)
        encoded = await stub.EncodePrompt(EncodePromptRequest())
    assert encoded.receipt.retries == FakePrior.receipt.retries


async def test_work_is_spread_over_the_workers_of_a_tier() -> None:
    prior, decoders = FakePrior(), [FakeDecoder(), FakeDecoder()]
    async with (
        serve(fake(prior)) as one,
        serve(fake(decoders[0])) as first,
        serve(fake(decoders[1])) as second,
        serve(gateway([one.address], [first.address, second.address])) as server,
    ):
        for decoder in decoders:
            decoder.hold_at = "queue"
        stub = ImageServiceStub(server.channel)
        calls = [asyncio.create_task(collect(stub.Img2Img(Img2ImgRequest(image=b"picture")))) for _ in range(4)]
        await until(lambda: sum(len(decoder.requests) for decoder in decoders) == 4)
        for call in calls:
            call.cancel()
    assert [len(decoder.requests) for decoder in decoders] == [2, 2]


async def test_server_info_tells_models_and_workers(deployment: Deployment) -> None:
    info = await deployment.stub.GetServerInfo(GetServerInfoRequest())
    assert info.prior.model.id == "fake-prior"
    assert info.decoder.model.id == "fake-decoder"
    assert [worker.tier for worker in info.workers] == [Tier.TIER_PRIOR, Tier.TIER_DECODER]
    assert {worker.state for worker in info.workers} == {WorkerState.WORKER_STATE_READY}
    assert info.version


async def test_server_info_tells_which_workers_are_not_there() -> None:
    nobody = unreachable_address()
    async with (
        serve(fake(FakePrior())) as prior,
        serve(fake(FakeDecoder()), ready=False) as loading,
        serve(gateway([nobody, prior.address], [loading.address])) as server,
    ):
        info = await ImageServiceStub(server.channel).GetServerInfo(GetServerInfoRequest())
    assert info.HasField("prior")
    assert not info.HasField("decoder")
    assert {worker.address: worker.state for worker in info.workers} == {
        nobody: WorkerState.WORKER_STATE_UNREACHABLE,
        prior.address: WorkerState.WORKER_STATE_READY,
        loading.address: WorkerState.WORKER_STATE_UNREACHABLE,
    }
