"""The prior worker as an application: loading, warming up, serving, closing."""

import functools

from imagegen.v1.common_pb2 import Tier
from imagegen.v1.prior_pb2_grpc import add_PriorServiceServicer_to_server
from kandinsky.prior_model import PRIOR_COMPONENTS, load_prior
from prior_server.config import PriorConfig
from prior_server.runner import Runner
from prior_server.service import PriorService
from serving.access import told_by_gateway
from serving.device_thread import DeviceThread
from serving.metrics import WorkerMetrics
from serving.requests import RunningRequests
from serving.server import Application
from worker.loading import load_model
from worker.service import worker_name
from worker.turns import Turns

_SERVICE = "imagegen.v1.PriorService"


def build(config: PriorConfig) -> Application:
    """The application of these flags; nothing is loaded yet."""
    device, running = DeviceThread(), RunningRequests()
    turns = Turns(worker_name(), config.max_queue_seconds)
    service = PriorService(config, running, turns)

    async def start() -> None:
        loaded = await device.run(functools.partial(load_model, config, PRIOR_COMPONENTS, load_prior))
        runner = Runner(loaded.model, device)
        if config.warm_up:
            await runner.warm_up()
        service.start(runner, loaded.info)

    return Application(
        tier=Tier.TIER_PRIOR,
        service=_SERVICE,
        running=running,
        add_to_server=functools.partial(add_PriorServiceServicer_to_server, service),
        warm_up=start,
        close=device.close,
        drain=turns.drain,
        metrics=WorkerMetrics(),
        tenant_of=told_by_gateway,
    )
