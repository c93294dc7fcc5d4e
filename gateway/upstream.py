"""What a worker's error means, and what it becomes: the same, with the fields' names of the client's request."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc
from google.rpc import error_details_pb2, status_pb2

from serving.errors import DeadlinePassedError, PassedOnError
from serving.requests import RunningRequest
from serving.status import status_of

# What gRPC itself says of a connection that has ended, or of a worker that ended the call with it.
_LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}


def is_loss(error: grpc.aio.AioRpcError) -> bool:
    """Whether the worker was lost or takes nothing, so that the work may go to another one."""
    return error.code() in _LOST if status_of(error) is None else error.code() is grpc.StatusCode.UNAVAILABLE


def is_workers_fault(error: grpc.aio.AioRpcError) -> bool:
    """Whether the error speaks against the worker rather than the request."""
    return error.code() in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


@contextmanager
def passing_on(running: RunningRequest, field_names: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turns a failed call to a worker into what the client is told.

    Args:
        running: the request, whose phase a passed deadline tells.
        field_names: the client's name of a field for the worker's; the first that fits, whole or as the beginning of a
            path, is taken.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _told(error, running, {} if field_names is None else field_names) from error


def _told(error: grpc.aio.AioRpcError, running: RunningRequest, field_names: Mapping[str, str]) -> Exception:
    status = status_of(error)
    if status is not None:
        return PassedOnError(_with_field_names(status, field_names))
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlinePassedError(running.phase)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:  # gRPC's own: a message beyond the receiver's limit
        code, _ = error.code().value
        return PassedOnError(status_pb2.Status(code=code, message=error.details()))
    return error  # no worker of ours answers so: a bug


def _with_field_names(status: status_pb2.Status, field_names: Mapping[str, str]) -> status_pb2.Status:
    bad_request = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(bad_request):
            for violation in bad_request.field_violations:
                violation.field = _renamed(violation.field, field_names)
            detail.Pack(bad_request)
            status.message = "; ".join(f"{each.field}: {each.description}" for each in bad_request.field_violations)
    return status


def _renamed(field: str, names: Mapping[str, str]) -> str:
    for theirs, ours in names.items():
        rest = field.removeprefix(theirs)
        if field.startswith(theirs) and rest[:1] in ("", ".", "["):
            return ours + rest
    return field
