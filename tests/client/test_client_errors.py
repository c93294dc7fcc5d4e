"""Failed calls become this library's errors, by status code and details, the same from both clients."""

import pickle
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

import kandinsky_client as kc
from tests.client.conftest import Caller
from tests.client.fake_service import FakeImageService, failure, picture_file

CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (failure(CODE.INVALID_ARGUMENT, reason="INVALID_FIELD"), kc.InvalidArgumentError),
        (failure(CODE.FAILED_PRECONDITION, reason="EMBEDDINGS_OF_ANOTHER_MODEL"), kc.FailedPreconditionError),
        (failure(CODE.ALREADY_EXISTS, reason="REQUEST_ID_IN_USE"), kc.RequestIdInUseError),
        (failure(CODE.RESOURCE_EXHAUSTED, reason="QUEUE_FULL"), kc.ServerBusyError),
        (failure(CODE.RESOURCE_EXHAUSTED, retry_after_seconds=1), kc.ServerBusyError),
        (failure(CODE.RESOURCE_EXHAUSTED), kc.MessageTooLargeError),
        (failure(CODE.DEADLINE_EXCEEDED, reason="DEADLINE_UNREACHABLE"), kc.DeadlineExceededError),
        (failure(CODE.CANCELLED, reason="CANCELLED_BY_ID"), kc.RequestCancelledError),
        (failure(CODE.UNAUTHENTICATED, reason="BAD_CREDENTIALS"), kc.UnauthenticatedError),
        (failure(CODE.PERMISSION_DENIED, reason="NOT_PERMITTED"), kc.PermissionDeniedError),
        (failure(CODE.INTERNAL, reason="INTERNAL"), kc.InternalError),
        (failure(CODE.UNIMPLEMENTED), kc.KandinskyClientError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
@pytest.mark.parametrize("method", ["img2img", "stream_img2img"])
def test_each_status_has_its_class(
    call: Caller, service: FakeImageService, method: str, status: Status, kind: type[Exception]
) -> None:
    service.failures.append(status)
    with pytest.raises(kc.KandinskyClientError, match="no") as caught:
        call(method, picture_file(), "p")
    assert type(caught.value) is kind
    assert caught.value.details.code == CODE((status.code, CODE_NAMES[status.code])).name
    assert isinstance(caught.value.__cause__, grpc.RpcError)


CODE_NAMES = {code.value[0]: code.value[1] for code in CODE}


def error_of(call: Caller, service: FakeImageService, **details: Any) -> kc.KandinskyClientError:
    code = details.pop("code", CODE.INVALID_ARGUMENT)
    service.failures.append(failure(code, "a message", **details))
    with pytest.raises(kc.KandinskyClientError) as caught:
        call("img2img", picture_file(), "p")
    return caught.value


def test_violations_name_the_fields(call: Caller, service: FakeImageService) -> None:
    wrong = [("params.width", "from 64 to 1024; given 0"), ("image", "not a picture")]
    error = error_of(call, service, reason="INVALID_FIELD", violations=wrong)
    assert isinstance(error, kc.InvalidArgumentError)
    assert [(violation.field, violation.description) for violation in error.violations] == wrong
    assert str(error) == "a message"


def test_a_busy_server_says_when_to_come_back(call: Caller, service: FakeImageService) -> None:
    error = error_of(
        call,
        service,
        code=CODE.RESOURCE_EXHAUSTED,
        reason="QUEUE_FULL",
        metadata={"estimated_wait_seconds": "7.500"},
        retry_after_seconds=2.5,
    )
    assert error.retry_after_seconds == 2.5
    assert error.details.reason == "QUEUE_FULL"
    assert error.details.metadata == {"estimated_wait_seconds": "7.500"}


def test_an_internal_error_has_the_id_that_the_log_knows(call: Caller, service: FakeImageService) -> None:
    error = error_of(call, service, code=CODE.INTERNAL, reason="INTERNAL", metadata={"error_id": "e7"})
    assert isinstance(error, kc.InternalError)
    assert error.error_id == "e7"


def test_the_request_id_of_an_admitted_request_is_in_its_error(call: Caller, service: FakeImageService) -> None:
    service.admits = True
    assert error_of(call, service, reason="INVALID_FIELD").request_id == "r1"


def test_details_of_somebody_else_are_ignored(call: Caller, service: FakeImageService) -> None:
    status = failure(CODE.INTERNAL)
    status.details.add().Pack(ErrorInfo(domain="example.com", reason="THEIRS"))
    service.failures.append(status)
    with pytest.raises(kc.InternalError) as caught:
        call("info")
    assert caught.value.details.reason == ""
    assert caught.value.retry_after_seconds is None


def test_a_message_over_the_limit_is_too_large_not_busy(call: Caller) -> None:
    with pytest.raises(kc.MessageTooLargeError):
        call("img2img", picture_file() + bytes(65 * 2**20), "p")


def test_a_server_that_is_not_there_is_unavailable(call: Caller) -> None:
    nowhere = Caller(call.kind, "127.0.0.1:1", retry=kc.RetryPolicy(max_attempts=1))
    with pytest.raises(kc.UnavailableError) as caught:
        nowhere("info")
    assert caught.value.details.reason == ""


def test_a_call_that_takes_too_long_is_a_deadline_exceeded(call: Caller, service: FakeImageService) -> None:
    service.holds = True
    with pytest.raises(kc.DeadlineExceededError):
        call("img2img", picture_file(), "p", timeout_seconds=0.1)
    assert service.left.wait(10)


def test_the_clients_own_timeout_is_the_default_of_its_calls(call: Caller, service: FakeImageService) -> None:
    service.holds = True
    with pytest.raises(kc.DeadlineExceededError):
        call.with_options(timeout_seconds=0.1)("info")


def test_errors_survive_pickling(call: Caller, service: FakeImageService) -> None:
    error = error_of(call, service, violations=[("image", "not a picture")])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy), copy.details) == (type(error), str(error), error.details)
