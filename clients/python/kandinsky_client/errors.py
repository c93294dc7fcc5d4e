"""What can go wrong with a call: one tree, one class for each thing that a caller may want to do about it.

Knows nothing of gRPC; `status.py` makes these of what gRPC reports.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FieldViolation:
    """A field of the request that the server, or this client before sending, does not accept.

    Attributes:
        field: its path in the request, as the public contract spells it: `params.width`.
        description: what is wrong and what is allowed.
    """

    field: str
    description: str


@dataclass(frozen=True)
class ErrorDetails:
    """What an error says besides its message.

    Attributes:
        code: name of the gRPC status code, for example "UNAVAILABLE".
        reason: name of an `imagegen.v1.ErrorReason` without its prefix; "" where the error is not the server's own.
        metadata: what goes with the reason; see ErrorReason in the contract.
        violations: the fields that are wrong.
        retry_after_seconds: when the server thinks that the same call could succeed; None where it did not say.
        request_id: the server's name for the request; "" where it was never told.
    """

    code: str = "UNKNOWN"
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None
    request_id: str = ""


class KandinskyClientError(Exception):
    """Root of everything a call raises on purpose. Raised itself for status codes that have no class of their own.

    Attributes:
        details: status code, reason and whatever else was reported.
    """

    def __init__(self, message: str, details: ErrorDetails | None = None) -> None:
        super().__init__(message)
        self.details = ErrorDetails() if details is None else details

    @property
    def retry_after_seconds(self) -> float | None:
        """When the server thinks that the same call could succeed; None where it did not say."""
        return self.details.retry_after_seconds

    @property
    def request_id(self) -> str:
        """The server's name for the request; "" where it was never told."""
        return self.details.request_id


class InvalidArgumentError(KandinskyClientError):
    """Something in the request is not allowed; sending it again will not help."""

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """The fields that are wrong, each with what is allowed."""
        return self.details.violations


class MessageTooLargeError(InvalidArgumentError):
    """The request or its answer is larger than a message may be."""


class FailedPreconditionError(KandinskyClientError):
    """The request does not go with what the server has loaded: embeddings of another model."""


class RequestIdInUseError(KandinskyClientError):
    """A request with this id is running."""


class ServerBusyError(KandinskyClientError):
    """As much work waits as may wait; `retry_after_seconds` says when to come back."""


class UnavailableError(KandinskyClientError):
    """The server cannot be reached, is stopping, or has no worker for the job."""


class DeadlineExceededError(KandinskyClientError):
    """The time ran out, or the server refused at once because it would."""


class RequestCancelledError(KandinskyClientError):
    """The request was stopped: by `cancel`, or because the client was closed."""


class UnauthenticatedError(KandinskyClientError):
    """The server wants credentials, or other ones."""


class PermissionDeniedError(KandinskyClientError):
    """The credentials do not allow this call."""


class InternalError(KandinskyClientError):
    """The server failed. `error_id` is what its log calls the event."""

    @property
    def error_id(self) -> str:
        """Identifies the failure in the server's log; "" where the server named none."""
        return self.details.metadata.get("error_id", "")


def invalid_field(path: str, description: str) -> InvalidArgumentError:
    """The error of a field that this client can already tell is wrong, in the server's own form."""
    violation = FieldViolation(path, description)
    details = ErrorDetails("INVALID_ARGUMENT", "INVALID_FIELD", violations=(violation,))
    return InvalidArgumentError(f"{path}: {description}", details)
