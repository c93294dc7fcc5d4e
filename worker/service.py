"""Small things that both workers' services need."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Mapping

import grpc

from imagegen.v1.common_pb2 import Priority, Tier, Truncation
from serving.batching import work
from serving.errors import InvalidFieldError

_log = logging.getLogger("worker.service")

PRIORITIES = {
    Priority.PRIORITY_HIGH: work.Priority.HIGH,
    Priority.PRIORITY_LOW: work.Priority.LOW,
}
"""The planner's word for a request's priority; what is not here is normal."""


def worker_name() -> str:
    """The name a worker goes by in receipts: host and process, unique in a deployment."""
    return f"{socket.gethostname()}-{os.getpid()}"


def stop_when_broken(working: "asyncio.Task[None]") -> None:
    """A callback of the engine's task: if a bug has ended it, the server stops, so that another one is started."""
    if not working.cancelled() and (error := working.exception()) is not None:
        _log.critical("the engine has stopped, and so does the server", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def truncations(tier: Tier.ValueType, cut: Mapping[str, str]) -> list[Truncation]:
    """What a text encoder did not see, by the request's field."""
    return [Truncation(tier=tier, field=field, removed_text=text) for field, text in cut.items()]


def check_bytes(field: str, value: str | bytes, max_bytes: int) -> None:
    """Refuse a text or file that is too long.

    Raises:
        InvalidFieldError: it is.
    """
    size = len(value.encode()) if isinstance(value, str) else len(value)
    if size > max_bytes:
        raise InvalidFieldError(field, f"must be at most {max_bytes} bytes, but has {size}")


def deadline_seconds(context: "grpc.aio.ServicerContext[object, object]") -> float | None:
    """Time a call has left; None where its client set no deadline."""
    remaining: float | None = context.time_remaining()
    return remaining
