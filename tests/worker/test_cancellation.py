"""A request that nobody wants any more is gone at once, wherever it is, and leaves nothing behind.

Every place at which a request can be × every way of stopping it, in both workers, over real sockets. What is fake,
tests.worker.workers says. A second request is at work beside it: its device goes on, and its steps are the ones that
the stopped request must not take part in.

What a client is told by its own gRPC (that it has left, or that its time is up) carries no reason and no phase: these
are then found in what the worker counts.
"""

import asyncio
import gc
import importlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import pytest
from PIL import Image

from decoder_server.actions import DecoderInput, DecoderState
from decoder_server.news import Reporter
from imagegen.v1.common_pb2 import Phase
from imagegen.v1.decoder_pb2 import DecoderServiceCancelRequest, DecoderServiceStreamImg2ImgRequest
from imagegen.v1.prior_pb2 import (
    InterpolationItem,
    PriorParams,
    PriorServiceCancelRequest,
    PriorServiceEncodePromptRequest,
    PriorServiceInterpolateRequest,
)
from prior_server.actions import PriorInput
from serving.batching import work
from serving.batching.work import Stage
from serving.errors import phase_name
from serving.requests import RunningRequest
from tests.errors_on_the_wire import read_error
from tests.worker.held_device import Action, HeldCall
from tests.worker.workers import FakeRow, FakeState, Worker, decoder, picture_request, prior
from worker.jobs import Job
from worker.mailbox import Mailbox

# Far more than a request needs to come to its place, and little to wait for.
DEADLINE_SECONDS = 0.8

# What lives for a request. None is left when nobody has a request.
KEPT_FOR_REQUESTS = {
    RunningRequest,
    Job,
    Mailbox,
    Reporter,
    PriorInput,
    FakeState,
    DecoderInput,
    DecoderState,
    FakeRow,
    Image.Image,
    work.Request,
    work.Row,
}


@dataclass(frozen=True)
class Method:
    """A method of a worker.

    Attributes:
        name: with its service.
        start: starts the worker.
        call: calls the method with a request of a name and so many steps.
        cancel_request: for the worker's Cancel.
    """

    name: str
    start: Callable[[], AbstractAsyncContextManager[Worker]]
    call: Callable[..., Awaitable[None]]
    cancel_request: type


async def encode_prompt(stub: Any, name: str, steps: int, **options: Any) -> None:
    params = PriorParams(num_inference_steps=steps, seed=0)
    await stub.EncodePrompt(PriorServiceEncodePromptRequest(request_id=name, prompt=name, params=params), **options)


async def interpolate(stub: Any, name: str, steps: int, **options: Any) -> None:
    params = PriorParams(num_inference_steps=steps, seed=0)
    items = [InterpolationItem(text=name), InterpolationItem(image=picture_request(name).image)]
    await stub.Interpolate(PriorServiceInterpolateRequest(request_id=name, items=items, params=params), **options)


async def img2img(stub: Any, name: str, steps: int, **options: Any) -> None:
    await stub.Img2Img(picture_request(name, steps), **options)


async def stream_img2img(stub: Any, name: str, steps: int, **options: Any) -> None:
    request = DecoderServiceStreamImg2ImgRequest(request=picture_request(name, steps))
    call = stub.StreamImg2Img(request, **options)
    try:
        async for _ in call:
            pass
    finally:
        call.cancel()  # gRPC does not in every case when the task that reads is cancelled


METHODS = {
    "EncodePrompt": Method("PriorService/EncodePrompt", prior, encode_prompt, PriorServiceCancelRequest),
    "Interpolate": Method("PriorService/Interpolate", prior, interpolate, PriorServiceCancelRequest),
    "Img2Img": Method("DecoderService/Img2Img", decoder, img2img, DecoderServiceCancelRequest),
    "StreamImg2Img": Method("DecoderService/StreamImg2Img", decoder, stream_img2img, DecoderServiceCancelRequest),
}


@dataclass(frozen=True)
class Place:
    """Where a request can be.

    Attributes:
        phase: what clients call it.
        stage: the action that it is in, or was in last; None before the first.
        function: that a thread runs for it before the first action or after the last; None where it is in an action or
            waits for one.
    """

    phase: Phase.ValueType
    stage: Stage | None = None
    function: str | None = None


