"""`kandinsky-gateway`, also `python -m gateway`."""

import asyncio
import importlib
from functools import partial
from typing import NoReturn

import grpc

from gateway.admission import Admission
from gateway.backend import Backend
from gateway.channels import open_channel
from gateway.config import GatewayConfig
from gateway.discovery import Discovery, lookup
from gateway.embeddings import PromptEncoder, SharedCache
from gateway.lru_cache import LruCache
from gateway.service import ImageServicer
from gateway.tiers import DECODER, PRIOR
from gateway.workers import WorkerPool
from imagegen.v1 import gateway_pb2
from imagegen.v1.common_pb2 import Tier
from imagegen.v1.gateway_pb2_grpc import add_ImageServiceServicer_to_server
from serving.access import TenantOf, anybody, bearer_of
from serving.bootstrap import run_server
from serving.config import StartupError
from serving.metrics import GatewayMetrics
from serving.requests import RunningRequests
from serving.server import Application
from serving.tls import ChannelCredentials, channel_credentials
from serving.tokens import Tokens
from serving.watched import Watched, why_unusable


def build(config: GatewayConfig) -> Application:
    """The gateway's application."""
    metrics, running = GatewayMetrics(), RunningRequests()
    tenant_of, credentials = _tenants(config), _credentials(config)
    shared = _shared_cache(config)
    backend = _backend(config, credentials, metrics, shared)

    async def warm_up() -> None:
        """Tries to reach the workers, but is ready without them.

        Were it not, the loss of a tier would take all gateways out of their load balancer, and clients would get
        refused connections instead of an error that says which tier is missing and when to come back.
        """
        await asyncio.gather(backend.prior.start(), backend.decoder.start())

    async def close() -> None:
        await asyncio.gather(backend.prior.close(), backend.decoder.close())
        if shared is not None:
            await shared.close()

    servicer = ImageServicer(backend, running)
    return Application(
        tier=Tier.TIER_GATEWAY,
        service=gateway_pb2.DESCRIPTOR.services_by_name["ImageService"].full_name,
        running=running,
        add_to_server=partial(add_ImageServiceServicer_to_server, servicer),
        warm_up=warm_up,
        close=close,
        metrics=metrics,
        tenant_of=tenant_of,
    )


def _tenants(config: GatewayConfig) -> TenantOf:
    """Who may call."""
    if config.tokens is None:
        return anybody
    try:
        return bearer_of(Watched([config.tokens], partial(Tokens.read, config.tokens)))
    except (OSError, ValueError) as error:
        raise StartupError(f"--tokens: {why_unusable(error)}") from error


def _credentials(config: GatewayConfig) -> ChannelCredentials:
    """How workers are reached."""
    try:
        return channel_credentials(config.worker_ca, config.worker_cert, config.worker_key)
    except (OSError, ValueError) as error:
        raise StartupError(f"--worker-ca and the like: {why_unusable(error)}") from error


def _shared_cache(config: GatewayConfig) -> SharedCache | None:
    if config.shared_cache is None:
        return None
    try:
        redis_cache = importlib.import_module("gateway.redis_cache")
    except ModuleNotFoundError as error:
        install = 'pip install "kandinsky-serving[shared-cache]"'
        raise StartupError(f"--shared-cache needs the package {error.name}: {install}") from error
    try:
        cache: SharedCache = redis_cache.RedisCache(config.shared_cache)
    except ValueError as error:
        raise StartupError(f"--shared-cache: {error}") from error
    return cache


def _backend(
    config: GatewayConfig, credentials: ChannelCredentials, metrics: GatewayMetrics, shared: SharedCache | None
) -> Backend:
    def channel(address: str, server_name: str | None) -> grpc.aio.Channel:
        return open_channel(address, config.max_message_bytes, credentials.current(), server_name)

    timeout_seconds = config.progress_timeout_seconds
    priors = Discovery(config.prior, config.dns_refresh_seconds, lookup)
    decoders = Discovery(config.decoder, config.dns_refresh_seconds, lookup)
    prior = WorkerPool(PRIOR, priors, channel, timeout_seconds, metrics)
    decoder = WorkerPool(DECODER, decoders, channel, timeout_seconds, metrics)
    return Backend(
        prior,
        decoder,
        PromptEncoder(prior, LruCache("embeddings", config.cache_bytes), shared, metrics),
        Admission(config.max_queue_seconds, config.max_requests),
        config.checkpoint_every_steps,
    )


def main() -> NoReturn:
    """Runs the gateway until it is told to stop."""
    description = "Serves pictures: sends prompts to prior workers and pictures to decoder workers."
    run_server("kandinsky-gateway", description, GatewayConfig, build)


if __name__ == "__main__":
    main()
