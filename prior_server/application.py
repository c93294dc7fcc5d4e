"""The prior worker as an application: loading, warming up, serving, closing."""

import functools
from collections.abc import Callable

from imagegen.v1.common_pb2 import Tier
from imagegen.v1.prior_pb2_grpc import add_PriorServiceServicer_to_server
from kandinsky.cpu_kernels.library import Library
from kandinsky.prior_model import PRIOR_COMPONENTS, load_prior
from prior_server.actions import PriorActions
from prior_server.config import PriorConfig
from prior_server.engine import PriorEngine, limits_of
from prior_server.flights import Flights
from prior_server.service import PriorService, Serving
from prior_server.warm_up import warm_up
from serving.access import told_by_gateway
from serving.device_thread import DeviceThread
from serving.metrics import WorkerMetrics
from serving.requests import RunningRequests
from serving.server import Application
from worker.engine import Engine
from worker.lifetime import Lifetime
from worker.loading import load_model
from worker.service import worker_name
from worker.startup import StartUp

_SERVICE = "imagegen.v1.PriorService"


def build(config: PriorConfig, operators: Callable[[], Library]) -> Application:
    """The application of these flags; nothing is loaded yet.

    Args:
        config: the flags.
        operators: as for `load_model`.
    """
    device, running, metrics = DeviceThread(), RunningRequests(), WorkerMetrics()
    service = PriorService(config, running)
    lifetime = Lifetime(device, metrics)

    async def start() -> None:
        startup = StartUp()
        loaded = await device.run(functools.partial(load_model, config, PRIOR_COMPONENTS, load_prior, operators))
        startup.loaded(loaded.operators_seconds)
        sizes = config.step_sizes
        actions = PriorActions(loaded.model, sizes, config.text_cache_bytes)
        engine: PriorEngine = Engine(
            worker_name(), actions, device, metrics, limits_of(sizes), config.max_queue_seconds
        )
        if config.warm_up:
            await warm_up(engine, actions, device, sizes)
        await device.run(loaded.graph_cache.close)
        lifetime.begin(engine)
        model, found = loaded.model, loaded.graph_cache.found
        startup.ready(model.compile_seconds, model.first_run_seconds, model.compilations, found)
        service.start(Serving(loaded.model, loaded.info, engine, Flights(engine)))

    return Application(
        tier=Tier.TIER_PRIOR,
        service=_SERVICE,
        running=running,
        add_to_server=functools.partial(add_PriorServiceServicer_to_server, service),
        warm_up=start,
        close=lifetime.close,
        drain=lifetime.drain,
        hand_over=lifetime.hand_over,
        metrics=metrics,
        tenant_of=told_by_gateway,
    )
