"""What is refused over the wire: the status, the field, what is allowed; and that nothing is left running."""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image
from processes import TINY, server

from imagegen.v1.common_pb2 import DataType, ImageEmbeddings, Tensor
from imagegen.v1.decoder_pb2 import DecoderServiceImg2ImgRequest, DecoderServiceWatchStatusRequest
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.gateway_pb2 import (
    CancelRequest,
    EncodePromptRequest,
    GetServerInfoRequest,
    Img2ImgRequest,
    InterpolateRequest,
    StreamImg2ImgRequest,
)
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub

DIM = 32
NAN = math.nan


def _tensor(shape: tuple[int, ...], value: float = 0.5) -> Tensor:
    data = np.full(shape, value, np.float32).tobytes()
    return Tensor(dtype=DataType.DATA_TYPE_FLOAT32, shape=shape, data=data)


def _embeddings(**parts: Tensor) -> ImageEmbeddings:
    return ImageEmbeddings(**{"image_embeds": _tensor((1, DIM)), "negative_image_embeds": _tensor((1, DIM))} | parts)


def _bomb() -> bytes:
    """A PNG of a few bytes that says it has 3.6 billion pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    body = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _file(format_name: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, format_name)
    return buffer.getvalue()


PARAMS: list[tuple[str, dict[str, Any], str]] = [
    ("a width of zero", {"width": 0}, "params.width"),
    ("a height below the least", {"height": 63}, "params.height"),
    ("a width above the most", {"width": 4096}, "params.width"),
    ("no steps", {"num_inference_steps": 0}, "params.num_inference_steps"),
    ("more steps than the schedule has", {"num_inference_steps": 1001}, "params.num_inference_steps"),
    ("a strength of zero", {"strength": 0.0}, "params.strength"),
    ("a strength above one", {"strength": 1.01}, "params.strength"),
    ("a strength that is not a number", {"strength": NAN}, "params.strength"),
    ("a strength that adds no noise", {"strength": 0.0015}, "params.strength"),
    ("a strength that runs no step", {"strength": 0.05, "num_inference_steps": 10}, "params.strength"),
    ("a guidance below zero", {"guidance_scale": -0.5}, "params.guidance_scale"),
    ("a guidance that is not a number", {"guidance_scale": NAN}, "params.guidance_scale"),
    ("no images", {"num_images": 0}, "params.num_images"),
    ("too many images", {"num_images": 1000}, "params.num_images"),
    ("seeds beyond 64 bits", {"seed": 2**64 - 1, "num_images": 2}, "params.seed"),
    ("a scheduler nobody knows", {"scheduler": 77}, "params.scheduler"),
    ("a resize mode nobody knows", {"resize_mode": 77}, "params.resize_mode"),
    ("a format nobody knows", {"output_format": 77}, "params.output_format"),
]
IMAGES: list[tuple[str, Callable[[], bytes]]] = [
    ("no image", lambda: b""),
    ("an image that is no image", lambda: b"hello"),
    ("a truncated image", lambda: _file("PNG")[:60]),
    ("a format that is not read", lambda: _file("GIF")),
    ("an image bomb", _bomb),
]
EMBEDDINGS: list[tuple[str, Callable[[], ImageEmbeddings], str]] = [
    (
        "embeddings of another width",
        lambda: _embeddings(image_embeds=_tensor((1, DIM + 1))),
        "embeddings.image_embeds.shape",
    ),
    (
        "embeddings that are not a table",
        lambda: _embeddings(image_embeds=_tensor((DIM,))),
        "embeddings.image_embeds.shape",
    ),
    (
        "too few bytes",
        lambda: _embeddings(image_embeds=Tensor(dtype=1, shape=[1, DIM], data=b"1234")),
        "embeddings.image_embeds.data",
    ),
    (
        "a dtype nobody knows",
        lambda: _embeddings(image_embeds=Tensor(dtype=9, shape=[1, DIM], data=bytes(4 * DIM))),
        "embeddings.image_embeds.dtype",
    ),
    (
        "NaN embeddings",
        lambda: _embeddings(negative_image_embeds=_tensor((1, DIM), NAN)),
        "embeddings.negative_image_embeds.data",
    ),
    (
        "as many embeddings as nobody asked for",
        lambda: _embeddings(image_embeds=_tensor((3, DIM))),
        "embeddings.image_embeds",
    ),
]


@pytest.fixture
def nothing_left_running(images: ImageServiceStub) -> Iterator[None]:
    """After the test the decoder holds no row."""
    yield
    info = images.GetServerInfo(GetServerInfoRequest())
    (decoder,) = (worker.address for worker in info.workers if worker.tier == 2)
    with grpc.insecure_channel(decoder) as channel:
        for response in DecoderServiceStub(channel).WatchStatus(DecoderServiceWatchStatusRequest(), timeout=30):
            if response.status.queued_rows == response.status.running_rows == 0:
                break


def _refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, list[str], str]:
    """Status, violated fields and message of a call that must fail."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    status = rpc_status.from_call(raised.value)
    bad_request = error_details_pb2.BadRequest()
    fields = [
        violation.field
        for detail in (status.details if status else ())
        if detail.Unpack(bad_request)
        for violation in bad_request.field_violations
    ]
    return raised.value.code(), fields, raised.value.details()


