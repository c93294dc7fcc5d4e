"""One worker as the gateway sees it: its channel, its reports, its calls, and whether it still moves.

Knows nothing of requests and of other workers.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

import grpc

from gateway.liveness import Liveness
from gateway.outliers import Record
from gateway.pace import Pace
from gateway.routing import Identity, Standing, WorkerView
from gateway.sent_work import Sent, SentWork
from gateway.tiers import InfoT, StubT, TierApi
from imagegen.v1.common_pb2 import WorkerStatus

AnswerT = TypeVar("AnswerT")
RequestT = TypeVar("RequestT")

_Call: TypeAlias = "grpc.aio.UnaryUnaryCall[Any, Any] | grpc.aio.UnaryStreamCall[Any, Any]"

# Between two attempts to hear from a worker that cannot be reached.
_RECONNECT_SECONDS = 0.5

_log = logging.getLogger("gateway.worker")


class WorkerHungError(Exception):
    """The worker has work and has got no further with it for too long."""


class Worker(Generic[StubT, InfoT]):
    """A worker at one address. `follow` has to run for as long as it is used.

    Args:
        address: host:port.
        api: how to talk to it.
        open_channel: opens the way there; anew, with the credentials of the day, when the worker was away.
        progress_timeout_seconds: how long it may get no further while it has work.
        tell_queued_seconds: told what it holds whenever it reports.
    """

    def __init__(
        self,
        address: str,
        api: TierApi[StubT, InfoT],
        open_channel: Callable[[], grpc.aio.Channel],
        progress_timeout_seconds: float,
        tell_queued_seconds: Callable[[float], None],
    ) -> None:
        self.address = address
        self._open_channel = open_channel
        self._channel = open_channel()
        self.stub = api.make_stub(self._channel)
        self.info: InfoT | None = None
        self.status: WorkerStatus | None = None
        self._pace = Pace()
        self._record = Record()
        self._api = api
        self._timeout_seconds = progress_timeout_seconds
        self._tell_queued_seconds = tell_queued_seconds
        self._generation = 0
        self._connected = False
        self._liveness = Liveness(progress_timeout_seconds)
        self._work = SentWork()
        self._absence: str | None = None
        self._met = asyncio.Event()
        self._calls: set[_Call] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return f"Worker({self.address}, {self.standing.name}, {self._work!r}, {self._liveness!r})"

    @property
    def identity(self) -> Identity:
        """Its name in routing."""
        return Identity(self.address, self._generation)

    @property
    def standing(self) -> Standing:
        """Whether it gets work."""
        if not self._connected or self._liveness.hangs:
            return Standing.UNREACHABLE
        if self.status is not None and self.status.draining:
            return Standing.DRAINING
        return Standing.EJECTED if self._record.is_ejected(time.monotonic()) else Standing.READY

    def learn(self, units: Callable[[InfoT], float], stepping_seconds: float, fixed_seconds: float) -> None:
        """Take in what a call took of the device: for its steps, and for the rest."""
        if self.info is not None:
            self._pace.learn(units(self.info), stepping_seconds, fixed_seconds)

    def seconds(self, units: Callable[[InfoT], float]) -> float:
        """How long a call would take here; 0 while that is not known."""
        return 0.0 if self.info is None else self._pace.seconds(units(self.info))

    def view(self, own_seconds: float = 0.0) -> WorkerView:
        """What routing needs to know."""
        now_seconds = time.monotonic()
        return WorkerView(
            identity=self.identity,
            standing=self.standing,
            queued_seconds=self._work.queued_seconds(now_seconds),
            own_seconds=own_seconds,
            calls=len(self._work),
            share=self._record.share(now_seconds),
        )

    @contextmanager
    def working(self, seconds: float) -> Iterator[Sent]:
        """Counts a call for the length of the body."""
        if not self._work:
            self._liveness.begin(time.monotonic())
            self._idle.clear()
        sent = self._work.send(seconds)
        try:
            yield sent
        finally:
            self._work.end(sent)
            if not self._work:
                self._idle.set()

    async def answer(self, call: "grpc.aio.UnaryUnaryCall[RequestT, AnswerT]") -> AnswerT:
        """What a call gives.

        Raises:
            WorkerHungError: the worker stands still. The call is cancelled; what comes of it later is dropped.
        """
        with self._ended_when_hung(call):
            return await call

    async def messages(self, call: "grpc.aio.UnaryStreamCall[RequestT, AnswerT]") -> AsyncGenerator[AnswerT, None]:
        """What a call streams; closing the generator cancels the call. Errors as for `answer`."""
        try:
            with self._ended_when_hung(call):
                async for message in call:
                    yield message
        finally:
            call.cancel()

    def progressed(self) -> None:
        """It has got further with its work."""
        self._liveness.progressed(time.monotonic())

    def answered(self, *, well: bool) -> None:
        """A call has ended by a good answer, or by one that is the worker's own fault."""
        now_seconds = time.monotonic()
        self._record = self._record.succeeded(now_seconds) if well else self._record.failed(now_seconds)

    async def follow(self) -> None:
        """Keep the channel connected, take reports in and notice when the worker stands still. Ends when cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_reports())
            group.create_task(self._watch_progress())

    async def wait_met(self) -> None:
        """Wait until the first attempt to hear from it has had an outcome."""
        await self._met.wait()

    async def wait_idle(self) -> None:
        """Wait until it works on no call."""
        await self._idle.wait()

    def retire(self) -> None:
        """It has left the tier: its calls go on to their end, but what it holds is told no more."""
        self._tell_queued_seconds = _tell_nobody

    async def close(self) -> None:
        """Close the channel; calls that are still running are cut off."""
        await self._channel.close()

    async def _take_reports(self) -> None:
        while True:
            try:
                self.info = await self._api.get_model(self.stub)
                self._pace = Pace(self.info.buckets)
                async for status in self._api.watch_status(self.stub):
                    self._report(status)
                self._note_absence("its status stream has ended")
            except grpc.aio.AioRpcError as error:
                self._note_absence(str(error.details()))
            await asyncio.sleep(_RECONNECT_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets
            if not self._work:
                await self._reconnect()

    async def _reconnect(self) -> None:
        before, self._channel = self._channel, self._open_channel()
        self.stub = self._api.make_stub(self._channel)
        await before.close()

    def _report(self, status: WorkerStatus) -> None:
        if not self._connected:
            self._connected, self._absence = True, None
            self._generation += 1
            self.progressed()
        self.status = status
        self._liveness.report(status, time.monotonic())
        self._work.report(status.queued_work_seconds, time.monotonic())
        self._tell_queued_seconds(status.queued_work_seconds)
        self._met.set()

    def _note_absence(self, error: str) -> None:
        if error != self._absence:
            _log.warning("worker not there", extra={"address": self.address, "error": error})
        if self._connected and self._work:
            self.answered(well=False)
        self._connected, self._absence = False, error
        self._met.set()

    async def _watch_progress(self) -> None:
        while True:
            await asyncio.sleep(self._timeout_seconds / 8)
            if self._work and self._liveness.stands_still(time.monotonic()):
                self._give_up()

    def _give_up(self) -> None:
        """Take its calls from it and send it away."""
        _log.warning("worker stands still", extra={"address": self.address, "calls": len(self._work)})
        self._record = self._record.ejected(time.monotonic())
        self._liveness.give_up()
        calls, self._calls = self._calls, set()
        for call in calls:
            call.cancel()

    @contextmanager
    def _ended_when_hung(self, call: _Call) -> Iterator[None]:
        """Tells the end of a call that `_give_up` has cancelled from that of the task that waits for it."""
        self._calls.add(call)
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if call in self._calls or (task is not None and task.cancelling()):
                raise
            seconds = f"{self._timeout_seconds:g} s"
            raise WorkerHungError(f"{self.address} has got no further for {seconds}") from None
        finally:
            self._calls.discard(call)


def _tell_nobody(queued_seconds: float) -> None:
    """In place of who is told what a worker holds."""
