"""Errors as google.rpc statuses: the one table from reasons to codes, and the details that clients read."""

from collections.abc import Mapping

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from imagegen.v1.common_pb2 import ErrorReason
from serving.errors import InvalidFieldsError, PassedOnError, ServiceError

ERROR_DOMAIN = "imagegen.v1"

STATUS_CODES: Mapping[ErrorReason.ValueType, grpc.StatusCode] = {
    ErrorReason.ERROR_REASON_INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_EMBEDDINGS_OF_ANOTHER_MODEL: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_CHECKPOINT_OF_ANOTHER_MODEL: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_REQUEST_ID_IN_USE: grpc.StatusCode.ALREADY_EXISTS,
    ErrorReason.ERROR_REASON_QUEUE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_TENANT_LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_DEADLINE_UNREACHABLE: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorReason.ERROR_REASON_DEADLINE_PASSED: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorReason.ERROR_REASON_CANCELLED_BY_ID: grpc.StatusCode.CANCELLED,
    ErrorReason.ERROR_REASON_BAD_CREDENTIALS: grpc.StatusCode.UNAUTHENTICATED,
    ErrorReason.ERROR_REASON_NOT_PERMITTED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorReason.ERROR_REASON_NO_WORKER: grpc.StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_WORKER_LOST: grpc.StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_DRAINING: grpc.StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_NON_FINITE_OUTPUT: grpc.StatusCode.INTERNAL,
    ErrorReason.ERROR_REASON_INTERNAL: grpc.StatusCode.INTERNAL,
}


def rich_status(error: ServiceError) -> status_pb2.Status:
    """The status of an error, with ErrorInfo and, where they apply, BadRequest and RetryInfo."""
    if isinstance(error, PassedOnError):
        return error.status
    code, _ = STATUS_CODES[error.reason].value
    status = status_pb2.Status(code=code, message=str(error))
    reason = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    status.details.add().Pack(error_details_pb2.ErrorInfo(domain=ERROR_DOMAIN, reason=reason, metadata=error.metadata))
    if isinstance(error, InvalidFieldsError):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
            for field, description in error.violations
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after_seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """The rich status a failed call came back with; None when it has none, as gRPC's own errors don't."""
    try:
        return rpc_status.from_call(error)
    except ValueError:  # code or message contradict the details: not written by us
        return None


def reason_of(status: status_pb2.Status) -> str | None:
    """Name of the ErrorReason without its prefix, None when the status says none of ours."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
            return str(info.reason)
    return None