@pytest.mark.usefixtures("nothing_left_running")
@pytest.mark.parametrize(("params", "field"), [row[1:] for row in PARAMS], ids=[row[0] for row in PARAMS])
def test_a_wrong_parameter_is_named(
    params: dict[str, Any], field: str, images: ImageServiceStub, sketch: bytes
) -> None:
    request = Img2ImgRequest(prompt="x", image=sketch, params=params, embeddings=_embeddings())
    code, fields, _ = _refusal(lambda: images.Img2Img(request))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


@pytest.mark.usefixtures("nothing_left_running")
@pytest.mark.parametrize("make", [row[1] for row in IMAGES], ids=[row[0] for row in IMAGES])
def test_a_picture_that_cannot_be_decoded_is_refused(make: Callable[[], bytes], images: ImageServiceStub) -> None:
    request = Img2ImgRequest(prompt="x", image=make(), embeddings=_embeddings())
    code, fields, _ = _refusal(lambda: images.Img2Img(request))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["image"])


@pytest.mark.usefixtures("nothing_left_running")
@pytest.mark.parametrize(("make", "field"), [row[1:] for row in EMBEDDINGS], ids=[row[0] for row in EMBEDDINGS])
def test_wrong_embeddings_are_named(
    make: Callable[[], ImageEmbeddings], field: str, images: ImageServiceStub, sketch: bytes
) -> None:
    request = Img2ImgRequest(prompt="x", image=sketch, embeddings=make())
    code, fields, _ = _refusal(lambda: images.Img2Img(request))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


def test_a_strength_that_runs_nothing_is_told_what_works(images: ImageServiceStub, sketch: bytes) -> None:
    params = {"strength": 0.05, "num_inference_steps": 10}
    request = Img2ImgRequest(prompt="x", image=sketch, params=params, embeddings=_embeddings())
    _, _, message = _refusal(lambda: images.Img2Img(request))
    assert "num_inference_steps ≥ 20" in message
    assert "strength ≥ 0.1" in message


def test_a_prompt_of_a_megabyte_is_refused(images: ImageServiceStub, sketch: bytes) -> None:
    request = Img2ImgRequest(prompt="a" * 2**20, image=sketch)
    code, fields, message = _refusal(lambda: images.Img2Img(request))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["prompt"])
    assert "16384" in message


def test_an_oversize_message_is_refused_before_it_is_read(images: ImageServiceStub) -> None:
    code, _, message = _refusal(lambda: images.Img2Img(Img2ImgRequest(image=bytes(65 * 2**20))))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(64 * 2**20) in message


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (EncodePromptRequest(prompt="x", params={"num_inference_steps": 1}), "params.num_inference_steps"),
        (EncodePromptRequest(prompt="x", params={"guidance_scale": NAN}), "params.guidance_scale"),
        (EncodePromptRequest(prompt="x", num_embeddings=0), "num_embeddings"),
        (EncodePromptRequest(prompt="x", num_embeddings=1000), "num_embeddings"),
        (EncodePromptRequest(prompt="x", negative_prompt="y" * 20_000), "negative_prompt"),
    ],
)
def test_a_wrong_prior_parameter_is_named(request_: EncodePromptRequest, field: str, images: ImageServiceStub) -> None:
    code, fields, _ = _refusal(lambda: images.EncodePrompt(request_))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


