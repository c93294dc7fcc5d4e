"""The client for asyncio: `client.py` with `await`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from imagegen.v1.gateway_pb2 import GetServerInfoResponse
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from kandinsky_client import calls, channel, security
from kandinsky_client.errors import InternalError
from kandinsky_client.images import ImageInput
from kandinsky_client.options import EncodePromptOptions, Img2ImgOptions, InterpolateOptions
from kandinsky_client.results import CancelResult, EncodeResult, Event, Img2ImgResult
from kandinsky_client.retry import DEFAULT_RETRY, Attempts, RetryPolicy
from kandinsky_client.security import Tls
from kandinsky_client.status import error_of

_Result = TypeVar("_Result")


class AsyncEventStream(AsyncIterator[Event]):
    """The events of a running request. Leaving it, or the `async with` around it, stops the request on the server."""

    def __init__(self, events: AsyncGenerator[Event]) -> None:
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the request, if it still runs."""
        await self._events.aclose()


class AsyncClient:
    """A connection to a gateway, for any number of calls at the same time, all in one event loop.

    Every call raises a KandinskyClientError when it fails. Use it in an `async with` statement, or close it. Cancelling
    the task that waits for a call stops the request on the server.

    Args:
        server: the gateway, host:port; dns:///name:port spreads calls over all addresses of the name.
        timeout_seconds: for calls that name none of their own; None: as long as it takes.
        retry: how persistent to be.
        token: who asks, where the gateway wants to know. It needs TLS, except to this machine.
        tls: None: no TLS, as for a gateway on the same machine.
    """

    def __init__(
        self,
        server: str = channel.DEFAULT_SERVER,
        *,
        timeout_seconds: float | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
        token: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.server = server
        self._timeout_seconds = timeout_seconds
        self._retry = retry
        self._credentials = security.credentials(tls)
        self._options = channel.options(server) + security.options(tls)
        self._metadata = security.metadata(server, token, tls)

    async def img2img(self, image: ImageInput, prompt: str, **options: Unpack[Img2ImgOptions]) -> Img2ImgResult:
        """Make pictures of a picture and a prompt. Options: see Img2ImgOptions."""
        return await self._run(calls.img2img(image, prompt, **options))

    def stream_img2img(
        self, image: ImageInput, prompt: str, *, preview_every_steps: int = 0, **options: Unpack[Img2ImgOptions]
    ) -> AsyncEventStream:
        """Make pictures and tell how it goes: Queued, PromptEncoded, Progress; the Img2ImgResult comes last.

        Args:
            image: the picture to start from.
            prompt: what the result shall show.
            preview_every_steps: a preview with every n-th step; 0: none.
            options: see Img2ImgOptions.
        """
        return AsyncEventStream(self._events(calls.stream_img2img(image, prompt, preview_every_steps, **options)))

    async def encode_prompt(self, prompt: str, **options: Unpack[EncodePromptOptions]) -> EncodeResult:
        """Turn a prompt into embeddings for any number of `img2img` calls. Options: see EncodePromptOptions."""
        return await self._run(calls.encode_prompt(prompt, **options))

    async def interpolate(self, items: Sequence[ImageInput], **options: Unpack[InterpolateOptions]) -> EncodeResult:
        """Mix texts (str) and pictures (pathlib.Path, bytes, images, arrays). Options: see InterpolateOptions."""
        return await self._run(calls.interpolate(items, **options))

    async def cancel(self, request_id: str, *, timeout_seconds: float | None = None) -> CancelResult:
        """Stop a request in whatever phase it is; its caller gets RequestCancelledError. Twice does no harm.

        Only the gateway that has the request knows it: of several behind one address, one is asked.
        """
        return await self._run(calls.cancel(request_id, timeout_seconds))

    async def info(self, *, timeout_seconds: float | None = None) -> GetServerInfoResponse:
        """What is loaded, what is allowed, and how busy everything is."""
        return await self._run(calls.info(timeout_seconds))

    async def close(self) -> None:
        """Close the connection; calls that still run are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.server!r})"

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        """Made at the first call, because it belongs to the event loop that then runs."""
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.server, self._options)
        return grpc.aio.secure_channel(self.server, self._credentials, self._options)

    @cached_property
    def _stub(self) -> Any:
        return ImageServiceStub(self._channel)

    def _attempts(self, timeout_seconds: float | None) -> Attempts:
        return Attempts(self._retry, self._timeout_seconds if timeout_seconds is None else timeout_seconds)

    async def _run(self, call: calls.Call[_Result]) -> _Result:
        attempts = self._attempts(call.timeout_seconds)
        method = getattr(self._stub, call.method)
        while True:
            try:
                return call.read(
                    await method(call.request, timeout=attempts.remaining_seconds(), metadata=self._metadata)
                )
            except grpc.RpcError as failure:
                error = error_of(failure)
            await asyncio.sleep(attempts.pause_seconds(error))

    async def _events(self, call: calls.Call[Event | None]) -> AsyncGenerator[Event]:
        attempts = self._attempts(call.timeout_seconds)
        method = getattr(self._stub, call.method)
        while True:
            rpc = method(call.request, timeout=attempts.remaining_seconds(), metadata=self._metadata)
            try:
                async for message in rpc:
                    attempts.seen()
                    event = call.read(message)
                    if isinstance(event, Img2ImgResult):
                        with suppress(grpc.RpcError):  # the end of the call, lest it look as if it had been left
                            await anext(aiter(rpc), None)
                    if event is not None:
                        yield event
                    if isinstance(event, Img2ImgResult):
                        return
                raise InternalError("the server ended the stream without a result")
            except grpc.RpcError as failure:
                error = error_of(failure)
            finally:
                rpc.cancel()
            await asyncio.sleep(attempts.pause_seconds(error))
