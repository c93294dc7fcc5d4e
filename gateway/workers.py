"""The workers of one tier: which gets a call, and the next one when it is lost.

A worker that answers UNAVAILABLE has not done what was asked, or will do it for nobody; either way the request can go
to another one: the gateway has drawn the seed, so the work is the same there.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import grpc

from gateway.discovery import Discovery
from gateway.retry_budget import RetryBudget
from gateway.routing import Identity, WorkerView, choose
from gateway.sent_work import Sent
from gateway.tiers import InfoT, StubT, TierApi
from gateway.upstream import is_loss, is_workers_fault
from gateway.worker import Worker, WorkerHungError
from serving.errors import NoWorkerError, WorkerLostError, tier_name
from serving.metrics import GatewayMetrics

AnswerT = TypeVar("AnswerT")
RequestT = TypeVar("RequestT")

RETRY_AFTER_SECONDS = 1.0

# A request that has met with so many losses may be their cause.
_MAX_MOVES = 8

# Before a gateway calls itself ready.
_MEETING_SECONDS = 2.0

_log = logging.getLogger("gateway.workers")


@dataclass
class Journey(Generic[InfoT]):
    """One request's way through the workers of a tier.

    Attributes:
        units: its work, given what a worker has loaded.
        key: what it is about, where workers may have the answer in a cache.
        tried: workers it has been sent to in vain.
        moves: how often it had to leave a worker.
        has_begun: whether a worker has taken it.
    """

    units: Callable[[InfoT], float]
    key: bytes | None = None
    tried: set[Identity] = field(default_factory=set)
    moves: int = 0
    has_begun: bool = False


class WorkerPool(Generic[StubT, InfoT]):
    """All workers of a tier. To be made and used in one event loop.

    Args:
        api: how to talk to them.
        discovery: where they are.
        open_channel: opens a channel to an address, whose certificate has the name, where there is one.
        progress_timeout_seconds: how long a worker may get no further while it has work.
        metrics: what is counted.
    """

    def __init__(
        self,
        api: TierApi[StubT, InfoT],
        discovery: Discovery,
        open_channel: Callable[[str, str | None], grpc.aio.Channel],
        progress_timeout_seconds: float,
        metrics: GatewayMetrics,
    ) -> None:
        self.tier = api.tier
        self._api = api
        self._discovery = discovery
        self._open_channel = open_channel
        self._progress_timeout_seconds = progress_timeout_seconds
        self._metrics = metrics
        self._workers: dict[str, Worker[StubT, InfoT]] = {}
        self._discovering: asyncio.Task[None] | None = None
        self._following: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._budget = RetryBudget()
        self._dice = random.Random()  # noqa: S311 - not for secrets

    def __repr__(self) -> str:
        return f"WorkerPool({tier_name(self.tier)}, {list(self._workers.values())}, {self._budget!r})"

    @property
    def workers(self) -> Collection[Worker[StubT, InfoT]]:
        """Those there are now."""
        return self._workers.values()

    @property
    def info(self) -> InfoT | None:
        """What the workers have loaded, as one of them told; None while none has been reached."""
        told = [worker for worker in self._workers.values() if worker.info is not None]
        return min(told, key=lambda worker: worker.standing).info if told else None

    async def start(self) -> None:
        """Find the workers and try to reach them, each once; those that come later are found as they come."""
        await self._discovery.refresh()
        self._set_addresses(self._discovery.addresses())
        self._discovering = asyncio.create_task(self._discovery.follow(self._set_addresses))
        with suppress(TimeoutError):
            async with asyncio.timeout(_MEETING_SECONDS):
                await asyncio.gather(*(worker.wait_met() for worker in self._workers.values()))

    def _set_addresses(self, addresses: Mapping[str, str | None]) -> None:
        """Use the workers at these addresses from now on. Calls to others go on to their end."""
        for address in self._workers.keys() - addresses.keys():
            self._leave(address)
        for address, name in addresses.items():
            if address not in self._workers:
                tell = partial(self._metrics.worker_work, self.tier, address)
                tell(0.0)
                channel = partial(self._open_channel, address, name)
                worker = Worker(address, self._api, channel, self._progress_timeout_seconds, tell)
                self._workers[address] = worker
                self._following[address] = asyncio.create_task(worker.follow())

    def seconds(self, units: Callable[[InfoT], float]) -> float:
        """Device seconds of a call at the fastest worker there is; 0 where that is not known."""
        return min((worker.seconds(units) for worker in self._workers.values() if worker.info is not None), default=0.0)

    def views(self, units: Callable[[InfoT], float] | None = None) -> list[WorkerView]:
        """The table that routing and admission go by."""
        return [worker.view(0.0 if units is None else worker.seconds(units)) for worker in self._workers.values()]

    async def ask(
        self, call: Callable[[StubT], grpc.aio.UnaryUnaryCall[RequestT, AnswerT]], journey: Journey[InfoT]
    ) -> tuple[AnswerT, Worker[StubT, InfoT]]:
        """One worker's answer, and whose it is.

        Raises:
            NoWorkerError: none was there.
            WorkerLostError: all who were there were lost.
            grpc.aio.AioRpcError: the worker's own refusal.
        """
        for worker in self.candidates(journey):
            with self.attempt(worker, journey) as sent:
                sent.arrived = True  # no sign of it comes before the answer
                answer = await worker.answer(call(worker.stub))
                worker.progressed()
                return answer, worker
        raise RuntimeError("candidates never end")

    def candidates(self, journey: Journey[InfoT]) -> Iterator[Worker[StubT, InfoT]]:
        """The worker of choice, then the next one. Ends by NoWorkerError or WorkerLostError only."""
        while True:
            may_try = journey.moves == 0 or (journey.moves <= _MAX_MOVES and self._budget.may_retry)
            view = choose(self.views(journey.units), journey.tried, self._dice, journey.key) if may_try else None
            if view is None:
                raise self._none_left(journey)
            yield self._workers[view.identity.address]

    @contextmanager
    def attempt(self, worker: Worker[StubT, InfoT], journey: Journey[InfoT]) -> Iterator[Sent]:
        """Counts a call for the length of the body. The loss of the worker is noted and ends there; refusals do not."""
        journey.tried.add(worker.identity)
        with worker.working(worker.seconds(journey.units)) as sent:
            try:
                yield sent
            except WorkerHungError as error:
                self._note_loss(worker, journey, str(error))
            except grpc.aio.AioRpcError as error:
                if not is_loss(error):
                    if is_workers_fault(error):
                        worker.answered(well=False)
                    raise
                self._note_loss(worker, journey, str(error.details()))
            else:
                self._budget.succeeded()
                worker.answered(well=True)

    async def close(self) -> None:
        """Closes the channels."""
        if self._discovering is not None:
            self._discovering.cancel()
        for address in list(self._workers):
            self._leave(address, at_once=True)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _leave(self, address: str, *, at_once: bool = False) -> None:
        worker, following = self._workers.pop(address), self._following.pop(address)
        worker.retire()  # it reports until it is idle, and another one may come to its address before
        self._metrics.worker_gone(self.tier, address)

        async def leave() -> None:
            if not at_once:
                await worker.wait_idle()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await worker.close()

        task = asyncio.create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _note_loss(self, worker: Worker[StubT, InfoT], journey: Journey[InfoT], error: str) -> None:
        _log.warning("work moves on", extra={"address": worker.address, "error": error})
        self._budget.failed()
        self._metrics.retried(self.tier)
        journey.moves += 1

    def _none_left(self, journey: Journey[InfoT]) -> NoWorkerError | WorkerLostError:
        if journey.has_begun:
            return WorkerLostError(self.tier, journey.moves - 1, RETRY_AFTER_SECONDS)
        tier = tier_name(self.tier).lower()
        tried = f"no {tier} is available ({journey.moves} tried); ask again"
        return NoWorkerError(self.tier, tried, RETRY_AFTER_SECONDS)
