"""The frame around every call: request id, admission, cancellation, errors as rich statuses, one line in the log.

Handlers are coroutines, or async generators where the answer is a stream. They return, yield or raise; they never abort
a context and never log a call. A request's `request_id` is never empty when the handler sees it.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from serving.access import TenantOf, anybody, check_client_name
from serving.errors import InternalServerError, InvalidFieldError, ServiceError
from serving.gate import Gate
from serving.metrics import Metrics
from serving.requests import RunningRequests
from serving.status import reason_of, rich_status
from serving.tenants import Tenant, current_tenant

REQUEST_ID_KEY = "x-request-id"

_OUR_METHODS = "/imagegen.v1."  # health and reflection answer in every state and are not logged
_REQUEST_ID = re.compile(r"[!-~]{1,128}")  # it travels as a header: printable ASCII only

_log = logging.getLogger("serving.call")

_MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_AsyncHandler: TypeAlias = Callable[[Any, _Context], Awaitable[Any]]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Puts the frame around the calls of one server.

    Args:
        gate: whether calls are let in.
        running: where requests are registered.
        metrics: where calls are counted.
        tenant_of: whom a call is for.
        client_names: the names of which a client's certificate has to have one; none: any.
    """

    def __init__(
        self,
        gate: Gate,
        running: RunningRequests,
        metrics: Metrics,
        tenant_of: TenantOf = anybody,
        client_names: Collection[str] = (),
    ) -> None:
        self._gate = gate
        self._running = running
        self._metrics = metrics
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
        if handler is None or not method.startswith(_OUR_METHODS):
            return handler
        try:
            tenant = self._tenant_of(handler_call_details.invocation_metadata or ())
        except ServiceError as error:
            return self._refusing(_Call(method, "", False, time.monotonic()), error)
        codecs = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        inner: Any = handler  # the stubs type handlers as those of the synchronous server
        if handler.response_streaming:
            framed = self._framed(method, tenant, _writing(inner.unary_stream), streams=True)
            return grpc.unary_stream_rpc_method_handler(framed, **codecs)
        framed = self._framed(method, tenant, inner.unary_unary, streams=False)
        return grpc.unary_unary_rpc_method_handler(framed, **codecs)

    def _framed(self, method: str, tenant: Tenant, handler: _AsyncHandler, *, streams: bool) -> _AsyncHandler:
        async def framed(request: Message, context: _Context) -> Any:
            current_tenant.set(tenant)
            call = _Call.of(method, request)
            try:
                check_client_name(context.auth_context(), self._client_names)
                if call.is_work or not streams:  # a stream that is no work watches until the server stops
                    self._gate.enter()
                    context.add_done_callback(self._leave)  # type: ignore[arg-type] # the stubs' type is no protocol
                answer = await self._admit(call, handler, request, context)
            except ServiceError as error:
                return await self._refuse(call, rich_status(error), context)
            except asyncio.CancelledError:
                self._note_end(call, _ended_by_client(context))
                raise
            except Exception:
                return await self._refuse(call, call.log_bug(), context)
            self._note_end(call, "OK")
            return answer

        return framed

    def _refusing(self, call: "_Call", error: ServiceError) -> _MaybeHandler:
        """A handler that refuses. It takes a stream of requests, so that not even the first is read."""

        async def refuse(requests: object, context: _Context) -> None:  # noqa: ARG001
            await self._refuse(call, rich_status(error), context)

        return grpc.stream_stream_rpc_method_handler(refuse)

    async def _refuse(self, call: "_Call", status: status_pb2.Status, context: _Context) -> NoReturn:
        to_client = rpc_status.to_status(status)
        self._note_end(call, to_client.code.name, reason_of(status), status.message)
        await context.abort_with_status(to_client)

    def _note_end(self, call: "_Call", status: str, reason: str | None = None, error: str | None = None) -> None:
        """Logs and counts a call that has ended."""
        seconds = time.monotonic() - call.start
        self._metrics.answered(call.method.rpartition("/")[2], status, reason, seconds)
        call.log(status, seconds, reason, error)

    def _leave(self, ctx: _Context) -> None:  # noqa: ARG002 the signature is gRPC's
        self._gate.leave()

    async def _admit(self, call: "_Call", handler: _AsyncHandler, request: Message, context: _Context) -> Any:
        self._gate.check(is_work=call.is_work)
        if _REQUEST_ID.fullmatch(call.request_id) is None:
            raise InvalidFieldError("request_id", "must be 1 to 128 printable ASCII characters without spaces")
        with self._registered(call, context) if call.is_work else nullcontext():
            # At once, so that a caller who sent no id can cancel by it.
            await context.send_initial_metadata(((REQUEST_ID_KEY, call.request_id),))
            return await handler(request, context)

    @contextmanager
    def _registered(self, call: "_Call", context: _Context) -> Iterator[None]:
        """Has the call among the running requests, and counts it if it is stopped."""
        with self._running.run(call.request_id) as running:
            try:
                yield
            except asyncio.CancelledError:
                by_client = "deadline" if _ended_by_client(context) == "DEADLINE_EXCEEDED" else "client"
                self._metrics.cancelled(running.phase, "id" if running.cancelled_by_id else by_client)
                raise


@dataclass(frozen=True)
class _Call:
    """One call, for admission and for the log.

    Work is what carries an id of its own: not GetModel, and not Cancel, whose id is another request's.
    """

    method: str
    request_id: str
    is_work: bool
    start: float

    @classmethod
    def of(cls, method: str, request: Any) -> "_Call":
        """The call of a request, into which an id is written if it should have one and has none."""
        start = time.monotonic()
        if method.endswith("/Cancel"):
            return cls(method, request.request_id, False, start)
        if "request" in request.DESCRIPTOR.fields_by_name:
            request = request.request
        if "request_id" not in request.DESCRIPTOR.fields_by_name:
            return cls(method, uuid.uuid4().hex, False, start)
        if not request.request_id:
            request.request_id = uuid.uuid4().hex
        return cls(method, request.request_id, True, start)

    def log(self, status: str, seconds: float, reason: str | None, error: str | None) -> None:
        fields = {"method": self.method, "request_id": self.request_id, "status": status, "seconds": seconds}
        failure = {} if reason is None else {"reason": reason, "error": error}
        _log.info("call", extra=fields | failure)

    def log_bug(self) -> status_pb2.Status:
        """Logs the exception that is being handled, and returns what the client is told of it."""
        error_id = uuid.uuid4().hex[:12]
        _log.exception("bug", extra={"method": self.method, "request_id": self.request_id, "error_id": error_id})
        return rich_status(InternalServerError(error_id))


def _writing(handler: Callable[[Any, _Context], AsyncGenerator[Message, None]]) -> _AsyncHandler:
    """The handler as a coroutine, so that the generator is closed at once whatever happens while an event is sent."""

    async def write_all(request: Any, context: _Context) -> None:
        async with aclosing(handler(request, context)) as events:
            async for event in events:
                await context.write(event)

    return write_all


def _ended_by_client(context: _Context) -> str:
    remaining_seconds: float | None = context.time_remaining()
    return "DEADLINE_EXCEEDED" if remaining_seconds is not None and remaining_seconds <= 0 else "CANCELLED"