WAITING = {"waiting": Place(Phase.PHASE_QUEUED)}
PRIOR_PLACES = WAITING | {
    "encoding": Place(Phase.PHASE_ENCODING, Stage.ENCODE),
    "stepping": Place(Phase.PHASE_ENCODING, Stage.STEP),
    "ending": Place(Phase.PHASE_ENCODING, Stage.DECODE),
}
DECODER_PLACES = WAITING | {
    "reading": Place(Phase.PHASE_QUEUED, function="decoder_server.service.read_image"),
    "encoding": Place(Phase.PHASE_ENCODING, Stage.ENCODE),
    "denoising": Place(Phase.PHASE_DENOISING, Stage.STEP),
    "decoding": Place(Phase.PHASE_DECODING, Stage.DECODE),
    "writing": Place(Phase.PHASE_DECODING, Stage.DECODE, "decoder_server.result.write_image"),
}
PLACES = {
    "EncodePrompt": PRIOR_PLACES,
    "Interpolate": PRIOR_PLACES | {"reading": Place(Phase.PHASE_QUEUED, function="prior_server.service.read_image")},
    "Img2Img": DECODER_PLACES,
    "StreamImg2Img": DECODER_PLACES,
}


@dataclass
class Scene:
    """A worker with two requests, one of which will be stopped where it is.

    Attributes:
        worker: theirs.
        cancel_request: for its Cancel.
        channel: the connection of the request to stop.
        lasting: the other request's call.
        stopped: the call of the request to stop.
        held: what the device, or the request's thread, does until it is let go.
    """

    worker: Worker
    cancel_request: type
    channel: grpc.aio.Channel
    lasting: "asyncio.Future[None]"
    stopped: "asyncio.Future[None]"
    held: Action | HeldCall


async def by_id(scene: Scene, place: Place) -> None:
    answer = await scene.worker.stub.Cancel(scene.cancel_request(request_id="stopped"))
    assert (answer.found, answer.phase) == (True, place.phase)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await scene.stopped
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED_BY_ID")
    assert error.metadata == {"request_id": "stopped", "phase": phase_name(place.phase)}


async def by_leaving(scene: Scene, place: Place) -> None:
    scene.stopped.cancel()
    await asyncio.wait((scene.stopped,))


async def by_losing_the_connection(scene: Scene, place: Place) -> None:
    await scene.channel.close()
    await asyncio.wait((scene.stopped,))


async def by_deadline(scene: Scene, place: Place) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await scene.stopped
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


Way: TypeAlias = Callable[[Scene, Place], Awaitable[None]]

# With the cause, the status and the reason that the worker counts.
WAYS: list[tuple[Way, str, str, str]] = [
    (by_id, "id", "CANCELLED", "CANCELLED_BY_ID"),
    (by_leaving, "client", "CANCELLED", ""),
    (by_losing_the_connection, "client", "CANCELLED", ""),
    (by_deadline, "deadline", "DEADLINE_EXCEEDED", ""),
]


# To the worker Img2Img is StreamImg2Img, and Interpolate is EncodePrompt when its pictures are read: they are spared
# the time that deadlines take.
HAVE_NO_DEADLINES = {("Img2Img", where) for where in DECODER_PLACES} | {
    ("Interpolate", where) for where in PRIOR_PLACES
}
CASES = [
    pytest.param(method, PLACES[method][where], *way, id=f"{method}-{where}-{way[0].__name__}")
    for method in METHODS
    for where in PLACES[method]
    for way in WAYS
    if way[0] is not by_deadline or (method, where) not in HAVE_NO_DEADLINES
]


@pytest.mark.parametrize(("method", "place", "way", "cause", "status", "reason"), CASES)
async def test_a_stopped_request_is_gone_and_leaves_nothing(
    method: str, place: Place, way: Way, cause: str, status: str, reason: str
) -> None:
    lost: list[str] = []  # what asyncio reports: errors that nobody took, tasks that nobody ended
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context["message"]))
    with frozen_garbage():
        async with METHODS[method].start() as worker:
            tasks = running_tasks()
            seconds = DEADLINE_SECONDS if way is by_deadline else None
            async with scene_at(place, METHODS[method], worker, seconds) as scene:
                assert worker.running["stopped"].phase == place.phase
                await way(scene, place)
                # While the device, or the thread, is still at it.
                await until(lambda: len(worker.running) == 1)
                assert "Table(1 requests" in repr(worker.engine)
                scene.held.finish()
                actions = await worker.device.work_off(scene.lasting)
            assert not [row for action in actions for row in action.rows if row.startswith("stopped")]
            assert_it_was_counted(worker, METHODS[method].name, place.phase, cause, status, reason)
            await assert_nothing_is_left(worker, tasks)
    assert lost == []