def test_img2img_names_the_priors_fields_as_its_own(images: ImageServiceStub, sketch: bytes) -> None:
    request = Img2ImgRequest(prompt="x", image=sketch, prior={"num_inference_steps": 1})
    code, fields, _ = _refusal(lambda: images.Img2Img(request))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["prior.num_inference_steps"])


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([], "items"),
        ([{"weight": 1.0}], "items[0]"),
        ([{"text": "a", "weight": 1.0}, {"text": "b"}], "items[1].weight"),
        ([{"text": "a", "weight": NAN}], "items[0].weight"),
        ([{"text": "a"}, {"image": b"x"}], "items[1].image"),
    ],
)
def test_a_wrong_ingredient_is_named(items: list[dict[str, Any]], field: str, images: ImageServiceStub) -> None:
    code, fields, _ = _refusal(lambda: images.Interpolate(InterpolateRequest(items=items)))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


def test_embeddings_of_another_model_are_refused(sketch: bytes) -> None:
    command = ["decoder_server", "--model", str(TINY / "decoder"), "--port", "0", "--no-warm-up"]
    with server([*command, "--prior-digests", "aaaa,bbbb"]) as address, grpc.insecure_channel(address) as channel:
        embeddings = _embeddings()
        embeddings.prior_digest = "cccc"
        request = DecoderServiceImg2ImgRequest(prompt="x", image=sketch, embeddings=embeddings)
        code, _, message = _refusal(lambda: DecoderServiceStub(channel).Img2Img(request))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert all(digest in message for digest in ("aaaa", "bbbb", "cccc"))


def test_a_gateway_without_workers_says_so_and_when_to_come_back(sketch: bytes) -> None:
    nowhere = "127.0.0.1:1"
    with (
        server(["gateway", "--prior", nowhere, "--decoder", nowhere, "--port", "0"]) as address,
        grpc.insecure_channel(address) as channel,
        pytest.raises(grpc.RpcError) as raised,
    ):
        ImageServiceStub(channel).Img2Img(Img2ImgRequest(prompt="x", image=sketch))
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(raised.value)
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    assert any(
        detail.Unpack(retry) and retry.retry_delay.ToTimedelta().total_seconds() > 0 for detail in status.details
    )


def test_an_id_in_use_is_refused_and_cancel_frees_the_device(
    images: ImageServiceStub, sketch: bytes, nothing_left_running: None
) -> None:
    params = {"width": 64, "height": 64, "num_inference_steps": 1000, "strength": 1.0}
    request = Img2ImgRequest(request_id="mine", prompt="x", image=sketch, params=params, embeddings=_embeddings())
    running = images.StreamImg2Img(StreamImg2ImgRequest(request=request))
    while not next(running).HasField("progress"):
        pass
    code, _, _ = _refusal(lambda: images.Img2Img(request))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert images.Cancel(CancelRequest(request_id="mine")).found
    code, _, message = _refusal(lambda: list(running))
    assert code is grpc.StatusCode.CANCELLED
    assert "DENOISING" in message
    assert not images.Cancel(CancelRequest(request_id="mine")).found


def test_a_client_that_leaves_frees_the_device(
    images: ImageServiceStub, sketch: bytes, nothing_left_running: None
) -> None:
    params = {"width": 64, "height": 64, "num_inference_steps": 1000, "strength": 1.0}
    request = Img2ImgRequest(prompt="x", image=sketch, params=params, embeddings=_embeddings())
    running = images.StreamImg2Img(StreamImg2ImgRequest(request=request))
    while not next(running).HasField("progress"):
        pass
    running.cancel()


def test_a_deadline_that_passes_frees_the_device(
    images: ImageServiceStub, sketch: bytes, nothing_left_running: None
) -> None:
    params = {"width": 64, "height": 64, "num_inference_steps": 1000, "strength": 1.0}
    request = Img2ImgRequest(prompt="x", image=sketch, params=params, embeddings=_embeddings())
    code, _, _ = _refusal(lambda: images.Img2Img(request, timeout=2))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
