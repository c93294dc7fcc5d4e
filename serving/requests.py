"""What is running, by request id: so that ids are unique and a Cancel call finds its request.

The interceptor registers every request that is work; handlers move its phase on and look nothing else up.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imagegen.v1.common_pb2 import Phase
from serving.errors import CancelledByIdError, RequestIdInUseError
from serving.tenants import current_tenant


@dataclass
class RunningRequest:
    """A request between its arrival and its answer."""

    request_id: str
    task: asyncio.Task[object]
    tenant_id: str
    phase: Phase.ValueType = Phase.PHASE_QUEUED
    cancelled_by_id: bool = False


class RunningRequests:
    """The requests of one server. Only used in its event loop."""

    def __init__(self) -> None:
        self._running: dict[str, RunningRequest] = {}

    def __repr__(self) -> str:
        return f"RunningRequests({len(self._running)} running)"

    def __len__(self) -> int:
        return len(self._running)

    def __getitem__(self, request_id: str) -> RunningRequest:
        """The running request of this id, for its handler."""
        return self._running[request_id]

    @contextmanager
    def run(self, request_id: str) -> Iterator[RunningRequest]:
        """Registers the current task as a request; an id that is running already raises RequestIdInUseError.

        A Cancel call arrives in the body as asyncio.CancelledError and leaves it as CancelledByIdError. A client that
        has gone away arrives likewise and leaves as it came.
        """
        if request_id in self._running:
            raise RequestIdInUseError(request_id)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request runs in a task")
        request = self._running[request_id] = RunningRequest(request_id, task, current_tenant.get().id)
        try:
            yield request
        except asyncio.CancelledError:
            if not request.cancelled_by_id:
                raise
            task.uncancel()
            raise CancelledByIdError(request_id, request.phase) from None
        finally:
            del self._running[request_id]

    def cancel(self, request_id: str) -> Phase.ValueType:
        """Stops a request of the current tenant; PHASE_UNSPECIFIED when it has none of this id, else the phase."""
        request = self._running.get(request_id)
        if request is None or request.tenant_id != current_tenant.get().id:
            return Phase.PHASE_UNSPECIFIED
        if not request.cancelled_by_id:
            request.cancelled_by_id = True
            request.task.cancel()
        return request.phase
