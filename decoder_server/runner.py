"""The decoder's device work as short awaitable pieces, timed."""

import time

from PIL import Image

from decoder_server.costs import Costs
from decoder_server.fields import FIELDS
from imagegen.v1.common_pb2 import Phase
from kandinsky.decoder_model import DecoderModel
from kandinsky.img2img import Img2ImgRequest, Started, finish, start, working_size_px
from kandinsky.rows import Row, step_rows
from serving.device_thread import DeviceThread
from worker.errors import told_to_client


class Runner:
    """A loaded model on its device thread."""

    def __init__(self, model: DecoderModel, device: DeviceThread, costs: Costs) -> None:
        self.model = model
        self._device = device
        self._costs = costs

    async def start(self, request: Img2ImgRequest, image: Image.Image) -> Started:
        """Encode texts and picture; the request's rows before their first step."""
        with told_to_client(FIELDS, Phase.PHASE_ENCODING):
            return await self._device.run(start, self.model, request, image)

    async def step(self, request: Img2ImgRequest, row: Row) -> Row:
        """The row after its next step."""
        started = time.perf_counter()
        (after,) = await self._device.run(_synchronous_step, self.model, row)
        self._costs.record(_evaluations(request), self._size_px(request), time.perf_counter() - started)
        return after

    async def finish(self, request: Img2ImgRequest, row: Row) -> Image.Image:
        """The picture of a row that is done."""
        with told_to_client(FIELDS, Phase.PHASE_DECODING):
            return await self._device.run(finish, self.model, request, row)

    def step_seconds(self, request: Img2ImgRequest) -> float:
        """Expected seconds of one step of one of the request's rows."""
        return self._costs.step_seconds(_evaluations(request), self._size_px(request))

    def _size_px(self, request: Img2ImgRequest) -> tuple[int, int]:
        return working_size_px(self.model, request.width, request.height)


def _evaluations(request: Img2ImgRequest) -> int:
    return 2 if request.guided else 1


def _synchronous_step(model: DecoderModel, row: Row) -> list[Row]:
    """A step that has ended when it returns: MindSpore only queues operators, and cancels wait for steps' ends."""
    (after,) = step_rows(model, [row])
    after.latents.asnumpy()
    return [after]
