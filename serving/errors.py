"""What a server tells a client when a call fails: one tree, one class a reason (`imagegen.v1.ErrorReason`).

Handlers raise these; the interceptor turns them into statuses (`serving.status`). Messages are for the caller: what was
wrong, what is allowed, what to do; never a prompt. Anything else a handler raises is a bug.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from google.rpc import status_pb2

from imagegen.v1.common_pb2 import ErrorReason, Phase, Tier

_DIGEST_CHARACTERS = 64


class ServiceError(Exception):
    """Root of what clients are told.

    Attributes:
        reason: why; fixes the status code.
        metadata: what `ErrorReason` promises for the reason.
        retry_after_seconds: when to come back, where that helps.
    """

    reason: ClassVar[ErrorReason.ValueType]

    def __init__(
        self, message: str, *, metadata: Mapping[str, str] | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.metadata = {} if metadata is None else dict(metadata)
        self.retry_after_seconds = retry_after_seconds


class FieldViolation(NamedTuple):
    """A field of the request, spelt as in the proto (`params.width`, `items[1].weight`), and what is allowed there.

    StreamImg2Img names fields as Img2Img does, without a leading `request.`.
    """

    field: str
    description: str


class InvalidFieldsError(ServiceError):
    """Fields of the request hold what they may not."""

    reason = ErrorReason.ERROR_REASON_INVALID_FIELD

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(f"{field}: {description}" for field, description in violations))
        self.violations = tuple(violations)


class InvalidFieldError(InvalidFieldsError):
    """A field of the request holds what it may not."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__([FieldViolation(field, description)])


class EmbeddingsOfAnotherModelError(ServiceError):
    """The embeddings were made by a prior that the decoder does not belong with."""

    reason = ErrorReason.ERROR_REASON_EMBEDDINGS_OF_ANOTHER_MODEL

    def __init__(self, embeddings_digest: str, accepted_digests: Sequence[str]) -> None:
        embeddings_digest = _shortened(embeddings_digest)
        accepted = ",".join(accepted_digests)
        super().__init__(
            f"embeddings were made by prior {embeddings_digest}, but this decoder takes those of {accepted}",
            metadata={"embeddings_digest": embeddings_digest, "accepted_digests": accepted},
        )


class CheckpointOfAnotherModelError(ServiceError):
    """A latent checkpoint was made with other weights."""

    reason = ErrorReason.ERROR_REASON_CHECKPOINT_OF_ANOTHER_MODEL

    def __init__(self, checkpoint_digest: str, model_digest: str) -> None:
        checkpoint_digest = _shortened(checkpoint_digest)
        super().__init__(
            f"the checkpoint was made by decoder {checkpoint_digest}, but this one is {model_digest}",
            metadata={"checkpoint_digest": checkpoint_digest, "model_digest": model_digest},
        )


class RequestIdInUseError(ServiceError):
    """A request with this id is running."""

    reason = ErrorReason.ERROR_REASON_REQUEST_ID_IN_USE

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id: a request {request_id} is running; choose another id or none",
            metadata={"request_id": request_id},
        )


class QueueFullError(ServiceError):
    """As much work waits as may wait."""

    reason = ErrorReason.ERROR_REASON_QUEUE_FULL

    def __init__(self, retry_after_seconds: float, estimated_wait_seconds: float) -> None:
        super().__init__(
            f"the queue is full: a new request would wait {estimated_wait_seconds:.1f} s",
            metadata={"estimated_wait_seconds": f"{estimated_wait_seconds:.3f}"},
            retry_after_seconds=retry_after_seconds,
        )


class TenantLimitError(ServiceError):
    """The tenant has as much waiting and running as it may."""

    reason = ErrorReason.ERROR_REASON_TENANT_LIMIT

    def __init__(self, tenant: str, limit: str, retry_after_seconds: float) -> None:
        super().__init__(
            f"tenant {tenant} may have {limit}", metadata={"tenant": tenant}, retry_after_seconds=retry_after_seconds
        )


