# ruff: noqa: N802, ARG002 - the names and signatures are gRPC's
"""A prior that does what its prompt says, behind the real server frame."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import grpc

from imagegen.v1 import common_pb2, prior_pb2, prior_pb2_grpc
from imagegen.v1.common_pb2 import Phase, Tier
from serving.access import TenantOf, anybody
from serving.config import ServerConfig
from serving.requests import RunningRequests
from serving.server import Application, Server


class ObedientPrior(prior_pb2_grpc.PriorServiceServicer):
    """The fake.

    Attributes:
        error: what EncodePrompt raises.
        entered: set when a request waits, as the prompt "wait" asks.
        released: lets it go on.
        ended: what ended its waiting.
        warmed_up: lets warm-up end.
        closed: how often the application was closed.
        floods: whether WatchStatus never stops talking.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.entered = asyncio.Event()
        self.released = asyncio.Event()
        self.ended: BaseException | None = None
        self.running = RunningRequests()
        self.warmed_up = asyncio.Event()
        self.closed = 0
        self.floods = False

    async def EncodePrompt(self, request: Any, context: Any) -> prior_pb2.PriorServiceEncodePromptResponse:
        if self.error is not None:
            raise self.error
        self.running[request.request_id].phase = Phase.PHASE_ENCODING
        if request.prompt == "wait":
            await self.wait()
        return prior_pb2.PriorServiceEncodePromptResponse(request_id=request.request_id)

    async def Cancel(self, request: Any, context: Any) -> prior_pb2.PriorServiceCancelResponse:
        phase = self.running.cancel(request.request_id)
        return prior_pb2.PriorServiceCancelResponse(found=phase != Phase.PHASE_UNSPECIFIED, phase=phase)

    async def GetModel(self, request: Any, context: Any) -> prior_pb2.PriorServiceGetModelResponse:
        return prior_pb2.PriorServiceGetModelResponse()

    async def WatchStatus(
        self, request: Any, context: Any
    ) -> AsyncGenerator[prior_pb2.PriorServiceWatchStatusResponse, None]:
        try:
            while self.floods:
                yield prior_pb2.PriorServiceWatchStatusResponse(status=common_pb2.WorkerStatus(worker="x" * 2**20))
        except BaseException as error:
            self.ended = error
            raise
        yield prior_pb2.PriorServiceWatchStatusResponse()
        await self.wait()

    async def wait(self) -> None:
        self.entered.set()
        try:
            await self.released.wait()
        except BaseException as error:
            self.ended = error
            raise

    async def close(self) -> None:
        self.closed += 1

    def application(self) -> Application:
        return Application(
            tier=Tier.TIER_PRIOR,
            service="imagegen.v1.PriorService",
            running=self.running,
            add_to_server=partial(prior_pb2_grpc.add_PriorServiceServicer_to_server, self),
            warm_up=self._warm_up,
            close=self.close,
        )

    async def _warm_up(self) -> None:
        await self.warmed_up.wait()


class Served:
    """A server that has started, and clients of it."""

    def __init__(self, prior: ObedientPrior, server: Server, address: str) -> None:
        self.prior = prior
        self.server = server
        self.address = address
        self.channel = grpc.aio.insecure_channel(address)
        self.stub: Any = prior_pb2_grpc.PriorServiceStub(self.channel)


@asynccontextmanager
async def start(*, ready: bool = True, tenant_of: TenantOf = anybody, **config: Any) -> AsyncIterator[Served]:
    prior = ObedientPrior()
    server = Server(replace(prior.application(), tenant_of=tenant_of), ServerConfig(**{"drain_seconds": 0.0} | config))
    served = Served(prior, server, await server.start())
    try:
        if ready:
            prior.warmed_up.set()
            await server.warm_up()
        yield served
    finally:
        await served.channel.close()
        if not prior.closed:
            await server.stop()
