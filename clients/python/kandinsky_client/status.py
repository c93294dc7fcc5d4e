"""From what gRPC reports to this library's errors, by status code and google.rpc details, never by what a text says."""

from collections.abc import Iterator
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from kandinsky_client import errors
from kandinsky_client.errors import ErrorDetails, FieldViolation, KandinskyClientError

_DOMAIN = "imagegen.v1"
_CLASSES = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    grpc.StatusCode.ALREADY_EXISTS: errors.RequestIdInUseError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ServerBusyError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.CANCELLED: errors.RequestCancelledError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
}
_Detail = TypeVar("_Detail", bound=Message)


def error_of(failure: grpc.RpcError) -> KandinskyClientError:
    """The error to raise for a failed call, of either gRPC API; the failure is its cause."""
    call = _as_call(failure)
    code = call.code()
    details = _details(call)
    if _was_reset(call, details):
        error: KandinskyClientError = errors.UnavailableError("the server closed before it took the call", details)
    else:
        error = _class_of(code, details)(call.details() or code.name, details)
    error.__cause__ = failure
    return error


def _as_call(failure: grpc.RpcError) -> grpc.Call:
    """Every RpcError that a call raises has the methods of a grpc.Call, which its type does not say."""
    return failure  # type: ignore[return-value]


def _was_reset(call: grpc.Call, details: ErrorDetails) -> bool:
    """Whether a server that was closing dropped the call before any of its code saw it.

    gRPC then says CANCELLED and no more. A Cancel gives a reason, and gRPC in this process says what it was told to do.
    """
    code = call.code()
    return code is grpc.StatusCode.CANCELLED and not details.reason and call.details() in (None, "", code.name)


def _class_of(code: grpc.StatusCode, details: ErrorDetails) -> type[KandinskyClientError]:
    # gRPC itself uses RESOURCE_EXHAUSTED for messages over the size limit; only our servers give a reason.
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not details.reason and details.retry_after_seconds is None:
        return errors.MessageTooLargeError
    return _CLASSES.get(code, KandinskyClientError)


def _details(call: grpc.Call) -> ErrorDetails:
    status = _rich_status(call)
    info = next((info for info in _unpacked(status, ErrorInfo) if info.domain == _DOMAIN), ErrorInfo())
    retry = next(_unpacked(status, RetryInfo), None)
    initial_metadata = dict(call.initial_metadata() or ())
    return ErrorDetails(
        code=call.code().name,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(
            FieldViolation(violation.field, violation.description)
            for bad_request in _unpacked(status, BadRequest)
            for violation in bad_request.field_violations
        ),
        retry_after_seconds=None if retry is None else retry.retry_delay.ToTimedelta().total_seconds(),
        request_id=str(initial_metadata.get("x-request-id", info.metadata.get("request_id", ""))),
    )


def _rich_status(call: grpc.Call) -> Status:
    try:
        return rpc_status.from_call(call) or Status()
    except (ValueError, DecodeError):  # a proxy's details, not ours: the plain status is all there is to say
        return Status()


def _unpacked(status: Status, kind: type[_Detail]) -> Iterator[_Detail]:
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            yield message
