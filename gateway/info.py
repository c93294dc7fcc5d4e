"""What GetServerInfo tells: models, workers and caches, as the gateway knows them."""

from importlib import metadata

from gateway.img2img import Tiers
from gateway.routing import Standing, least_queued_seconds
from gateway.tiers import InfoT, StubT
from gateway.workers import WorkerPool
from imagegen.v1.gateway_pb2 import GetServerInfoResponse, WorkerInfo, WorkerState

_STATES = {
    Standing.READY: WorkerState.WORKER_STATE_READY,
    Standing.EJECTED: WorkerState.WORKER_STATE_EJECTED,
    Standing.DRAINING: WorkerState.WORKER_STATE_DRAINING,
    Standing.UNREACHABLE: WorkerState.WORKER_STATE_UNREACHABLE,
}


def server_info(tiers: Tiers) -> GetServerInfoResponse:
    """Models and workers as they are now; a tier of which no worker was ever reached has no model."""
    return GetServerInfoResponse(
        version=_version(),
        prior=tiers.prior.info,
        decoder=tiers.decoder.info,
        workers=[*_workers(tiers.prior), *_workers(tiers.decoder)],
        caches=[tiers.encoder.cache_status()],
        estimated_wait_seconds=sum(least_queued_seconds(pool.views()) for pool in (tiers.prior, tiers.decoder)),
    )


def _workers(pool: WorkerPool[StubT, InfoT]) -> list[WorkerInfo]:
    return [
        WorkerInfo(tier=pool.tier, address=worker.address, state=_STATES[worker.standing], status=worker.status)
        for worker in pool.workers
    ]


def _version() -> str:
    try:
        return metadata.version("kandinsky-serving")
    except metadata.PackageNotFoundError:  # run from the sources, not installed
        return "unknown"
