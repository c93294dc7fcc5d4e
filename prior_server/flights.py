"""Computations in flight: requests that ask for the same at the same time share one."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

from imagegen.v1.common_pb2 import Phase
from prior_server.actions import Embeddings, PriorInput, PriorState
from prior_server.engine import PriorEngine
from serving.batching.work import Stage
from serving.requests import RunningRequest
from worker.jobs import Job, Listener

PriorJobOf: TypeAlias = Job[PriorInput, PriorState, Embeddings]


@dataclass(eq=False)
class _Waiting:
    """Those who wait for one computation, of which the engine tells them all."""

    requests: list[RunningRequest] = field(default_factory=list)

    def begun(self, stage: Stage) -> None:  # noqa: ARG002 - the prior's stages are one phase to its clients
        """It takes part in an action."""
        for request in self.requests:
            request.phase = Phase.PHASE_ENCODING

    def stepped(self, index: int, state: PriorState) -> None:
        """Nobody is told of single steps."""


class Flights:
    """All computations of one engine, by what they compute."""

    def __init__(self, engine: PriorEngine) -> None:
        self._engine = engine
        self._flights: dict[Hashable, tuple[PriorJobOf, _Waiting]] = {}

    async def join(
        self, key: Hashable, request: RunningRequest, submit: Callable[[Listener[PriorState]], PriorJobOf]
    ) -> tuple[PriorJobOf, bool]:
        """Wait for a computation that is done, begun by this request or before it.

        The computation goes on until it is done or nobody waits for it any more.

        Args:
            key: what it computes.
            request: who waits.
            submit: begins it.

        Returns:
            The job, and whether another request had begun it.
        """
        is_first = key not in self._flights
        if is_first:
            waiting = _Waiting()
            self._flights[key] = submit(waiting), waiting
        job, waiting = self._flights[key]
        waiting.requests.append(request)
        try:
            await asyncio.shield(job.done)
        finally:
            waiting.requests.remove(request)
            if not waiting.requests:
                del self._flights[key]
                self._engine.drop(job)
        return job, not is_first
