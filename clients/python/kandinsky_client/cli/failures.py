"""What a failed command says, in one line, and its exit code."""

import re

from kandinsky_client import errors

OTHER = 1
USAGE = 2
UNREACHABLE = 3
REFUSED = 4
DEADLINE = 5
CANCELLED = 6
INTERRUPTED = 130

MEANINGS = {
    0: "done",
    OTHER: "something else failed: a file, the server itself",
    USAGE: "wrong flags, or the server does not accept a value",
    UNREACHABLE: "no server there, or it has no worker for the job",
    REFUSED: "refused: the server is full, or wants other credentials",
    DEADLINE: "the time ran out, or would have",
    CANCELLED: "somebody cancelled the request",
    INTERRUPTED: "Ctrl-C; the request was cancelled",
}

_CODES: dict[type[errors.KandinskyClientError], int] = {
    errors.InvalidArgumentError: USAGE,
    errors.FailedPreconditionError: USAGE,
    errors.RequestIdInUseError: USAGE,
    errors.UnavailableError: UNREACHABLE,
    errors.ServerBusyError: REFUSED,
    errors.UnauthenticatedError: REFUSED,
    errors.PermissionDeniedError: REFUSED,
    errors.DeadlineExceededError: DEADLINE,
    errors.RequestCancelledError: CANCELLED,
}

# The request's fields whose flag has another name than the last part of the field.
_FLAGS = {
    "params.num_inference_steps": "--steps",
    "params.output_format": "--format",
    "prior.num_inference_steps": "--prior-steps",
    "prior.guidance_scale": "--prior-guidance-scale",
    "prior.seed": "--prior-seed",
    "timeout_seconds": "--timeout-seconds",
}
_SAME_NAME = re.compile(r"(params\.)?([a-z_]+)")


class UsageError(Exception):
    """Flags that do not go together, or name what is not there; the message begins with the flag."""


EXPECTED = (errors.KandinskyClientError, UsageError, OSError)


def exit_code(error: Exception) -> int:
    """The exit code of what a command raised."""
    if isinstance(error, UsageError):
        return USAGE
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), OTHER)


def line(error: Exception) -> str:
    """What went wrong and what to do about it, in one line."""
    return " ".join(_text(error).split())


def _text(error: Exception) -> str:
    if isinstance(error, errors.InvalidArgumentError) and error.violations:
        return "; ".join(f"{_flag(violation.field)}: {violation.description}" for violation in error.violations)
    if isinstance(error, errors.UnavailableError) and not error.details.reason:
        return f"no server answers ({error}); is its address right (--server)? kandinsky serve starts one"
    if isinstance(error, errors.ServerBusyError) and error.retry_after_seconds is not None:
        return f"{error}; try again in {error.retry_after_seconds:.0f} s"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _flag(field: str) -> str:
    """The flag that fills a field of the request; the field itself where it is not that simple."""
    if field in _FLAGS:
        return _FLAGS[field]
    match = _SAME_NAME.fullmatch(field)
    return field if match is None else "--" + match[2].replace("_", "-")
