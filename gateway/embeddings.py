"""Embeddings of prompts: from a cache, from a request that is asking for the same, or from a prior."""

import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from gateway.call_metadata import call_metadata
from gateway.flights import Flights
from gateway.lru_cache import LruCache
from gateway.pace import prior_units
from gateway.workers import Journey, WorkerPool
from imagegen.v1.common_pb2 import CacheStatus, Receipt
from imagegen.v1.prior_pb2 import PriorInfo, PriorServiceEncodePromptRequest, PriorServiceEncodePromptResponse
from serving.metrics import GatewayMetrics

if TYPE_CHECKING:  # exists for type checkers only
    from imagegen.v1.prior_pb2_grpc import PriorServiceAsyncStub

# A flight's id is 128 characters long at most, as any other.
_DRAWN_BYTES = 8
_KEPT_OF_ID = 128 - 1 - 2 * _DRAWN_BYTES

PriorPool: TypeAlias = "WorkerPool[PriorServiceAsyncStub, PriorInfo]"


class SharedCache(Protocol):
    """A cache that gateways share. Neither method ever fails: what it cannot do it leaves undone."""

    async def get(self, key: bytes) -> bytes | None:
        """The value of a key, if it is held and can be had."""

    async def put(self, key: bytes, value: bytes) -> None:
        """Hold a value, if that can be done."""

    async def close(self) -> None:
        """Free what it holds."""


class _Wanted(NamedTuple):
    """What is looked up, and whose answer may be kept under it."""

    key: bytes
    prior_digest: str


class PromptEncoder:
    """The prior tier with its caches.

    Args:
        pool: the priors.
        cache: of this gateway.
        shared: of all gateways, if there is one.
        metrics: what is counted.
    """

    def __init__(self, pool: PriorPool, cache: LruCache, shared: SharedCache | None, metrics: GatewayMetrics) -> None:
        self._pool = pool
        self._cache = cache
        self._shared = shared
        self._metrics = metrics
        self._flights: Flights[PriorServiceEncodePromptResponse] = Flights()

    def needs_prior(self, request: PriorServiceEncodePromptRequest) -> bool:
        """Whether a request means work for a prior, as far as this gateway knows. The request has a seed."""
        wanted = self._wanted(request)
        return wanted is None or (wanted.key not in self._cache and wanted.key not in self._flights)

    def cache_status(self) -> CacheStatus:
        """How the gateway's own cache is doing."""
        return self._cache.status()

    async def encode(
        self, request: PriorServiceEncodePromptRequest, time_remaining: Callable[[], float | None]
    ) -> PriorServiceEncodePromptResponse:
        """The answer to a request that has a seed. Its receipt tells cache hits and moves between workers.

        Raises:
            NoWorkerError: no prior was there.
            grpc.aio.AioRpcError: a prior's own refusal.
        """
        wanted = self._wanted(request)
        if wanted is None:
            return await self._ask(request, None, time_remaining)
        held = self._cache.get(wanted.key)
        self._metrics.looked_up("embeddings", hit=held is not None)
        if held is not None:
            return _as_hit(PriorServiceEncodePromptResponse.FromString(held), request.request_id)
        while True:
            follows = wanted.key in self._flights
            try:
                fetch = partial(self._fetch, wanted, request, time_remaining)
                answer = await self._flights.join(wanted.key, fetch)
            except grpc.aio.AioRpcError as error:
                if follows and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    continue  # the deadline of the request that asked, not of this one
                raise
            return _as_hit(answer, request.request_id) if follows else answer

    async def _fetch(
        self, wanted: _Wanted, request: PriorServiceEncodePromptRequest, time_remaining: Callable[[], float | None]
    ) -> PriorServiceEncodePromptResponse:
        if self._shared is not None:
            value = await self._shared.get(wanted.key)
            shared = _parsed(value)
            self._metrics.looked_up("shared_embeddings", hit=shared is not None)
            if value is not None and shared is not None:
                self._cache.put(wanted.key, value)
                return _as_hit(shared, request.request_id)
        answer = await self._ask(_for_flight(request), wanted.key, time_remaining)
        answer.request_id = request.request_id
        if answer.embeddings.prior_digest == wanted.prior_digest:  # else a prior of another model has answered
            value = _as_hit(answer, "").SerializeToString()
            self._cache.put(wanted.key, value)
            if self._shared is not None:
                await self._shared.put(wanted.key, value)
        return answer

    async def _ask(
        self,
        request: PriorServiceEncodePromptRequest,
        key: bytes | None,
        time_remaining: Callable[[], float | None],
    ) -> PriorServiceEncodePromptResponse:
        journey: Journey[PriorInfo] = Journey(partial(encoding_units, request), key)
        answer, worker = await self._pool.ask(
            lambda stub: stub.EncodePrompt(request, timeout=time_remaining(), metadata=call_metadata()), journey
        )
        if not answer.receipt.cache_hit:  # else the prior was done with most of it when it was asked
            worker.learn(journey.units, answer.receipt.encoding_seconds, 0.0)
        answer.receipt.retries += journey.moves
        return answer

    def _wanted(self, request: PriorServiceEncodePromptRequest) -> _Wanted | None:
        """What to look up; None while no prior has told what the defaults are."""
        info = self._pool.info
        if info is None:
            return None
        asked = PriorServiceEncodePromptRequest(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt if request.HasField("negative_prompt") else None,
            params=info.defaults,
            num_embeddings=_count(request),
        )
        asked.params.MergeFrom(request.params)
        identity = f"{info.model.digest} {info.model.dtype} ".encode()
        key = hashlib.sha256(identity + asked.SerializeToString(deterministic=True)).digest()
        return _Wanted(key, info.model.digest)


def encoding_units(request: PriorServiceEncodePromptRequest, info: PriorInfo) -> float:
    """The work of a request, where a prior has to do it."""
    return prior_units(_count(request), request.params, info)


def _count(request: PriorServiceEncodePromptRequest) -> int:
    return request.num_embeddings if request.HasField("num_embeddings") else 1


def _for_flight(request: PriorServiceEncodePromptRequest) -> PriorServiceEncodePromptRequest:
    """The request under an id of its own: others may wait for the answer when the client's id is free again.

    It begins with the client's id, by which the prior's logs and spans are found.
    """
    flight = PriorServiceEncodePromptRequest()
    flight.CopyFrom(request)
    flight.request_id = f"{request.request_id[:_KEPT_OF_ID]}.{secrets.token_hex(_DRAWN_BYTES)}"
    return flight


def _as_hit(answer: PriorServiceEncodePromptResponse, request_id: str) -> PriorServiceEncodePromptResponse:
    """The same answer for a request for which nothing was computed."""
    return PriorServiceEncodePromptResponse(
        request_id=request_id,
        embeddings=answer.embeddings,
        seed=answer.seed,
        receipt=Receipt(cache_hit=True, truncations=answer.receipt.truncations),
    )


def _parsed(value: bytes | None) -> PriorServiceEncodePromptResponse | None:
    if value is None:
        return None
    try:
        return PriorServiceEncodePromptResponse.FromString(value)
    except DecodeError:  # not written by a gateway of this version
        return None
