"""What a client of the gateway is told when something is wrong."""

import asyncio

import grpc
import pytest

from imagegen.v1.common_pb2 import Phase, Tier
from imagegen.v1.decoder_pb2 import DecoderServiceStreamImg2ImgRequest
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.gateway_pb2 import EncodePromptRequest, Img2ImgRequest, StreamImg2ImgRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from imagegen.v1.prior_pb2 import PriorParams
from serving.errors import (
    DeadlineUnreachableError,
    EmbeddingsOfAnotherModelError,
    FieldViolation,
    InvalidFieldError,
    InvalidFieldsError,
    NonFiniteOutputError,
    QueueFullError,
    ServiceError,
)
from serving.status import rich_status
from tests.errors_on_the_wire import WireError, read_error
from tests.gateway.fakes import (
    Deployment,
    FakeDecoder,
    FakePrior,
    deploy,
    embeddings,
    fake,
    gateway,
    serve,
    unreachable_address,
    until,
)

REQUEST = Img2ImgRequest(request_id="r", prompt="a cat", image=b"picture")


async def refusal(stub: ImageServiceStub, request: Img2ImgRequest = REQUEST) -> WireError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Img2Img(request)
    return read_error(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        InvalidFieldsError([FieldViolation("params.width", "at most 2048"), FieldViolation("image", "not a picture")]),
        EmbeddingsOfAnotherModelError("a", ["b", "c"]),
        QueueFullError(retry_after_seconds=2.5, estimated_wait_seconds=60),
        DeadlineUnreachableError(estimated_seconds=20, remaining_seconds=1, retry_after_seconds=5),
        NonFiniteOutputError(Phase.PHASE_DENOISING),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_decoders_error_is_passed_on_unchanged(deployment: Deployment, error: ServiceError) -> None:
    deployment.decoder.error = error
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in deployment.stub.StreamImg2Img(StreamImg2ImgRequest(request=REQUEST)):
            pass
    details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert details == rich_status(error).SerializeToString()
    assert await refusal(deployment.stub) == read_error(caught.value)


@pytest.mark.parametrize(
    ("prior", "theirs", "ours"),
    [
        (PriorParams(), "params.guidance_scale", "prior.guidance_scale"),
        (PriorParams(), "params.seed", "params.seed"),
        (PriorParams(seed=1), "params.seed", "prior.seed"),
        (PriorParams(), "num_embeddings", "params.num_images"),
        (PriorParams(), "prompt", "prompt"),
        (PriorParams(), "paramsetry", "paramsetry"),
    ],
)
async def test_a_priors_error_names_the_fields_of_the_clients_request(
    deployment: Deployment, prior: PriorParams, theirs: str, ours: str
) -> None:
    deployment.prior.error = InvalidFieldError(theirs, "must be less")
    error = await refusal(deployment.stub, Img2ImgRequest(image=b"picture", prior=prior))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations == {ours: "must be less"}
    assert error.message == f"{ours}: must be less"
    assert deployment.decoder.requests == []


async def test_a_priors_error_about_encode_prompt_is_unchanged(deployment: Deployment) -> None:
    deployment.prior.error = InvalidFieldError("params.guidance_scale", "must be less")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await deployment.stub.EncodePrompt(EncodePromptRequest())
    assert read_error(caught.value).violations == {"params.guidance_scale": "must be less"}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Img2ImgRequest(image=b"picture", embeddings=embeddings(1), prior=PriorParams()), "prior"),
        (Img2ImgRequest(), "image"),
        (Img2ImgRequest(request_id="no spaces", image=b"picture"), "request_id"),
        (Img2ImgRequest(request_id="x" * 129, image=b"picture"), "request_id"),
        (Img2ImgRequest(request_id="ü", image=b"picture"), "request_id"),
    ],
)
async def test_what_needs_no_model_is_refused_before_any_work(
    deployment: Deployment, request_: Img2ImgRequest, field: str
) -> None:
    error = await refusal(deployment.stub, request_)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(error.violations) == [field]
    assert deployment.prior.requests == deployment.decoder.requests == []


async def test_an_empty_stream_request_is_refused_like_an_empty_request(deployment: Deployment) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await deployment.stub.StreamImg2Img(StreamImg2ImgRequest()).read()
    assert list(read_error(caught.value).violations) == ["image"]


async def test_an_id_can_be_used_again_only_when_its_request_has_ended(deployment: Deployment) -> None:
    deployment.decoder.hold_at = "queue"
    first = asyncio.create_task(refusal(deployment.stub))
    await asyncio.wait_for(deployment.decoder.reached.wait(), 10)
    error = await refusal(deployment.stub)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_IN_USE")
    assert error.metadata == {"request_id": "r"}
    assert len(deployment.prior.requests) == 1
    first.cancel()
    await asyncio.wait_for(deployment.decoder.stopped.wait(), 10)


