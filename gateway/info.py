"""What GetServerInfo tells: models, workers and caches, as the gateway knows them."""

from importlib import metadata

from gateway.backend import Backend
from gateway.routing import Standing
from gateway.tiers import InfoT, StubT
from gateway.workers import WorkerPool
from imagegen.v1.gateway_pb2 import GetServerInfoResponse, WorkerInfo, WorkerState

_STATES = {
    Standing.READY: WorkerState.WORKER_STATE_READY,
    Standing.EJECTED: WorkerState.WORKER_STATE_EJECTED,
    Standing.DRAINING: WorkerState.WORKER_STATE_DRAINING,
    Standing.UNREACHABLE: WorkerState.WORKER_STATE_UNREACHABLE,
}


def server_info(backend: Backend) -> GetServerInfoResponse:
    """Models and workers as they are now; a tier of which no worker was ever reached has no model."""
    return GetServerInfoResponse(
        version=_version(),
        prior=backend.prior.info,
        decoder=backend.decoder.info,
        workers=[*_workers(backend.prior), *_workers(backend.decoder)],
        caches=[backend.encoder.cache_status()],
        estimated_wait_seconds=backend.wait_seconds((backend.prior.tier, backend.decoder.tier)),
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
