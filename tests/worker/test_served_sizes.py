"""Sizes a decoder works at: compiled at its start, or one of the others, of which there is a number."""

import asyncio

import grpc
import pytest

from decoder_server.sizes import ServedSizes, limits_of
from imagegen.v1.decoder_pb2 import DecoderServiceImg2ImgRequest
from serving.batching.work import Shape, Stage
from serving.errors import InvalidFieldError
from tests.errors_on_the_wire import read_error
from tests.worker.workers import Worker, decoder, picture_request

COMPILED = (Shape(512, 512), Shape(768, 512))


async def answer_of(worker: Worker, request: DecoderServiceImg2ImgRequest) -> None:
    await worker.stub.Img2Img(request)


def others(count: int) -> list[Shape]:
    return [Shape(64, 64 * (number + 1)) for number in range(count)]


def test_compiled_sizes_are_always_served() -> None:
    sizes = ServedSizes(COMPILED, max_others=0)
    for _ in range(3):
        for shape in COMPILED:
            sizes.admit(shape)


def test_others_are_served_up_to_their_number_and_then_again_and_again() -> None:
    sizes = ServedSizes(COMPILED, max_others=2)
    first, second, third = others(3)
    for shape in (first, first, second, *COMPILED, first, second):
        sizes.admit(shape)
    with pytest.raises(InvalidFieldError):
        sizes.admit(third)
    sizes.admit(first)


def test_with_none_allowed_every_other_size_is_refused() -> None:
    with pytest.raises(InvalidFieldError):
        ServedSizes(COMPILED, max_others=0).admit(Shape(512, 768))


def test_a_refusal_names_the_field_the_size_and_what_is_served() -> None:
    sizes = ServedSizes(COMPILED, max_others=1)
    sizes.admit(Shape(64, 128))
    with pytest.raises(InvalidFieldError) as caught:
        sizes.admit(Shape(1024, 960))
    ((field, description),) = caught.value.violations
    assert field == "params.width"
    assert description == ("× params.height needs 1024×960; this decoder works at 64×128, 512×512, 768×512")


def test_a_size_named_twice_is_one() -> None:
    assert ServedSizes([*COMPILED, *COMPILED], max_others=0).compiled == COMPILED


def test_only_steps_of_compiled_sizes_are_shared() -> None:
    limits = limits_of(COMPILED, (1, 2, 4))
    assert limits.sizes(Stage.STEP, COMPILED[1]) == (1, 2, 4)
    assert limits.sizes(Stage.STEP, Shape(64, 64)) == (1,)
    for stage in (Stage.ENCODE, Stage.DECODE):
        assert limits.sizes(stage, COMPILED[0]) == (1,)


async def test_a_request_that_is_refused_takes_no_size_and_one_of_a_refused_size_no_work() -> None:
    async with decoder(max_other_sizes=1) as worker:
        broken = picture_request("broken", width=128)
        broken.image = b"no picture"
        with pytest.raises(grpc.aio.AioRpcError):
            await worker.stub.Img2Img(broken)
        good = picture_request("good", height=128)
        await worker.device.work_off(asyncio.ensure_future(answer_of(worker, good)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker.stub.Img2Img(picture_request("third", width=128))
        assert list(read_error(caught.value).violations) == ["params.width"]
        assert "Table(0 requests" in repr(worker.engine)
