"""The client for ordinary code. `aio.py` is its twin for asyncio; what they share is in calls.py and retry.py."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from imagegen.v1.gateway_pb2 import GetServerInfoResponse
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from kandinsky_client import calls, channel, security
from kandinsky_client.errors import InternalError, RequestCancelledError
from kandinsky_client.images import ImageInput
from kandinsky_client.options import EncodePromptOptions, Img2ImgOptions, InterpolateOptions
from kandinsky_client.results import CancelResult, EncodeResult, Event, Img2ImgResult
from kandinsky_client.retry import DEFAULT_RETRY, Attempts, RetryPolicy
from kandinsky_client.security import Tls
from kandinsky_client.status import error_of

_Result = TypeVar("_Result")


class EventStream(Iterator[Event]):
    """The events of a running request. Leaving it, or the `with` around it, stops the request on the server."""

    def __init__(self, events: Generator[Event]) -> None:
        self._events = events

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the request, if it still runs."""
        self._events.close()


class Client:
    """A connection to a gateway, for any number of calls from any number of threads.

    Every call raises a KandinskyClientError when it fails. Use it in a `with` statement, or close it.

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
        self._metadata = security.metadata(server, token, tls)
        secret, options = security.credentials(tls), channel.options(server) + security.options(tls)
        self._channel = (
            grpc.insecure_channel(server, options) if secret is None else grpc.secure_channel(server, secret, options)
        )
        self._stub = ImageServiceStub(self._channel)

    def img2img(self, image: ImageInput, prompt: str, **options: Unpack[Img2ImgOptions]) -> Img2ImgResult:
        """Make pictures of a picture and a prompt. Options: see Img2ImgOptions."""
        return self._run(calls.img2img(image, prompt, **options))

    def stream_img2img(
        self, image: ImageInput, prompt: str, *, preview_every_steps: int = 0, **options: Unpack[Img2ImgOptions]
    ) -> EventStream:
        """Make pictures and tell how it goes: Queued, PromptEncoded, Progress; the Img2ImgResult comes last.

        Args:
            image: the picture to start from.
            prompt: what the result shall show.
            preview_every_steps: a preview with every n-th step; 0: none.
            options: see Img2ImgOptions.
        """
        return EventStream(self._events(calls.stream_img2img(image, prompt, preview_every_steps, **options)))

    def encode_prompt(self, prompt: str, **options: Unpack[EncodePromptOptions]) -> EncodeResult:
        """Turn a prompt into embeddings for any number of `img2img` calls. Options: see EncodePromptOptions."""
        return self._run(calls.encode_prompt(prompt, **options))

    def interpolate(self, items: Sequence[ImageInput], **options: Unpack[InterpolateOptions]) -> EncodeResult:
        """Mix texts (str) and pictures (pathlib.Path, bytes, images, arrays). Options: see InterpolateOptions."""
        return self._run(calls.interpolate(items, **options))

    def cancel(self, request_id: str, *, timeout_seconds: float | None = None) -> CancelResult:
        """Stop a request in whatever phase it is; its caller gets RequestCancelledError. Twice does no harm.

        Only the gateway that has the request knows it: of several behind one address, one is asked.
        """
        return self._run(calls.cancel(request_id, timeout_seconds))

    def info(self, *, timeout_seconds: float | None = None) -> GetServerInfoResponse:
        """What is loaded, what is allowed, and how busy everything is."""
        return self._run(calls.info(timeout_seconds))

    def close(self) -> None:
        """Close the connection; calls that still run end with RequestCancelledError."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.server!r})"

    def _attempts(self, timeout_seconds: float | None) -> Attempts:
        return Attempts(self._retry, self._timeout_seconds if timeout_seconds is None else timeout_seconds)

    def _run(self, call: calls.Call[_Result]) -> _Result:
        attempts = self._attempts(call.timeout_seconds)
        method = getattr(self._stub, call.method)
        while True:
            # A future, because it can be cancelled when Ctrl-C breaks the wait for it.
            rpc = method.future(call.request, timeout=attempts.remaining_seconds(), metadata=self._metadata)
            try:
                return call.read(rpc.result())
            except grpc.FutureCancelledError:
                raise RequestCancelledError("the client was closed") from None
            except grpc.RpcError as failure:
                error = error_of(failure)
            finally:
                rpc.cancel()
            time.sleep(attempts.pause_seconds(error))

    def _events(self, call: calls.Call[Event | None]) -> Generator[Event]:
        attempts = self._attempts(call.timeout_seconds)
        method = getattr(self._stub, call.method)
        while True:
            rpc = method(call.request, timeout=attempts.remaining_seconds(), metadata=self._metadata)
            try:
                for message in rpc:
                    attempts.seen()
                    event = call.read(message)
                    if isinstance(event, Img2ImgResult):
                        with suppress(grpc.RpcError):  # the end of the call, lest it look as if it had been left
                            next(rpc, None)
                    if event is not None:
                        yield event
                    if isinstance(event, Img2ImgResult):
                        return
                raise InternalError("the server ended the stream without a result")
            except grpc.RpcError as failure:
                error = error_of(failure)
            finally:
                rpc.cancel()
            time.sleep(attempts.pause_seconds(error))
