"""Whose turn it is on the device: one request after another, in the order they came.

Also counts the work that waits and runs, in device seconds, for admission, for the estimate that clients are told, and
for the gateway's routing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from imagegen.v1.common_pb2 import WorkerStatus
from serving.errors import DeadlineUnreachableError, QueueFullError


@dataclass
class Ticket:
    """A request's place in the queue.

    Attributes:
        rows: how many images or embeddings it makes.
        remaining_seconds: device seconds it still needs; its handler lowers it as work is done.
        running: whether it has the device.
    """

    rows: int
    remaining_seconds: float
    running: bool = False


class Turns:
    """The queue of one device. Only used in its event loop.

    Args:
        worker: the name in WorkerStatus.
        max_queue_seconds: work that may wait; a request that comes to more is refused.
    """

    def __init__(self, worker: str, max_queue_seconds: float) -> None:
        self.worker = worker
        self._max_queue_seconds = max_queue_seconds
        self._tickets: list[Ticket] = []
        self._device = asyncio.Lock()
        self._changed = asyncio.Event()
        self._draining = False

    def __repr__(self) -> str:
        return f"Turns({len(self._tickets)} requests, {self.queued_work_seconds:.2f} s)"

    @property
    def queued_work_seconds(self) -> float:
        """Device seconds of all accepted work that is not done yet."""
        return sum(ticket.remaining_seconds for ticket in self._tickets)

    def ahead(self, ticket: Ticket) -> tuple[int, float]:
        """How many requests are ahead of one, and their device seconds."""
        before = self._tickets[: self._tickets.index(ticket)]
        return len(before), sum(other.remaining_seconds for other in before)

    @contextmanager
    def queue(self, rows: int, seconds: float, deadline_seconds: float | None) -> Iterator[Ticket]:
        """Join the queue for the length of the body.

        Args:
            rows: how many images or embeddings the request makes.
            seconds: device seconds it is expected to need.
            deadline_seconds: time it has left; None for no limit.

        Raises:
            QueueFullError: too much work waits already.
            DeadlineUnreachableError: it cannot be done in time.
        """
        waiting = self.queued_work_seconds
        if self._tickets and waiting + seconds > self._max_queue_seconds:
            raise QueueFullError(waiting + seconds - self._max_queue_seconds, waiting)
        if deadline_seconds is not None and waiting + seconds > deadline_seconds:
            raise DeadlineUnreachableError(waiting + seconds, deadline_seconds, waiting)
        ticket = Ticket(rows, seconds)
        self._tickets.append(ticket)
        self._notify()
        try:
            yield ticket
        finally:
            self._tickets.remove(ticket)
            self._notify()

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncIterator[None]:
        """Wait for the device and hold it for the length of the body."""
        async with self._device:
            ticket.running = True
            self._notify()
            yield

    def progress(self, ticket: Ticket, seconds: float) -> None:
        """Count work as done."""
        ticket.remaining_seconds = max(ticket.remaining_seconds - seconds, 0.0)
        self._notify()

    def drain(self) -> None:
        """Tell those who watch that no new work will be taken."""
        self._draining = True
        self._notify()

    async def watch(self) -> AsyncGenerator[WorkerStatus, None]:
        """The state now, and again whenever it has changed; slow readers skip states."""
        while True:
            changed = self._changed
            yield self.status()
            await changed.wait()

    def status(self) -> WorkerStatus:
        """The state now."""
        return WorkerStatus(
            worker=self.worker,
            draining=self._draining,
            queued_work_seconds=self.queued_work_seconds,
            queued_rows=sum(ticket.rows for ticket in self._tickets if not ticket.running),
            running_rows=sum(ticket.rows for ticket in self._tickets if ticket.running),
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
