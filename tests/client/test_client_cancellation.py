"""Whoever leaves a call stops it on the server."""

import asyncio
import gc
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from kandinsky_client import AsyncClient, Client, Queued, RequestCancelledError
from tests.client.fake_service import FakeImageService, picture_file, queued

PATIENCE_SECONDS = 10.0


@pytest.fixture
def holding(service: FakeImageService) -> FakeImageService:
    """A service whose streams say Queued and then nothing more."""
    service.news = [queued()]
    service.holds = True
    return service


def test_leaving_the_context_of_a_stream_cancels_it(holding: FakeImageService, server: str) -> None:
    with Client(server) as client:
        with client.stream_img2img(picture_file(), "p") as events:
            assert isinstance(next(events), Queued)
            assert holding.held.wait(PATIENCE_SECONDS)
        assert holding.left.wait(PATIENCE_SECONDS)


def test_an_exception_inside_the_context_cancels_the_stream(holding: FakeImageService, server: str) -> None:
    with Client(server) as client:
        with suppress(ZeroDivisionError), client.stream_img2img(picture_file(), "p") as events:
            next(events)
            assert holding.held.wait(PATIENCE_SECONDS)
            raise ZeroDivisionError
        assert holding.left.wait(PATIENCE_SECONDS)


def test_breaking_out_of_a_loop_over_a_stream_cancels_it(holding: FakeImageService, server: str) -> None:
    with Client(server) as client:
        for event in client.stream_img2img(picture_file(), "p"):
            assert isinstance(event, Queued)
            assert holding.held.wait(PATIENCE_SECONDS)
            break
        gc.collect()
        assert holding.left.wait(PATIENCE_SECONDS)


def test_a_stream_that_nobody_began_to_read_sends_nothing(service: FakeImageService, server: str) -> None:
    with Client(server) as client, client.stream_img2img(picture_file(), "p"):
        pass
    assert service.requests == []


class InterruptedCall:
    """A FAKE call: Ctrl-C breaks the wait for it."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def result(self) -> None:
        raise KeyboardInterrupt

    def cancel(self) -> None:
        self.is_cancelled = True


def test_ctrl_c_while_a_call_waits_cancels_it(monkeypatch: pytest.MonkeyPatch) -> None:
    call = InterruptedCall()
    method = SimpleNamespace(future=lambda *_, **__: call)
    with Client() as client:
        monkeypatch.setattr(client, "_stub", SimpleNamespace(Img2Img=method))
        with pytest.raises(KeyboardInterrupt):
            client.img2img(picture_file(), "p")
    assert call.is_cancelled


async def test_leaving_the_context_of_an_async_stream_cancels_it(holding: FakeImageService, server: str) -> None:
    async with AsyncClient(server) as client:
        async with client.stream_img2img(picture_file(), "p") as events:
            assert isinstance(await anext(events), Queued)
            assert await asyncio.to_thread(holding.held.wait, PATIENCE_SECONDS)
        assert await asyncio.to_thread(holding.left.wait, PATIENCE_SECONDS)


async def test_breaking_out_of_an_async_loop_cancels_the_stream(holding: FakeImageService, server: str) -> None:
    async with AsyncClient(server) as client:
        async for event in client.stream_img2img(picture_file(), "p"):
            assert isinstance(event, Queued)
            assert await asyncio.to_thread(holding.held.wait, PATIENCE_SECONDS)
            break
        gc.collect()
        assert await asyncio.to_thread(holding.left.wait, PATIENCE_SECONDS)


@pytest.mark.parametrize("streams", [False, True])
async def test_cancelling_the_task_cancels_the_call(holding: FakeImageService, server: str, streams: bool) -> None:
    async with AsyncClient(server) as client:

        async def wait_for_pictures() -> None:
            if streams:
                async for _ in client.stream_img2img(picture_file(), "p"):
                    pass
            else:
                await client.img2img(picture_file(), "p")

        task = asyncio.create_task(wait_for_pictures())
        assert await asyncio.to_thread(holding.held.wait, PATIENCE_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(holding.left.wait, PATIENCE_SECONDS)


@pytest.mark.parametrize("streams", [False, True])
def test_closing_the_client_ends_its_calls_in_other_threads(
    holding: FakeImageService, server: str, streams: bool
) -> None:
    client = Client(server)
    raised: list[Exception] = []

    def wait_for_pictures() -> None:
        try:
            if streams:
                list(client.stream_img2img(picture_file(), "p"))
            else:
                client.img2img(picture_file(), "p")
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=wait_for_pictures)
    thread.start()
    assert holding.held.wait(PATIENCE_SECONDS)
    client.close()
    thread.join(PATIENCE_SECONDS)
    assert [type(error) for error in raised] == [RequestCancelledError]
    assert holding.left.wait(PATIENCE_SECONDS)
