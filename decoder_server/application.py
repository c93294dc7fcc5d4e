"""The decoder worker as an application: loading, warming up, serving, closing."""

import functools

from decoder_server.config import DecoderConfig
from decoder_server.costs import Costs
from decoder_server.runner import Runner
from decoder_server.service import DecoderService
from decoder_server.warm_up import warm_up
from imagegen.v1.common_pb2 import Tier
from imagegen.v1.decoder_pb2_grpc import add_DecoderServiceServicer_to_server
from kandinsky.decoder_model import DECODER_COMPONENTS, load_decoder
from serving.device_thread import DeviceThread
from serving.requests import RunningRequests
from serving.server import Application
from worker.loading import load_model
from worker.service import worker_name
from worker.turns import Turns

_SERVICE = "imagegen.v1.DecoderService"


def build(config: DecoderConfig) -> Application:
    """The application of these flags; nothing is loaded yet."""
    device, running = DeviceThread(), RunningRequests()
    turns = Turns(worker_name(), config.max_queue_seconds)
    service = DecoderService(config, running, turns)

    async def start() -> None:
        load = functools.partial(load_model, config, DECODER_COMPONENTS, load_decoder)
        loaded = await device.run(load)
        costs = Costs()
        runner = Runner(loaded.model, device, costs)
        if config.warm_up:
            await warm_up(runner)
        service.start(runner, loaded.info)

    return Application(
        tier=Tier.TIER_DECODER,
        service=_SERVICE,
        running=running,
        add_to_server=functools.partial(add_DecoderServiceServicer_to_server, service),
        warm_up=start,
        close=device.close,
    )
