"""The decoder worker as an application: loading, warming up, serving, closing."""

import functools
from collections.abc import Callable

from decoder_server.actions import DecoderActions
from decoder_server.config import DecoderConfig
from decoder_server.engine import DecoderEngine
from decoder_server.service import DecoderService, Serving
from decoder_server.sizes import ServedSizes, limits_of
from decoder_server.warm_up import warm_up
from imagegen.v1.common_pb2 import Tier
from imagegen.v1.decoder_pb2_grpc import add_DecoderServiceServicer_to_server
from kandinsky.cpu_kernels.library import Library
from kandinsky.decoder_model import DECODER_COMPONENTS, DecoderModel, load_decoder
from kandinsky.img2img import working_size_px
from kandinsky.preview import fit_preview
from serving.access import told_by_gateway
from serving.batching.work import Shape
from serving.device_thread import DeviceThread
from serving.metrics import WorkerMetrics
from serving.requests import RunningRequests
from serving.server import Application
from worker.engine import Engine
from worker.lifetime import Lifetime
from worker.loading import load_model
from worker.service import worker_name
from worker.startup import StartUp

_SERVICE = "imagegen.v1.DecoderService"


def build(config: DecoderConfig, operators: Callable[[], Library]) -> Application:
    """The application of these flags; nothing is loaded yet.

    Args:
        config: the flags.
        operators: as for `load_model`.
    """
    device, running, metrics = DeviceThread(), RunningRequests(), WorkerMetrics()
    service = DecoderService(config, running)
    lifetime = Lifetime(device, metrics)

    async def start() -> None:
        startup = StartUp()
        load = functools.partial(load_model, config, DECODER_COMPONENTS, load_decoder, operators)
        loaded = await device.run(load)
        startup.loaded(loaded.operators_seconds)
        projection = await device.run(fit_preview, loaded.model)
        shapes, sizes = _shapes(config, loaded.model), config.step_sizes
        actions = DecoderActions(loaded.model, config.text_cache_bytes)
        limits = limits_of(shapes, sizes)
        engine: DecoderEngine = Engine(worker_name(), actions, device, metrics, limits, config.max_queue_seconds)
        if config.warm_up:
            await warm_up(engine, actions, loaded.model, shapes, sizes)
        await device.run(loaded.graph_cache.close)
        lifetime.begin(engine)
        model, found = loaded.model, loaded.graph_cache.found
        startup.ready(model.compile_seconds, model.first_run_seconds, model.compilations, found)
        served = ServedSizes(shapes, config.max_other_sizes)
        service.start(Serving(loaded.model, loaded.info, engine, projection, served))

    return Application(
        tier=Tier.TIER_DECODER,
        service=_SERVICE,
        running=running,
        add_to_server=functools.partial(add_DecoderServiceServicer_to_server, service),
        warm_up=start,
        close=lifetime.close,
        drain=lifetime.drain,
        hand_over=lifetime.hand_over,
        metrics=metrics,
        tenant_of=told_by_gateway,
    )


def _shapes(config: DecoderConfig, model: DecoderModel) -> list[Shape]:
    """The working sizes to compile: those of the flags, or the model's own."""
    sizes_px = config.sizes_px or [model.default_size_px]
    return list(dict.fromkeys(Shape(*working_size_px(model, width, height)) for width, height in sizes_px))