@pytest.mark.parametrize("missing", [Tier.TIER_PRIOR, Tier.TIER_DECODER])
async def test_a_missing_tier_is_named_with_a_time_to_come_back(missing: Tier.ValueType) -> None:
    nobody = [unreachable_address(), unreachable_address()]
    async with (
        serve(fake(FakePrior())) as prior,
        serve(fake(FakeDecoder())) as decoder,
        serve(
            gateway(
                nobody if missing == Tier.TIER_PRIOR else [prior.address],
                nobody if missing == Tier.TIER_DECODER else [decoder.address],
            )
        ) as server,
    ):
        error = await refusal(ImageServiceStub(server.channel))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_WORKER")
    assert error.metadata == {"tier": Tier.Name(missing).removeprefix("TIER_")}
    assert error.retry_after_seconds == 1


@pytest.mark.parametrize("absent", ["unreachable", "loading"])
async def test_a_worker_that_is_known_not_to_be_there_is_passed_over(absent: str) -> None:
    away, there = FakeDecoder(), FakeDecoder()
    async with (
        serve(fake(FakePrior())) as prior,
        serve(fake(away), ready=False) as loading,
        serve(fake(there)) as decoder,
    ):
        first = unreachable_address() if absent == "unreachable" else loading.address
        async with serve(gateway([prior.address], [first, decoder.address])) as server:
            result = (await ImageServiceStub(server.channel).Img2Img(REQUEST)).result
    assert (len(away.requests), len(there.requests)) == (0, 1)
    assert result.receipt.retries == FakePrior.receipt.retries + FakeDecoder.receipt.retries


async def test_a_worker_that_stops_finishes_what_it_has_and_gets_nothing_new() -> None:
    stopping, staying = FakeDecoder(), FakeDecoder()
    stopping.hold_at = "queue"
    async with (
        serve(fake(FakePrior())) as prior,
        serve(fake(stopping), drain_seconds=60) as first,
        serve(fake(staying)) as second,
        serve(gateway([prior.address], [first.address, second.address])) as server,
    ):
        running = DecoderServiceStub(first.channel).StreamImg2Img(DecoderServiceStreamImg2ImgRequest())
        await asyncio.wait_for(stopping.reached.wait(), 10)
        stop = asyncio.create_task(first.server.stop())
        for _ in range(2):  # so that it is the stopping one's turn once
            await ImageServiceStub(server.channel).Img2Img(REQUEST)
        assert (len(stopping.requests), len(staying.requests)) == (1, 2)
        assert not stop.done()
        running.cancel()
        await stop


async def test_a_decoder_lost_mid_way_is_told_as_such() -> None:
    decoder = FakeDecoder()
    decoder.hold_at = "denoising"
    async with (
        serve(fake(FakePrior())) as prior,
        serve(fake(decoder)) as decoder_server,
        serve(gateway([prior.address], [decoder_server.address])) as server,
    ):
        call = asyncio.create_task(refusal(ImageServiceStub(server.channel)))
        await asyncio.wait_for(decoder.reached.wait(), 10)
        await until(lambda: server.running["r"].phase == Phase.PHASE_DENOISING)
        await decoder_server.server.stop()
        error = await call
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "WORKER_LOST")
    assert error.metadata == {"tier": "DECODER", "retries": "0"}
    assert error.retry_after_seconds == 1


async def test_a_workers_bug_is_internal_with_its_error_id(deployment: Deployment) -> None:
    deployment.decoder.error = ZeroDivisionError("secret")
    error = await refusal(deployment.stub)
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert len(error.metadata["error_id"]) == 12
    assert "secret" not in error.message


async def test_a_stream_without_a_result_is_internal(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.gateway.fakes.decoder_pb2.Img2ImgResult", lambda **_: None)
    error = await refusal(deployment.stub)
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_a_message_beyond_the_limit_is_refused_by_grpc() -> None:
    async with deploy(max_message_bytes=10_000) as deployment:
        await deployment.stub.Img2Img(Img2ImgRequest(image=bytes(9_000)))
        error = await refusal(deployment.stub, Img2ImgRequest(image=bytes(10_001)))
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "10000" in error.message
    assert len(deployment.decoder.requests) == 1


async def test_a_worker_with_a_smaller_limit_is_no_bug() -> None:
    async with (
        serve(fake(FakePrior())) as prior,
        serve(fake(FakeDecoder()), max_message_bytes=5_000) as decoder,
        serve(gateway([prior.address], [decoder.address])) as server,
    ):
        error = await refusal(ImageServiceStub(server.channel), Img2ImgRequest(image=bytes(10_000)))
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "5000" in error.message
