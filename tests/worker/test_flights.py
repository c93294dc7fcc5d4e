"""Prompts that are asked for twice at the same time are computed once, and nobody pays for the company."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest

from imagegen.v1.common_pb2 import Phase
from imagegen.v1.prior_pb2 import PriorParams, PriorServiceCancelRequest, PriorServiceEncodePromptRequest
from serving.batching.work import Stage
from serving.errors import NonFiniteOutputError
from tests.errors_on_the_wire import read_error
from tests.worker.workers import DIM, STEP_SECONDS, Worker, prior

ASKED: dict[str, Any] = {"num_inference_steps": 4, "seed": 5, "guidance_scale": 4.0}


def ask(worker: Worker, name: str, params: dict[str, Any] | None = None, **fields: Any) -> "asyncio.Future[Any]":
    """A request of its own id; all are for the same unless they say otherwise."""
    values: dict[str, Any] = {"prompt": "a", "params": PriorParams(**(ASKED if params is None else params))}
    request = PriorServiceEncodePromptRequest(**{**values, **fields, "request_id": name})

    async def answer() -> Any:
        return await worker.stub.EncodePrompt(request)

    return asyncio.ensure_future(answer())


async def arrived(worker: Worker, count: int) -> None:
    """So many requests wait for embeddings; each is, an instant after it is registered."""
    async with asyncio.timeout(10):
        while len(worker.running) < count:  # noqa: ASYNC110 no event tells
            await asyncio.sleep(0)
    # A cancelled id is looked up after what came before it on this connection.
    await worker.stub.Cancel(PriorServiceCancelRequest(request_id="nobody"))


def embedding(answer: Any) -> list[float]:
    """Its first number, which is the seed it was made of; one for each embedding."""
    return [float(seed) for seed in np.frombuffer(answer.embeddings.image_embeds.data, np.float32)[::DIM]]


async def test_twins_are_computed_once_and_both_are_answered() -> None:
    async with prior() as worker:
        first = ask(worker, "first")
        step = await worker.device.reach(Stage.STEP, "a")
        second = ask(worker, "second")
        await arrived(worker, 2)
        assert "Table(1 requests" in repr(worker.engine)
        step.finish()
        actions = await worker.device.work_off(first, second)
        answers = [await first, await second]
    assert [action.stage for action in actions] == [Stage.STEP] * 3 + [Stage.DECODE]
    assert [answer.request_id for answer in answers] == ["first", "second"]
    assert [embedding(answer) for answer in answers] == [[5.0], [5.0]]
    assert [answer.receipt.cache_hit for answer in answers] == [False, True]
    assert [answer.receipt.prior_steps for answer in answers] == [4, 0]
    assert [dict(answer.receipt.steps_by_batch_size) for answer in answers] == [{1: 4}, {}]
    assert [answer.receipt.queued_seconds for answer in answers] == [0, 0]
    assert [answer.receipt.total_seconds for answer in answers] == pytest.approx([6 * STEP_SECONDS, 5 * STEP_SECONDS])


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({}, ASKED | {"seed": 6}),
        ({}, ASKED | {"seed": 0}),
        ({}, {key: value for key, value in ASKED.items() if key != "seed"}),
        ({}, ASKED | {"num_inference_steps": 5}),
        ({}, ASKED | {"guidance_scale": 0.0}),
        ({"negative_prompt": ""}, ASKED),
        ({"num_embeddings": 2}, ASKED),
        ({"prompt": "b"}, ASKED),
    ],
    ids=["seed", "seed 0", "a drawn seed", "steps", "guidance", "a negative prompt", "number", "prompt"],
)
async def test_whoever_asks_for_something_else_gets_their_own(fields: dict[str, Any], params: dict[str, Any]) -> None:
    async with prior() as worker:
        first = ask(worker, "first")
        encode = await worker.device.reach(Stage.ENCODE, "a")
        second = ask(worker, "second", params, **fields)
        await arrived(worker, 2)
        assert "Table(2 requests" in repr(worker.engine)
        encode.finish()
        await worker.device.work_off(first, second)
        assert embedding(await first) == [5.0]
        assert not (await second).receipt.cache_hit
        assert set(embedding(await second)) == {float(np.float32((await second).seed))}


@pytest.mark.parametrize("leaver", ["first", "second"])
async def test_one_that_leaves_does_not_hurt_the_other(leaver: str) -> None:
    async with prior() as worker:
        calls = {name: ask(worker, name) for name in ("first", "second")}
        step = await worker.device.reach(Stage.STEP, "a")
        await arrived(worker, 2)
        await worker.stub.Cancel(PriorServiceCancelRequest(request_id=leaver))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.pop(leaver)
        assert read_error(caught.value).reason == "CANCELLED_BY_ID"
        assert "Table(1 requests" in repr(worker.engine)
        step.finish()
        (stayer,) = calls.values()
        actions = await worker.device.work_off(stayer)
        assert embedding(await stayer) == [5.0]
    assert [action.stage for action in actions] == [Stage.STEP] * 3 + [Stage.DECODE]


async def test_the_id_of_one_that_has_left_is_free_though_its_computation_goes_on() -> None:
    async with prior() as worker:
        first, second = ask(worker, "first"), ask(worker, "second")
        step = await worker.device.reach(Stage.STEP, "a")
        await arrived(worker, 2)
        await worker.stub.Cancel(PriorServiceCancelRequest(request_id="first"))
        await asyncio.wait((first,))
        other = ask(worker, "first", prompt="b")
        await arrived(worker, 2)
        step.finish()
        await worker.device.work_off(second, other)


async def test_when_all_have_left_the_device_is_free_and_who_comes_then_starts_anew() -> None:
    async with prior() as worker:
        calls = {name: ask(worker, name) for name in ("first", "second")}
        step = await worker.device.reach(Stage.STEP, "a")
        await arrived(worker, 2)
        for name in calls:
            await worker.stub.Cancel(PriorServiceCancelRequest(request_id=name))
        await asyncio.wait(calls.values())
        assert "Table(0 requests" in repr(worker.engine)
        late = ask(worker, "late")
        await arrived(worker, 1)
        step.finish()
        actions = await worker.device.work_off(late)
        assert not (await late).receipt.cache_hit
    assert [action.stage for action in actions] == [Stage.ENCODE, *[Stage.STEP] * 4, Stage.DECODE]


async def test_a_computation_that_fails_fails_for_all_and_is_not_remembered() -> None:
    async with prior() as worker:
        calls = [ask(worker, name) for name in ("first", "second")]
        step = await worker.device.reach(Stage.STEP, "a")
        await arrived(worker, 2)
        step.fail(NonFiniteOutputError(Phase.PHASE_ENCODING))
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert read_error(caught.value).reason == "NON_FINITE_OUTPUT"
        again = ask(worker, "again")
        await worker.device.work_off(again)
        assert embedding(await again) == [5.0]


async def test_a_computation_that_is_refused_is_not_remembered() -> None:
    async with prior(max_queue_seconds=0.0) as worker:
        busy = ask(worker, "busy", prompt="b")
        encode = await worker.device.reach(Stage.ENCODE, "b")
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(worker, "refused")
            assert read_error(caught.value).reason == "QUEUE_FULL"
        encode.finish()
        await worker.device.work_off(busy)
        again = ask(worker, "again")
        await worker.device.work_off(again)
        assert not (await again).receipt.cache_hit


async def test_what_is_done_is_computed_again() -> None:
    async with prior() as worker:
        for name in ("first", "second"):
            call = ask(worker, name)
            assert len(await worker.device.work_off(call)) == 6
            assert not (await call).receipt.cache_hit


async def test_both_are_told_where_the_computation_is() -> None:
    async with prior() as worker:
        first = ask(worker, "first")
        encode = await worker.device.reach(Stage.ENCODE, "a")
        second = ask(worker, "second")
        await arrived(worker, 2)
        encode.finish()
        step = await worker.device.next()
        for name in ("first", "second"):
            assert worker.running[name].phase == Phase.PHASE_ENCODING
        step.finish()
        await worker.device.work_off(first, second)
