"""Reading a rich error as a client would that has nothing but grpcio."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class WireError:
    """A failed call."""

    code: grpc.StatusCode
    message: str
    reason: str | None
    metadata: Mapping[str, str]
    violations: Mapping[str, str]
    retry_after_seconds: float | None


def read_error(error: grpc.aio.AioRpcError) -> WireError:
    """What a failed call says."""
    status = rpc_status.from_call(error)
    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    found: set[Any] = set()
    for detail in status.details if status is not None else ():
        found |= {type(message) for message in (info, bad_request, retry) if detail.Unpack(message)}
    retry_after = retry.retry_delay.ToMilliseconds() / 1000 if error_details_pb2.RetryInfo in found else None
    violations = {violation.field: violation.description for violation in bad_request.field_violations}
    reason = info.reason if error_details_pb2.ErrorInfo in found else None
    return WireError(error.code(), error.details() or "", reason, dict(info.metadata), violations, retry_after)
