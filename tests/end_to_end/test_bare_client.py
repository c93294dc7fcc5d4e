"""A client written with nothing but the committed stubs and grpcio."""

import io

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from imagegen.v1 import gateway_pb2, gateway_pb2_grpc


def test_a_first_request_takes_three_lines(address: str, sketch: bytes) -> None:
    stub = gateway_pb2_grpc.ImageServiceStub(grpc.insecure_channel(address))
    request = gateway_pb2.Img2ImgRequest(prompt="a red circle", image=sketch, params={"num_inference_steps": 4})
    response = stub.Img2Img(request)
    picture = response.result.images[0]
    assert Image.open(io.BytesIO(picture.data)).size == (picture.width, picture.height) == (128, 128)


def test_a_stream_tells_queued_then_encoded_then_each_step_then_the_result(
    images: gateway_pb2_grpc.ImageServiceStub, sketch: bytes
) -> None:
    request = gateway_pb2.Img2ImgRequest(
        prompt="a red circle", image=sketch, params={"width": 64, "height": 64, "num_inference_steps": 10}
    )
    events = list(images.StreamImg2Img(gateway_pb2.StreamImg2ImgRequest(request=request)))
    kinds = [event.WhichOneof("event") for event in events]
    progress = [event.progress for event in events if event.HasField("progress")]
    assert kinds[0] == "queued"
    assert kinds.index("prompt_encoded") < kinds.index("progress")
    assert [kinds.count(kind) for kind in ("prompt_encoded", "result")] == [1, 1]
    assert kinds[-1] == "result"
    assert (progress[-1].step, progress[-1].total_steps) == (3, 3)
    receipt = events[-1].result.receipt
    assert (receipt.prior_steps, receipt.denoising_steps) == (25, 3)
    assert [use.tier for use in receipt.workers] == [1, 2]


def test_an_error_is_typed(images: gateway_pb2_grpc.ImageServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        images.Img2Img(gateway_pb2.Img2ImgRequest(prompt="x", image=b"not a picture"))
    error = raised.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "image: is not a PNG, JPEG or WebP file that can be decoded"
    assert "grpc-status-details-bin" in dict(error.trailing_metadata())


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = stub.ServerReflectionInfo(ask)
    names = {service.name for service in answer.list_services_response.service}
    assert {"imagegen.v1.ImageService", "grpc.health.v1.Health"} <= names


def test_the_same_seed_gives_the_same_bytes_and_another_another(
    images: gateway_pb2_grpc.ImageServiceStub, sketch: bytes
) -> None:
    def picture(seed: int) -> bytes:
        params = {"width": 64, "height": 64, "num_inference_steps": 10, "seed": seed}
        request = gateway_pb2.Img2ImgRequest(prompt="a red circle", image=sketch, params=params)
        return bytes(images.Img2Img(request).result.images[0].data)

    assert picture(0) == picture(0) != picture(1)


def test_image_i_of_a_request_is_the_picture_of_seed_plus_i(
    images: gateway_pb2_grpc.ImageServiceStub, sketch: bytes
) -> None:
    def pictures(seed: int, count: int) -> list[bytes]:
        params = {"width": 64, "height": 64, "num_inference_steps": 10, "seed": seed, "num_images": count}
        request = gateway_pb2.Img2ImgRequest(prompt="a red circle", image=sketch, params=params)
        return [bytes(image.data) for image in images.Img2Img(request).result.images]

    assert pictures(5, 2) == pictures(5, 1) + pictures(6, 1)


def test_embeddings_of_a_first_call_serve_a_second_without_the_prior(
    images: gateway_pb2_grpc.ImageServiceStub, sketch: bytes
) -> None:
    params = {"width": 64, "height": 64, "num_inference_steps": 10, "seed": 3}
    whole = images.Img2Img(gateway_pb2.Img2ImgRequest(prompt="a red circle", image=sketch, params=params)).result
    encoded = images.EncodePrompt(gateway_pb2.EncodePromptRequest(prompt="a red circle", params={"seed": 3}))
    again = images.Img2Img(
        gateway_pb2.Img2ImgRequest(prompt="a red circle", image=sketch, params=params, embeddings=encoded.embeddings)
    ).result
    assert again.images[0].data == whole.images[0].data
    assert again.receipt.prior_steps == 0


def test_a_mix_of_one_text_is_that_text(images: gateway_pb2_grpc.ImageServiceStub, sketch: bytes) -> None:
    encoded = images.EncodePrompt(gateway_pb2.EncodePromptRequest(prompt="a red circle", params={"seed": 3}))
    items = [{"text": "a red circle"}]
    mixed = images.Interpolate(gateway_pb2.InterpolateRequest(items=items, params={"seed": 3}))
    assert mixed.embeddings.image_embeds == encoded.embeddings.image_embeds
    items = [{"text": "a red circle", "weight": 0.5}, {"image": sketch, "weight": 0.5}]
    other = images.Interpolate(gateway_pb2.InterpolateRequest(items=items, params={"seed": 3}))
    assert other.embeddings.image_embeds != encoded.embeddings.image_embeds
