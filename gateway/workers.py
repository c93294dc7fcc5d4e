"""The workers of one tier: their channels, what each has been sent, and the next one when one is not there.

A worker that answers UNAVAILABLE before its first message has not done what was asked, or will do it for nobody; either
way the request can go to another one: the gateway has drawn the seed, so the work is the same there.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from gateway.routing import WorkerLoad, choose
from imagegen.v1.common_pb2 import Tier
from serving.errors import NoWorkerError, WorkerLostError, tier_name

StubT = TypeVar("StubT")
RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")

RETRY_AFTER_SECONDS = 1.0

_ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

_log = logging.getLogger("gateway.workers")


@dataclass
class Worker(Generic[StubT]):
    """One address of a tier."""

    address: str
    channel: grpc.aio.Channel
    stub: StubT
    outstanding: int = 0

    def load(self) -> WorkerLoad:
        """What routing needs to know; makes an idle channel connect."""
        state = self.channel.get_state(try_to_connect=True)
        return WorkerLoad(self.address, state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE, self.outstanding)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Counts a call."""
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1


class WorkerPool(Generic[StubT]):
    """All workers of a tier. To be made and used in one event loop."""

    def __init__(
        self,
        tier: Tier.ValueType,
        addresses: Sequence[str],
        make_stub: Callable[[grpc.aio.Channel], StubT],
        max_message_bytes: int,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._tier = tier
        self._turn = 0
        channels = {address: _channel(address, max_message_bytes, credentials) for address in addresses}
        self._workers = {address: Worker(address, channel, make_stub(channel)) for address, channel in channels.items()}

    def __repr__(self) -> str:
        loads = ", ".join(f"{worker.address}: {worker.outstanding}" for worker in self._workers.values())
        return f"WorkerPool({tier_name(self._tier)}, {loads})"

    def least_outstanding(self) -> int:
        """How many calls the least busy worker has been sent and has not answered."""
        return min(worker.outstanding for worker in self._workers.values())

    async def ask(
        self, call: Callable[[StubT], grpc.aio.UnaryUnaryCall[RequestT, AnswerT]], tried: list[str]
    ) -> AnswerT:
        """One worker's answer.

        Args:
            call: starts the call on a worker's stub.
            tried: gets the address of each worker that was not there.

        Raises:
            NoWorkerError: none was there.
            grpc.aio.AioRpcError: the worker's own refusal.
        """
        for worker in self._candidates(tried):
            with worker.working():
                try:
                    return await call(worker.stub)
                except grpc.aio.AioRpcError as error:
                    self._note_absent(worker, error, tried)
        raise self._no_worker(tried)

    async def stream(
        self, call: Callable[[StubT], grpc.aio.UnaryStreamCall[RequestT, AnswerT]], tried: list[str]
    ) -> AsyncGenerator[AnswerT, None]:
        """One worker's messages; closing the generator cancels the call. Arguments and errors as for `ask`.

        Raises:
            WorkerLostError: the worker went away after its first message.
        """
        for worker in self._candidates(tried):
            with worker.working():
                messages = call(worker.stub)
                is_first = True
                try:
                    async for message in messages:
                        is_first = False
                        yield message
                except grpc.aio.AioRpcError as error:
                    self._note_absent(worker, error, tried)
                    if not is_first:
                        raise WorkerLostError(self._tier, 0, RETRY_AFTER_SECONDS) from error
                else:
                    return
                finally:
                    messages.cancel()
        raise self._no_worker(tried)

    async def ask_all(
        self, call: Callable[[StubT], grpc.aio.UnaryUnaryCall[RequestT, AnswerT]]
    ) -> dict[str, AnswerT | None]:
        """Every worker's answer by its address, None where there is none; all are asked at once."""

        async def answer(worker: Worker[StubT]) -> AnswerT | None:
            try:
                return await call(worker.stub)
            except grpc.aio.AioRpcError:
                return None

        answers = await asyncio.gather(*(answer(worker) for worker in self._workers.values()))
        return dict(zip(self._workers, answers, strict=True))

    async def close(self) -> None:
        """Closes the channels."""
        await asyncio.gather(*(worker.channel.close() for worker in self._workers.values()))

    def _candidates(self, tried: Sequence[str]) -> Iterator[Worker[StubT]]:
        """The worker of choice, and the next one whenever `tried` has grown."""
        while True:
            address = choose([worker.load() for worker in self._workers.values()], tried, self._turn)
            if address is None:
                return
            self._turn += 1
            yield self._workers[address]

    def _note_absent(self, worker: Worker[StubT], error: grpc.aio.AioRpcError, tried: list[str]) -> None:
        """Notes that the worker is not there; raises the error if it is, and merely refuses."""
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise error
        _log.warning("worker unavailable", extra={"address": worker.address, "error": error.details()})
        tried.append(worker.address)

    def _no_worker(self, tried: Sequence[str]) -> NoWorkerError:
        tier = tier_name(self._tier).lower()
        return NoWorkerError(self._tier, f"no {tier} is available ({len(tried)} tried); ask again", RETRY_AFTER_SECONDS)


def _channel(address: str, max_message_bytes: int, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),  # what the gateway has accepted it also sends
        # A picture may take minutes without a byte on the wire; a worker that is gone is noticed all the same.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_http_proxy", 0),  # a proxy in the environment is for the internet, not for workers
        # A worker that is back gets work within seconds; gRPC's own limits are 120 s and, to connect, 20 s.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.min_reconnect_backoff_ms", 2000),
    ]
    if address.startswith("dns:"):
        options.append(("grpc.service_config", _ROUND_ROBIN))
    if credentials is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, credentials, options)
