"""Errors as they go over the wire: code, reason, details; the table agrees with the contract's comments."""

import re
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from imagegen.v1.common_pb2 import ErrorReason, Phase, Tier
from serving import errors
from serving.errors import InvalidFieldError, NoWorkerError, PassedOnError, QueueFullError, ServiceError
from serving.status import STATUS_CODES, reason_of, rich_status, status_of

COMMON_PROTO = Path(__file__).parents[2] / "protos" / "imagegen" / "v1" / "common.proto"


def documented() -> dict[str, str]:
    """Each reason's comment in the proto."""
    enum = COMMON_PROTO.read_text(encoding="utf-8").split("enum ErrorReason {")[1]
    found = re.findall(r"((?:  //[^\n]*\n)+)  (ERROR_REASON_\w+) =", enum)
    return {name: " ".join(comment.replace("//", "").split()) for comment, name in found}


def unpacked(status: status_pb2.Status, kind: type[Message]) -> Message:
    message = kind()
    assert any(detail.Unpack(message) for detail in status.details)
    return message


def test_every_reason_has_the_code_that_the_proto_says() -> None:
    comments = documented()
    del comments["ERROR_REASON_UNSPECIFIED"]
    assert {ErrorReason.Name(reason) for reason in STATUS_CODES} == set(comments)
    for reason, code in STATUS_CODES.items():
        assert comments[ErrorReason.Name(reason)].startswith(code.name)


EXAMPLES = [
    InvalidFieldError("params.width", "at most 2048"),
    errors.EmbeddingsOfAnotherModelError("a", ["b", "c"]),
    errors.CheckpointOfAnotherModelError("a", "b"),
    errors.RequestIdInUseError("r"),
    QueueFullError(retry_after_seconds=1.5, estimated_wait_seconds=3),
    errors.TenantLimitError("t", "one request at once", 1),
    errors.DeadlineUnreachableError(estimated_seconds=3, remaining_seconds=1, retry_after_seconds=1),
    errors.DeadlinePassedError(Phase.PHASE_QUEUED),
    errors.CancelledByIdError("r", Phase.PHASE_DENOISING),
    errors.BadCredentialsError("no token"),
    errors.NotPermittedError("not you"),
    NoWorkerError(Tier.TIER_PRIOR, "no prior", 1),
    errors.WorkerLostError(Tier.TIER_DECODER, 2, 1),
    errors.DrainingError(1),
    errors.NonFiniteOutputError(Phase.PHASE_DECODING),
    errors.InternalServerError("abc"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_carries_what_the_proto_promises(error: ServiceError) -> None:
    status = rich_status(error)
    promise = documented()[ErrorReason.Name(error.reason)]
    info = unpacked(status, error_details_pb2.ErrorInfo)
    assert info.domain == "imagegen.v1"
    assert "ERROR_REASON_" + info.reason == ErrorReason.Name(error.reason)
    assert set(info.metadata) == set(re.findall(r"`(\w+)`", promise.partition("etadata:")[2]))
    kinds = {detail.TypeName() for detail in status.details}
    assert ("google.rpc.RetryInfo" in kinds) == ("RetryInfo" in promise)
    assert ("google.rpc.BadRequest" in kinds) == ("BadRequest" in promise)
    assert status.message == str(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.EmbeddingsOfAnotherModelError("é" * 100_000, ["b"]),
        errors.CheckpointOfAnotherModelError("é" * 100_000, "b"),
    ],
)
def test_what_a_client_made_up_does_not_outgrow_the_trailers(error: ServiceError) -> None:
    assert rich_status(error).ByteSize() < 1000


def test_there_is_an_example_of_every_class_that_servers_raise() -> None:
    classes = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ServiceError)}
    abstract = {ServiceError, errors.InvalidFieldsError, PassedOnError}
    assert classes - abstract == {type(error) for error in EXAMPLES}


def test_violations_name_field_and_what_is_allowed() -> None:
    bad_request = unpacked(rich_status(InvalidFieldError("image", "at most 1 MiB")), error_details_pb2.BadRequest)
    assert [(each.field, each.description) for each in bad_request.field_violations] == [("image", "at most 1 MiB")]


def test_a_retry_delay_keeps_its_fraction() -> None:
    retry = unpacked(rich_status(QueueFullError(1.5, 3)), error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_a_passed_on_status_is_left_as_it_is() -> None:
    status = rich_status(InvalidFieldError("image", "no"))
    assert rich_status(PassedOnError(status)) is status
    assert reason_of(status) == "INVALID_FIELD"
    assert reason_of(status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0])) is None


def test_a_reason_is_not_read_from_another_domain() -> None:
    status = status_pb2.Status(code=13)
    status.details.add().Pack(error_details_pb2.ErrorInfo(domain="elsewhere", reason="INTERNAL"))
    assert reason_of(status) is None


def failure(code: grpc.StatusCode, message: str, status: status_pb2.Status | None) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata()
    if status is not None:
        metadata.add("grpc-status-details-bin", status.SerializeToString())
    return grpc.aio.AioRpcError(code, trailing_metadata=metadata, details=message)


def test_a_failed_calls_status_is_read_unless_call_and_details_disagree() -> None:
    status = rich_status(InvalidFieldError("image", "no"))
    assert status_of(failure(grpc.StatusCode.INVALID_ARGUMENT, "image: no", status)) == status
    assert status_of(failure(grpc.StatusCode.INVALID_ARGUMENT, "other", status)) is None
    assert status_of(failure(grpc.StatusCode.INTERNAL, "image: no", status)) is None
    assert status_of(failure(grpc.StatusCode.INVALID_ARGUMENT, "image: no", None)) is None
