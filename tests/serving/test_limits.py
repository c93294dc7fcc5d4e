"""What a call may bring: bytes, also unpacked ones, and metadata."""

import grpc
import pytest

from imagegen.v1.prior_pb2 import PriorServiceEncodePromptRequest
from imagegen.v1.prior_pb2_grpc import PriorServiceStub
from tests.serving.fakes import Served, start

MIB = 2**20


async def refusal(served: Served, request: PriorServiceEncodePromptRequest) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub.EncodePrompt(request)
    code: grpc.StatusCode = caught.value.code()
    return code


async def test_a_message_beyond_the_limit_is_refused() -> None:
    async with start(max_message_bytes=MIB) as served:
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(prompt="x" * (MIB // 2)))
        large = PriorServiceEncodePromptRequest(prompt="x" * (2 * MIB))
        assert await refusal(served, large) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_small_message_that_unpacks_to_a_large_one_is_refused() -> None:
    async with start(max_message_bytes=MIB) as served:
        options = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(served.address, options, grpc.Compression.Gzip) as channel:
            served.stub = PriorServiceStub(channel)
            bomb = PriorServiceEncodePromptRequest(prompt="x" * (64 * MIB))
            assert await refusal(served, bomb) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_beyond_the_limit_is_refused() -> None:
    async with start() as served:
        request = PriorServiceEncodePromptRequest()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.EncodePrompt(request, metadata=(("x-much", "x" * 2**15),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await served.stub.EncodePrompt(request, metadata=(("x-some", "x" * 2**11),))
