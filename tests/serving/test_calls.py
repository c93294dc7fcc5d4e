"""The frame around every call: ids, cancellation, errors, the log."""

import asyncio
import logging
from typing import Any

import grpc
import pytest

from imagegen.v1.common_pb2 import Phase
from imagegen.v1.prior_pb2 import (
    PriorServiceCancelRequest,
    PriorServiceEncodePromptRequest,
    PriorServiceGetModelRequest,
    PriorServiceInterpolateRequest,
    PriorServiceWatchStatusRequest,
)
from serving.errors import CancelledByIdError, InvalidFieldError
from serving.requests import RunningRequests
from tests.errors_on_the_wire import read_error
from tests.serving.fakes import start

WAIT = PriorServiceEncodePromptRequest(request_id="r", prompt="wait")


def call_records(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.name == "serving.call"]


async def test_an_id_is_drawn_where_there_is_none_and_told_in_the_header() -> None:
    async with start() as served:
        drawn, given = (
            served.stub.EncodePrompt(PriorServiceEncodePromptRequest(request_id=request_id)) for request_id in ("", "r")
        )
        for call in (drawn, given):
            headers = dict(await call.initial_metadata())
            assert headers["x-request-id"] == (await call).request_id
        assert len((await drawn).request_id) == 32
        assert (await given).request_id == "r"


async def test_an_error_is_told_with_the_id_in_the_header() -> None:
    async with start() as served:
        served.prior.error = InvalidFieldError("prompt", "must be nicer")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(request_id="r"))
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert error.violations == {"prompt": "must be nicer"}
    assert dict(caught.value.initial_metadata())["x-request-id"] == "r"


async def test_a_bug_keeps_its_trace_in_the_log_under_the_id_the_client_gets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with start() as served:
        served.prior.error = ZeroDivisionError("secret")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.EncodePrompt(PriorServiceEncodePromptRequest())
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in error.message
    (bug,) = (record for record in call_records(caplog) if record.levelno == logging.ERROR)
    assert bug.error_id == error.metadata["error_id"]
    assert bug.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x02\xff\xff", b"\x0a\xff\xff\xff\xff\x0f"])
async def test_bytes_that_are_no_message_are_the_clients_mistake(data: bytes) -> None:
    async with start() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.channel.unary_unary("/imagegen.v1.PriorService/EncodePrompt")(data)
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(error.violations) == ["request"]


async def test_a_missing_method_is_unimplemented_not_a_bug() -> None:
    async with start() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.channel.unary_unary("/imagegen.v1.PriorService/Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_each_call_is_one_line_without_its_prompt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.call")
    async with start() as served:
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(request_id="r", prompt="my secret"))
        served.prior.error = InvalidFieldError("prompt", "must be nicer")
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(request_id="s", prompt="my secret"))
        await served.stub.GetModel(PriorServiceGetModelRequest())
    first, second, third = call_records(caplog)
    assert (first.method, first.request_id, first.status) == ("/imagegen.v1.PriorService/EncodePrompt", "r", "OK")
    assert 0 < first.seconds < 10
    assert (second.request_id, second.status, second.reason) == ("s", "INVALID_ARGUMENT", "INVALID_FIELD")
    assert third.method.endswith("/GetModel")
    assert "my secret" not in caplog.text + "".join(str(vars(record)) for record in caplog.records)


async def test_prompts_are_logged_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.call")
    async with start(log_prompts=True) as served:
        request = PriorServiceEncodePromptRequest(prompt="a cat", negative_prompt="a dog")
        await served.stub.EncodePrompt(request)
    (record,) = call_records(caplog)
    assert (record.prompt, record.negative_prompt) == ("a cat", "a dog")


async def test_cancel_by_id_reaches_the_handler_and_its_caller() -> None:
    async with start() as served:
        call = served.stub.EncodePrompt(WAIT)
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        answer = await served.stub.Cancel(PriorServiceCancelRequest(request_id="r"))
        assert (answer.found, answer.phase) == (True, Phase.PHASE_ENCODING)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        error = read_error(caught.value)
        assert (error.code, error.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED_BY_ID")
        assert error.metadata == {"request_id": "r", "phase": "ENCODING"}
        assert isinstance(served.prior.ended, asyncio.CancelledError)
        assert len(served.prior.running) == 0
        assert not (await served.stub.Cancel(PriorServiceCancelRequest(request_id="r"))).found


async def test_a_cancel_without_an_id_is_refused() -> None:
    async with start() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.Cancel(PriorServiceCancelRequest())
    assert list(read_error(caught.value).violations) == ["request_id"]


async def test_an_id_is_unique_among_the_running() -> None:
    async with start() as served:
        call = served.stub.EncodePrompt(WAIT)
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(request_id="r"))
        assert read_error(caught.value).reason == "REQUEST_ID_IN_USE"
        assert len(served.prior.running) == 1
        served.prior.released.set()
        await call
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(request_id="r"))


@pytest.mark.parametrize("deadline", [False, True])
async def test_a_client_that_leaves_is_logged_as_such(caplog: pytest.LogCaptureFixture, deadline: bool) -> None:
    caplog.set_level(logging.INFO, "serving.call")
    async with start() as served:
        call = served.stub.EncodePrompt(WAIT, timeout=0.3 if deadline else None)
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        if not deadline:
            call.cancel()
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await call
        async with asyncio.timeout(10):
            while len(served.prior.running):  # noqa: ASYNC110 no event tells
                await asyncio.sleep(0)
        assert isinstance(served.prior.ended, asyncio.CancelledError)
    (record,) = call_records(caplog)
    assert record.status == ("DEADLINE_EXCEEDED" if deadline else "CANCELLED")


async def test_a_stream_is_closed_at_once_when_its_client_leaves() -> None:
    async with start() as served:
        call = served.stub.WatchStatus(PriorServiceWatchStatusRequest())
        await call.read()
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        call.cancel()
        async with asyncio.timeout(10):
            while served.prior.ended is None:  # noqa: ASYNC110 no event tells
                await asyncio.sleep(0)
        assert isinstance(served.prior.ended, asyncio.CancelledError)


async def test_a_generator_has_ended_before_its_call_has(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.call")
    ended_when_logged: list[BaseException | None] = []
    async with start() as served:
        served.prior.floods = True  # so that the handler is left at a yield: its client does not read
        logger, handler = logging.getLogger("serving.call"), logging.Handler()
        handler.emit = lambda _: ended_when_logged.append(served.prior.ended)  # type: ignore[method-assign]
        logger.addHandler(handler)
        call = served.stub.WatchStatus(PriorServiceWatchStatusRequest())
        await call.read()
        call.cancel()
        async with asyncio.timeout(10):
            while not ended_when_logged:  # noqa: ASYNC110 no event tells
                await asyncio.sleep(0)
        logger.removeHandler(handler)
    assert isinstance(ended_when_logged[0], GeneratorExit)


def test_a_task_is_not_marked_as_cancelled_once_the_cancel_has_been_told() -> None:
    async def cancelled() -> int:
        running, task = RunningRequests(), asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(running.cancel, "r")
        with pytest.raises(CancelledByIdError), running.run("r"):
            await asyncio.Event().wait()
        return task.cancelling()

    assert asyncio.run(cancelled()) == 0


async def test_a_method_nobody_wrote_is_internal_without_leaving_anything() -> None:
    async with start() as served:
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.Interpolate(PriorServiceInterpolateRequest())
        assert len(served.prior.running) == 0
