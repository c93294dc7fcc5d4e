"""A call on its way through the frame, and what is kept of it: one line in the log, counts, a span."""

import logging
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from google.rpc import status_pb2

from serving.access import Metadata
from serving.errors import InternalServerError
from serving.metrics import Metrics
from serving.requests import RunningRequest
from serving.status import rich_status
from serving.tenants import current_tenant

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from serving.tracing import Tracing

OUR_METHODS = "/imagegen.v1."

_PROMPTS = ("prompt", "negative_prompt", "negative_prior_prompt")

_log = logging.getLogger("serving.call")


@dataclass(frozen=True)
class Call:
    """One call, for admission and for whoever observes it.

    Work is what carries an id of its own: not GetModel, and not Cancel, whose id is another request's.
    """

    method: str
    request_id: str = ""
    is_work: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, method: str, request: Any) -> "Call":
        """The call of a request, into which an id is written if it should have one and has none; None: no message."""
        if request is None:
            return cls(method)
        if method.endswith("/Cancel"):
            return cls(method, request.request_id)
        if "request" in request.DESCRIPTOR.fields_by_name:
            request = request.request
        if "request_id" not in request.DESCRIPTOR.fields_by_name:
            return cls(method, uuid.uuid4().hex)
        if not request.request_id:
            request.request_id = uuid.uuid4().hex
        prompts = {name: getattr(request, name) for name in _PROMPTS if name in request.DESCRIPTOR.fields_by_name}
        return cls(method, request.request_id, is_work=True, prompts=prompts)


class Observer:
    """Keeps what there is to know of a server's calls.

    Args:
        metrics: where they are counted.
        tracing: where their spans go; None: nowhere.
        log_prompts: whether the log may hold what users wrote.
    """

    def __init__(self, metrics: Metrics, tracing: "Tracing | None" = None, *, log_prompts: bool = False) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._log_prompts = log_prompts

    def span(self, call: Call, metadata: Metadata) -> AbstractContextManager[None]:
        """The call's span, for the length of the body; only work has one."""
        return self._tracing.call(call.method, metadata) if self._tracing and call.is_work else nullcontext()

    def answered(self, answer: Message) -> None:
        """The current call is answered with it, perhaps among other messages."""
        if self._tracing is not None:
            self._tracing.describe(answer)

    def cancelled(self, request: RunningRequest, *, at_deadline: bool) -> None:
        """A request was stopped by its id, by its client's leaving or by its deadline."""
        by_client = "deadline" if at_deadline else "client"
        self._metrics.cancelled(request.phase, "id" if request.cancelled_by_id else by_client)

    def ended(self, call: Call, status: str, reason: str | None = None, error: str | None = None) -> None:
        """The call is over."""
        seconds = time.monotonic() - call.start_seconds
        self._metrics.answered(call.method.removeprefix(OUR_METHODS), status, reason, seconds)
        tenant_id = current_tenant.get().id
        if self._tracing is not None:
            self._tracing.ended(call.request_id, tenant_id, status, reason)
        fields = {"method": call.method, "request_id": call.request_id, "status": status, "seconds": seconds}
        if tenant_id:
            fields["tenant"] = tenant_id
        if reason is not None:
            fields |= {"reason": reason, "error": error}
        _log.info("call", extra=fields | (dict(call.prompts) if self._log_prompts else {}))

    def bug(self, call: Call) -> status_pb2.Status:
        """Logs the exception that is being handled, and returns what the client is told of it."""
        error_id = uuid.uuid4().hex[:12]
        _log.exception("bug", extra={"method": call.method, "request_id": call.request_id, "error_id": error_id})
        return rich_status(InternalServerError(error_id))