async def test_a_client_who_does_not_read_holds_nobody_up_and_leaves_nothing() -> None:
    options = [("grpc.max_receive_message_length", -1)]
    with frozen_garbage():
        async with decoder() as worker:
            tasks = running_tasks()
            async with grpc.aio.insecure_channel(worker.address, options) as channel:
                request = DecoderServiceStreamImg2ImgRequest(
                    request=picture_request("stopped", 20), checkpoint_every_steps=1
                )
                call = type(worker.stub)(channel).StreamImg2Img(request)
                assert (await call.read()).HasField("queued")
                decode = await worker.device.reach(Stage.DECODE, "stopped")
                decode.finish()
                await until(lambda: "Table(0 requests" in repr(worker.engine))
                assert len(worker.running) == 1
                call.cancel()
                await assert_nothing_is_left(worker, tasks)
            method = METHODS["StreamImg2Img"].name
            assert_it_was_counted(worker, method, Phase.PHASE_DECODING, "client", "CANCELLED", "")


def assert_it_was_counted(
    worker: Worker, method: str, phase: Phase.ValueType, cause: str, status: str, reason: str
) -> None:
    assert worker.sample("cancellations_total", phase=phase_name(phase), cause=cause) == 1
    assert worker.sample("requests_total", method=method, status=status, reason=reason) == 1


async def assert_nothing_is_left(worker: Worker, tasks: Counter[str]) -> None:
    """When both requests have ended."""
    await until(lambda: running_tasks() <= tasks)
    await until(lambda: "0 calls open" in repr(worker.server))
    assert "Table(0 requests" in repr(worker.engine)
    assert len(worker.running) == 0
    await until(lambda: not kept())


@asynccontextmanager
async def scene_at(place: Place, method: Method, worker: Worker, seconds: float | None) -> AsyncIterator[Scene]:
    """Both requests on their way, the one to stop at its place; the device is in an action meanwhile."""
    lasting = asyncio.ensure_future(method.call(worker.stub, "lasting", 8))
    first = await worker.device.reach(Stage.ENCODE, "lasting")
    async with grpc.aio.insecure_channel(worker.address) as channel:
        with held_function(place.function) as function:
            stopped = asyncio.ensure_future(method.call(type(worker.stub)(channel), "stopped", 2, timeout=seconds))
            held = await come_to(place, worker, first, function)
        try:
            yield Scene(worker, method.cancel_request, channel, lasting, stopped, held)
        finally:
            held.finish()


async def come_to(place: Place, worker: Worker, first: Action, function: HeldCall) -> Action | HeldCall:
    """What the request is in when it has come to its place."""
    if place.stage is None and place.function is not None:
        await function.begun.wait()
        first.finish()
        return function
    await until(lambda: "Table(2 requests" in repr(worker.engine))
    if place.stage is None:
        return first
    first.finish()
    action = await worker.device.reach(place.stage, "stopped")
    assert len(action.rows) == (2 if place.stage is Stage.STEP else 1)  # steps are shared
    if place.function is None:
        return action
    action.finish()
    await function.begun.wait()
    return function


@contextmanager
def held_function(name: str | None) -> Iterator[HeldCall]:
    """The function of this name as one whose first call is held."""
    with pytest.MonkeyPatch.context() as patch:
        if name is None:
            yield HeldCall(until)  # nobody calls it
        else:
            module, _, function = name.rpartition(".")
            held = HeldCall(getattr(importlib.import_module(module), function))
            patch.setattr(name, held)
            yield held


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Whatever there is so far is not looked at: it is other tests', and much."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def running_tasks() -> Counter[str]:
    """By what they run: a server's own, which accept calls, are replaced after each call."""
    return Counter(str(getattr(task.get_coro(), "__qualname__", "")) for task in asyncio.all_tasks())


def kept() -> list[Any]:
    """What is left of requests."""
    gc.collect()
    return [each for each in gc.get_objects() if type(each) in KEPT_FOR_REQUESTS]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what no event tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)