class DeadlineUnreachableError(ServiceError):
    """The work cannot be done in the time left."""

    reason = ErrorReason.ERROR_REASON_DEADLINE_UNREACHABLE

    def __init__(self, estimated_seconds: float, remaining_seconds: float, retry_after_seconds: float) -> None:
        super().__init__(
            f"it would take {estimated_seconds:.1f} s, but the deadline is in {remaining_seconds:.1f} s",
            metadata={"estimated_seconds": f"{estimated_seconds:.3f}"},
            retry_after_seconds=retry_after_seconds,
        )


class DeadlinePassedError(ServiceError):
    """The time ran out; the work was dropped."""

    reason = ErrorReason.ERROR_REASON_DEADLINE_PASSED

    def __init__(self, phase: Phase.ValueType) -> None:
        name = phase_name(phase)
        super().__init__(f"the deadline passed in phase {name}; the work was dropped", metadata={"phase": name})


class CancelledByIdError(ServiceError):
    """A Cancel call stopped the request."""

    reason = ErrorReason.ERROR_REASON_CANCELLED_BY_ID

    def __init__(self, request_id: str, phase: Phase.ValueType) -> None:
        name = phase_name(phase)
        super().__init__(
            f"request {request_id} was cancelled in phase {name}", metadata={"request_id": request_id, "phase": name}
        )


class BadCredentialsError(ServiceError):
    """No credentials, or not valid ones."""

    reason = ErrorReason.ERROR_REASON_BAD_CREDENTIALS


class NotPermittedError(ServiceError):
    """Valid credentials that do not allow the call."""

    reason = ErrorReason.ERROR_REASON_NOT_PERMITTED


class NoWorkerError(ServiceError):
    """No worker of a tier can be reached, or the worker that was asked is not ready."""

    reason = ErrorReason.ERROR_REASON_NO_WORKER

    def __init__(self, tier: Tier.ValueType, message: str, retry_after_seconds: float) -> None:
        super().__init__(message, metadata={"tier": tier_name(tier)}, retry_after_seconds=retry_after_seconds)


class WorkerLostError(ServiceError):
    """The worker was lost with the work, and so were the retries."""

    reason = ErrorReason.ERROR_REASON_WORKER_LOST

    def __init__(self, tier: Tier.ValueType, retries: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"the {tier_name(tier).lower()} that worked on the request was lost",
            metadata={"tier": tier_name(tier), "retries": str(retries)},
            retry_after_seconds=retry_after_seconds,
        )


class DrainingError(ServiceError):
    """The server is stopping; another one will do."""

    reason = ErrorReason.ERROR_REASON_DRAINING

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("the server is stopping; ask again", retry_after_seconds=retry_after_seconds)


class NonFiniteOutputError(ServiceError):
    """A network produced NaN or infinity; no picture is made of it."""

    reason = ErrorReason.ERROR_REASON_NON_FINITE_OUTPUT

    def __init__(self, phase: Phase.ValueType) -> None:
        name = phase_name(phase)
        super().__init__(f"a network produced NaN or infinity in phase {name}", metadata={"phase": name})


class InternalServerError(ServiceError):
    """A bug. Made by the interceptor only."""

    reason = ErrorReason.ERROR_REASON_INTERNAL

    def __init__(self, error_id: str) -> None:
        super().__init__(
            f"the server failed; its log has the cause under error id {error_id}", metadata={"error_id": error_id}
        )


class PassedOnError(ServiceError):
    """Another server's error, told to the client as it came."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def _shortened(digest: str) -> str:
    """What a request claims to be a digest, short enough for the trailers that errors travel in."""
    return digest if len(digest) <= _DIGEST_CHARACTERS else digest[:_DIGEST_CHARACTERS] + "…"


def phase_name(phase: Phase.ValueType) -> str:
    """The phase without its prefix, for example DENOISING."""
    return Phase.Name(phase).removeprefix("PHASE_")


def tier_name(tier: Tier.ValueType) -> str:
    """The tier without its prefix, for example DECODER."""
    return Tier.Name(tier).removeprefix("TIER_")
