"""The frame around every call: request id, admission, cancellation, errors as rich statuses, one line in the log.

Handlers are coroutines, or async generators where the answer is a stream. They return, yield or raise; they never abort
a context and never log a call. A request's `request_id` is never empty when the handler sees it.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from serving.access import Metadata, TenantOf, anybody, check_client_name
from serving.calls import OUR_METHODS, Call, Observer
from serving.errors import InvalidFieldError, ServiceError
from serving.gate import Gate
from serving.requests import RunningRequests
from serving.status import reason_of, rich_status
from serving.tenants import Tenant, current_tenant

REQUEST_ID_KEY = "x-request-id"

# The longest way of a request whose end by its deadline is told from one by its client.
_ON_THE_WAY_SECONDS = 0.1
_REQUEST_ID = re.compile(r"[!-~]{1,128}")  # it travels as a header: printable ASCII only

_MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_AsyncHandler: TypeAlias = Callable[[Any, _Context], Awaitable[Any]]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Puts the frame around the calls of one server.

    Args:
        gate: whether calls are let in.
        running: where requests are registered.
        observer: told what becomes of calls.
        tenant_of: whom a call is for.
        client_names: the names of which a client's certificate has to have one; none: any.
    """

    def __init__(
        self,
        gate: Gate,
        running: RunningRequests,
        observer: Observer,
        tenant_of: TenantOf = anybody,
        client_names: Collection[str] = (),
    ) -> None:
        self._gate = gate
        self._running = running
        self._observer = observer
        self._tenant_of = tenant_of
        self._client_names = client_names

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_MaybeHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _MaybeHandler:
        """Wraps the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OUR_METHODS):
            return handler  # health and reflection answer everybody, in every state, and are not logged
        metadata: Any = handler_call_details.invocation_metadata or ()
        try:
            tenant = self._tenant_of(metadata)
        except ServiceError as error:
            return self._refusing(Call(method), error)
        codecs: Any = {
            "request_deserializer": _tolerant(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        inner: Any = handler  # the stubs type handlers as those of the synchronous server
        if handler.response_streaming:
            framed = self._framed(method, tenant, metadata, self._writing(inner.unary_stream), streams=True)
            return grpc.unary_stream_rpc_method_handler(framed, **codecs)
        framed = self._framed(method, tenant, metadata, inner.unary_unary, streams=False)
        return grpc.unary_unary_rpc_method_handler(framed, **codecs)

    def _framed(
        self, method: str, tenant: Tenant, metadata: Metadata, handler: _AsyncHandler, *, streams: bool
    ) -> _AsyncHandler:
        async def framed(request: Message | None, context: _Context) -> Any:
            current_tenant.set(tenant)
            call = Call.of(method, request)
            with self._observer.span(call, metadata):
                try:
                    answer = await self._answer(call, handler, request, context, streams=streams)
                except ServiceError as error:
                    return await self._refuse(call, rich_status(error), context)
                except asyncio.CancelledError:
                    self._observer.ended(call, "DEADLINE_EXCEEDED" if _is_late(call, context) else "CANCELLED")
                    raise
                except Exception:
                    return await self._refuse(call, self._observer.bug(call), context)
                self._observer.ended(call, "OK")
                return answer

        return framed

    async def _answer(
        self, call: Call, handler: _AsyncHandler, request: Message | None, context: _Context, *, streams: bool
    ) -> Any:
        """What the handler answers, if the call may come in."""
        check_client_name(context.auth_context(), self._client_names)
        if request is None:
            raise InvalidFieldError("request", "is not a message of the method's type")
        if call.is_work or not streams:  # a stream that is no work watches until the server stops
            self._gate.enter()
            context.add_done_callback(self._leave)  # type: ignore[arg-type] # the stubs' type is no protocol
        self._gate.check(is_work=call.is_work)
        if _REQUEST_ID.fullmatch(call.request_id) is None:
            raise InvalidFieldError("request_id", "must be 1 to 128 printable ASCII characters without spaces")
        with self._registered(call, context) if call.is_work else nullcontext():
            # At once, so that a caller who sent no id can cancel by it.
            await context.send_initial_metadata(((REQUEST_ID_KEY, call.request_id),))
            answer = await handler(request, context)
            if not streams:
                self._observer.answered(answer)
            return answer

    @contextmanager
    def _registered(self, call: Call, context: _Context) -> Iterator[None]:
        """Has the call among the running requests."""
        with self._running.run(call.request_id) as running:
            try:
                yield
            except asyncio.CancelledError:
                self._observer.cancelled(running, at_deadline=_is_late(call, context))
                raise

    def _writing(self, handler: Callable[[Any, _Context], AsyncGenerator[Message, None]]) -> _AsyncHandler:
        """The handler as a coroutine, so that the generator is closed at once whatever happens while it is sent."""

        async def write_all(request: Any, context: _Context) -> None:
            async with aclosing(handler(request, context)) as events:
                async for event in events:
                    self._observer.answered(event)
                    try:
                        await context.write(event)
                    except grpc.aio.InternalError as error:  # the call has ended under it: its client has left
                        raise asyncio.CancelledError from error

        return write_all

    def _refusing(self, call: Call, error: ServiceError) -> _MaybeHandler:
        """A handler that refuses. It takes a stream of requests, so that not even the first is read."""

        async def refuse(requests: object, context: _Context) -> None:  # noqa: ARG001
            await self._refuse(call, rich_status(error), context)

        return grpc.stream_stream_rpc_method_handler(refuse)

    async def _refuse(self, call: Call, status: status_pb2.Status, context: _Context) -> NoReturn:
        to_client = rpc_status.to_status(status)
        self._observer.ended(call, to_client.code.name, reason_of(status), status.message)
        await context.abort_with_status(to_client)

    def _leave(self, ctx: _Context) -> None:  # noqa: ARG002 the signature is gRPC's
        self._gate.leave()


def _tolerant(parse: Callable[[bytes], Message] | None) -> Callable[[bytes], Message | None]:
    """Makes None of what is no message, for the frame to refuse: gRPC itself would call it a server's error."""

    def parsed(data: bytes) -> Message | None:
        try:
            return None if parse is None else parse(data)
        except (DecodeError, UnicodeDecodeError):  # the latter from protobuf in pure Python
            return None

    return parsed


def _is_late(call: Call, context: _Context) -> bool:
    """Whether a call that its client has ended was ended by its deadline.

    Clients go by their own clock. Ours strikes later, by the way of the request and by what gRPC rounds the time up by:
    a hundredth of it at most.
    """
    remaining_seconds: float | None = context.time_remaining()
    elapsed_seconds = time.monotonic() - call.start_seconds
    return remaining_seconds is not None and remaining_seconds <= _ON_THE_WAY_SECONDS + elapsed_seconds / 100
