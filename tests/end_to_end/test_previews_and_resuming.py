"""What a decoder's stream can carry besides progress, and going on from it elsewhere."""

import io
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from imagegen.v1.decoder_pb2 import (
    DecoderServiceImg2ImgRequest,
    DecoderServiceStreamImg2ImgRequest,
    DecoderServiceStreamImg2ImgResponse,
    LatentCheckpoint,
    SchedulerType,
)
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.gateway_pb2 import EncodePromptRequest, GetServerInfoRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub


@pytest.fixture
def decoder(images: ImageServiceStub) -> Iterator[DecoderServiceStub]:
    """The decoder behind the gateway."""
    info = images.GetServerInfo(GetServerInfoRequest())
    (address,) = (worker.address for worker in info.workers if worker.tier == 2)
    with grpc.insecure_channel(address) as channel:
        yield DecoderServiceStub(channel)


@pytest.fixture
def request_(images: ImageServiceStub, sketch: bytes) -> DecoderServiceImg2ImgRequest:
    """Six steps of a scheduler that draws noise at each."""
    embeddings = images.EncodePrompt(EncodePromptRequest(prompt="a red circle", params={"seed": 3})).embeddings
    params = {"width": 64, "height": 64, "num_inference_steps": 10, "strength": 0.6, "seed": 3}
    scheduler = SchedulerType.SCHEDULER_TYPE_DDPM
    request = DecoderServiceImg2ImgRequest(prompt="a red circle", image=sketch, embeddings=embeddings, params=params)
    request.params.scheduler = scheduler
    return request


def _events(
    decoder: DecoderServiceStub, stream: DecoderServiceStreamImg2ImgRequest
) -> list[DecoderServiceStreamImg2ImgResponse]:
    return list(decoder.StreamImg2Img(stream))


def _checkpoints(events: list[DecoderServiceStreamImg2ImgResponse]) -> list[LatentCheckpoint]:
    return [event.checkpoint for event in events if event.HasField("checkpoint")]


def test_a_request_goes_on_from_a_checkpoint_to_the_same_bytes(
    decoder: DecoderServiceStub, request_: DecoderServiceImg2ImgRequest
) -> None:
    whole = _events(decoder, DecoderServiceStreamImg2ImgRequest(request=request_, checkpoint_every_steps=4))
    (checkpoint,) = _checkpoints(whole)
    assert checkpoint.steps_done == 4
    stream = DecoderServiceStreamImg2ImgRequest(request=request_, resume_from=[checkpoint])
    resumed = _events(decoder, stream)
    assert resumed[-1].result.images[0].data == whole[-1].result.images[0].data
    assert resumed[-1].result.receipt.denoising_steps == 2


def test_a_checkpoint_of_another_model_is_refused(
    decoder: DecoderServiceStub, request_: DecoderServiceImg2ImgRequest
) -> None:
    checkpoint = LatentCheckpoint(steps_done=4, noise_draws=5, model_digest="another")
    stream = DecoderServiceStreamImg2ImgRequest(request=request_, resume_from=[checkpoint])
    with pytest.raises(grpc.RpcError) as raised:
        _events(decoder, stream)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_a_checkpoint_that_does_not_fit_names_its_field(
    decoder: DecoderServiceStub, request_: DecoderServiceImg2ImgRequest
) -> None:
    whole = _events(decoder, DecoderServiceStreamImg2ImgRequest(request=request_, checkpoint_every_steps=4))
    (checkpoint,) = _checkpoints(whole)
    checkpoint.steps_done = 7
    with pytest.raises(grpc.RpcError) as raised:
        _events(decoder, DecoderServiceStreamImg2ImgRequest(request=request_, resume_from=[checkpoint]))
    status = rpc_status.from_call(raised.value)
    assert status is not None
    bad_request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad_request) for detail in status.details)
    assert [violation.field for violation in bad_request.field_violations] == ["resume_from[0].steps_done"]


def test_a_preview_is_a_small_picture(decoder: DecoderServiceStub, request_: DecoderServiceImg2ImgRequest) -> None:
    events = _events(decoder, DecoderServiceStreamImg2ImgRequest(request=request_, preview_every_steps=1))
    previews = [event.progress.preview for event in events if event.HasField("progress")]
    assert previews
    with Image.open(io.BytesIO(previews[-1].data)) as picture:
        assert picture.size == (previews[-1].width, previews[-1].height) == (32, 32)
