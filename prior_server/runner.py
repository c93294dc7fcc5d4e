"""The prior's device work as short awaitable pieces, timed."""

import time

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagegen.v1.common_pb2 import Phase
from kandinsky.prior_model import PriorModel
from kandinsky.prior_sampling import PriorJob, finish_prior, start_prior, step_prior
from prior_server.fields import FIELDS
from prior_server.values import Values
from serving.device_thread import DeviceThread
from worker.errors import told_to_client

Embeddings = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

# Weight of a new measurement in the running average.
_NEW = 0.2
# Steps of the warm-up: the first compiles, the others are measured.
_WARM_UP_STEPS = 3


class Runner:
    """A loaded prior on its device thread.

    Attributes:
        step_seconds: expected seconds of a step, by a running average; 0 while nothing is measured.
    """

    def __init__(self, model: PriorModel, device: DeviceThread) -> None:
        self.model = model
        self.step_seconds = 0.0
        self._device = device

    async def encode(self, text: str, values: Values, generator: np.random.Generator) -> tuple[Embeddings, PriorJob]:
        """A text's embedding and negative embedding, each (1, dim), and the finished job.

        Raises:
            InvalidFieldError, NonFiniteOutputError: see the model library's errors.
        """
        with told_to_client(FIELDS, Phase.PHASE_ENCODING):
            job = await self._device.run(
                start_prior, self.model, text, values.negative_prompt, values.steps, values.guidance_scale, generator
            )
            while not job.done:
                started = time.perf_counter()
                job = await self._device.run(_synchronous_step, self.model, job)
                self._measure(time.perf_counter() - started)
            return await self._device.run(finish_prior, self.model, job), job

    async def encode_image(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """A picture's embedding, (1, dim)."""
        return await self._device.run(self.model.encode_image, image)

    async def warm_up(self) -> None:
        """Compile and measure: with guidance and without, with a negative prompt and without."""
        for guidance_scale in (0.0, 2.0):
            for negative_prompt in (None, ""):
                values = Values(negative_prompt, _WARM_UP_STEPS, guidance_scale, seed=0)
                await self.encode("", values, np.random.default_rng(0))
        self.step_seconds = 0.0
        await self.encode("", Values(None, _WARM_UP_STEPS, 2.0, seed=0), np.random.default_rng(0))

    def _measure(self, seconds: float) -> None:
        known = self.step_seconds
        self.step_seconds = seconds if known == 0.0 else known + _NEW * (seconds - known)


def _synchronous_step(model: PriorModel, job: PriorJob) -> PriorJob:
    """A step that has ended when it returns: MindSpore only queues operators, and cancels wait for steps' ends."""
    after = step_prior(model, job)
    after.latents.asnumpy()
    return after
