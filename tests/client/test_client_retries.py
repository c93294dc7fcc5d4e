"""When a failed call is sent again: first the decision alone, then both clients over the wire."""

import grpc
import pytest

from kandinsky_client import (
    ErrorDetails,
    InternalError,
    InvalidArgumentError,
    KandinskyClientError,
    RetryPolicy,
    ServerBusyError,
    UnavailableError,
)
from kandinsky_client.retry import Attempts
from tests.client.conftest import Caller
from tests.client.fake_service import FakeImageService, failure, picture_file, queued

LOST = UnavailableError("lost")
INVITED = UnavailableError("draining", ErrorDetails(retry_after_seconds=2.0))
INVITED_AT_ONCE = UnavailableError("draining", ErrorDetails(retry_after_seconds=0.0))
BUSY = ServerBusyError("full", ErrorDetails(retry_after_seconds=2.0))
BUSY_UNTIL_LATER = ServerBusyError("full", ErrorDetails(retry_after_seconds=31.0))

QUICK = RetryPolicy(max_attempts=3, initial_delay_seconds=0.001)
PERSISTENT = RetryPolicy(max_attempts=3, initial_delay_seconds=0.001, retry_busy=True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def attempts(policy: RetryPolicy, timeout_seconds: float | None = None, clock: Clock | None = None) -> Attempts:
    return Attempts(policy, timeout_seconds, clock or Clock(), dice=lambda: 0.5)


@pytest.mark.parametrize("error", [LOST, INVITED, INVITED_AT_ONCE])
def test_an_attempt_that_nobody_has_seen_anything_of_is_repeated(error: KandinskyClientError) -> None:
    assert attempts(RetryPolicy()).pause_seconds(error) > 0


@pytest.mark.parametrize("error", [BUSY, InvalidArgumentError("x"), InternalError("x")])
def test_any_other_failure_is_the_callers_at_once(error: KandinskyClientError) -> None:
    with pytest.raises(type(error)):
        attempts(RetryPolicy()).pause_seconds(error)


@pytest.mark.parametrize("error", [LOST, INVITED, BUSY])
def test_nothing_is_repeated_once_the_caller_has_seen_an_event(error: KandinskyClientError) -> None:
    tried = attempts(PERSISTENT)
    tried.seen()
    with pytest.raises(type(error)):
        tried.pause_seconds(error)


def test_a_busy_server_is_asked_again_only_on_request_and_when_it_said_so() -> None:
    assert attempts(PERSISTENT).pause_seconds(BUSY) >= 2.0
    with pytest.raises(ServerBusyError):
        attempts(PERSISTENT).pause_seconds(ServerBusyError("full"))


def test_the_pause_is_what_the_server_asked_for_and_a_random_part_that_doubles() -> None:
    tried = attempts(RetryPolicy(max_attempts=4, initial_delay_seconds=1.0))
    assert [tried.pause_seconds(INVITED) for _ in range(3)] == [2.75, 3.5, 5.0]


def test_no_pause_is_longer_than_allowed_however_many_attempts_there_are() -> None:
    tried = attempts(RetryPolicy(max_attempts=200))
    pauses = [tried.pause_seconds(LOST) for _ in range(199)]
    assert max(pauses) == pauses[-1] == 22.5
    tried = attempts(RetryPolicy(max_attempts=200))
    assert [tried.pause_seconds(INVITED) for _ in range(199)][-1] == 24.5


def test_attempts_are_bounded() -> None:
    tried = attempts(QUICK)
    tried.pause_seconds(LOST)
    tried.pause_seconds(LOST)
    with pytest.raises(UnavailableError):
        tried.pause_seconds(LOST)


def test_a_pause_that_is_too_long_or_outlasts_the_deadline_is_not_made() -> None:
    with pytest.raises(ServerBusyError):
        attempts(PERSISTENT).pause_seconds(BUSY_UNTIL_LATER)
    with pytest.raises(ServerBusyError):
        attempts(PERSISTENT, timeout_seconds=1.9).pause_seconds(BUSY)


def test_the_deadline_is_that_of_all_attempts_together() -> None:
    clock = Clock()
    tried = attempts(QUICK, timeout_seconds=10.0, clock=clock)
    clock.now += 4
    assert tried.remaining_seconds() == 6.0
    clock.now += 7
    assert tried.remaining_seconds() == 0.0
    assert attempts(QUICK).remaining_seconds() is None


@pytest.mark.parametrize("method", ["img2img", "stream_img2img", "encode_prompt"])
def test_a_draining_server_is_asked_again_and_the_caller_sees_only_the_result(
    call: Caller, service: FakeImageService, method: str
) -> None:
    for _ in range(2):
        service.failures.append(failure(grpc.StatusCode.UNAVAILABLE, reason="DRAINING", retry_after_seconds=0.001))
    arguments = ("p",) if method == "encode_prompt" else (picture_file(), "p")
    assert call.with_options(retry=QUICK)(method, *arguments)
    assert len(service.requests) == 3
    assert service.requests[0] == service.requests[2]


def test_a_request_whose_server_is_lost_while_it_works_is_sent_again(call: Caller, service: FakeImageService) -> None:
    service.admits = True
    service.failures.append(failure(grpc.StatusCode.UNAVAILABLE))
    call.with_options(retry=QUICK)("img2img", picture_file(), "p")
    assert len(service.requests) == 2


def test_calls_go_past_a_server_that_is_down(call: Caller, service: FakeImageService) -> None:
    several = Caller(call.kind, f"ipv4:127.0.0.1:1,{call.server}", retry=QUICK)
    several("info")
    assert len(service.requests) == 1


def test_a_request_that_was_refused_is_not_sent_again(call: Caller, service: FakeImageService) -> None:
    service.failures.append(failure(grpc.StatusCode.INVALID_ARGUMENT))
    with pytest.raises(InvalidArgumentError):
        call.with_options(retry=PERSISTENT)("img2img", picture_file(), "p")
    assert len(service.requests) == 1


def test_a_call_that_a_closing_server_never_looked_at_is_sent_again(call: Caller, service: FakeImageService) -> None:
    # gRPC resets the streams that a closing server has not taken yet: CANCELLED, without a reason.
    service.failures.append(failure(grpc.StatusCode.CANCELLED, message="CANCELLED"))
    call.with_options(retry=QUICK)("img2img", picture_file(), "p")
    assert len(service.requests) == 2


def test_a_busy_server_is_waited_for_on_request(call: Caller, service: FakeImageService) -> None:
    service.failures.append(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after_seconds=0.001))
    call.with_options(retry=PERSISTENT)("img2img", picture_file(), "p")
    assert len(service.requests) == 2


def test_a_stream_that_breaks_after_an_event_is_not_begun_anew(call: Caller, service: FakeImageService) -> None:
    service.news = [queued()]
    service.breaks_with = failure(grpc.StatusCode.UNAVAILABLE, reason="WORKER_LOST", retry_after_seconds=0.001)
    with pytest.raises(UnavailableError):
        call.with_options(retry=QUICK)("stream_img2img", picture_file(), "p")
    assert len(service.requests) == 1
