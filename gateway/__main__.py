"""`kandinsky-gateway`, also `python -m gateway`."""

import asyncio
from functools import partial
from typing import NoReturn

from gateway.config import GatewayConfig
from gateway.img2img import Tiers
from gateway.service import ImageServicer
from gateway.workers import WorkerPool
from imagegen.v1 import gateway_pb2
from imagegen.v1.common_pb2 import Tier
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.gateway_pb2_grpc import add_ImageServiceServicer_to_server
from imagegen.v1.prior_pb2_grpc import PriorServiceStub
from serving.access import TenantOf, anybody, bearer_of
from serving.bootstrap import run_server
from serving.config import StartupError
from serving.metrics import GatewayMetrics
from serving.requests import RunningRequests
from serving.server import Application
from serving.tls import ChannelCredentials, channel_credentials
from serving.tokens import Tokens
from serving.watched import Watched


def build(config: GatewayConfig) -> Application:
    """The gateway's application."""
    tenant_of, credentials = _security(config)
    size, secret = config.max_message_bytes, credentials.current()
    tiers = Tiers(
        prior=WorkerPool(Tier.TIER_PRIOR, config.prior, PriorServiceStub, size, secret),
        decoder=WorkerPool(Tier.TIER_DECODER, config.decoder, DecoderServiceStub, size, secret),
    )
    running = RunningRequests()

    async def warm_up() -> None:
        """Nothing: a gateway is ready without workers.

        Were it not, the loss of a tier would take all gateways out of their load balancer, and clients would get
        refused connections instead of an error that says which tier is missing and when to come back.
        """

    async def close() -> None:
        await asyncio.gather(tiers.prior.close(), tiers.decoder.close())

    return Application(
        tier=Tier.TIER_GATEWAY,
        service=gateway_pb2.DESCRIPTOR.services_by_name["ImageService"].full_name,
        running=running,
        add_to_server=partial(add_ImageServiceServicer_to_server, ImageServicer(tiers, running)),
        warm_up=warm_up,
        close=close,
        metrics=GatewayMetrics(),
        tenant_of=tenant_of,
    )


def _security(config: GatewayConfig) -> tuple[TenantOf, ChannelCredentials]:
    """Who may call, and how workers are reached."""
    try:
        credentials = channel_credentials(config.worker_ca, config.worker_cert, config.worker_key)
        if config.tokens is None:
            return anybody, credentials
        return bearer_of(Watched([config.tokens], partial(Tokens.read, config.tokens))), credentials
    except (OSError, ValueError) as error:
        raise StartupError(str(error)) from error


def main() -> NoReturn:
    """Runs the gateway until it is told to stop."""
    description = "Serves pictures: sends prompts to prior workers and pictures to decoder workers."
    run_server("kandinsky-gateway", description, GatewayConfig, build)


if __name__ == "__main__":
    main()
