"""The whole pipeline in one process, for batches as a dynamic batcher hands them over.

That is what somebody writes who puts the model library behind a general model server: prior and decoder in one worker,
and a batch of whole requests, which keeps its size until its longest request is done.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from PIL import Image

from benchmarks.serving.grouping import by_side, compiled_size
from benchmarks.serving.job import Job, job
from benchmarks.serving.settings import Settings
from kandinsky.decoder_model import load_decoder
from kandinsky.images import OutputFormat, ResizeMode, read_image, write_image
from kandinsky.img2img import Img2ImgRequest, finish, start, working_image
from kandinsky.loading import Runtime
from kandinsky.noise import generators
from kandinsky.ops import use_device, with_fast_paths
from kandinsky.pipeline import ImageEmbeddings
from kandinsky.prior_model import load_prior
from kandinsky.prior_sampling import condition_prior, finish_prior, start_prior, step_priors
from kandinsky.rows import step_rows

_MAX_IMAGE_PIXELS = 10**7
_WARM_UP_STEPS = 2


class Predictor:
    """Loaded, compiled and warm once it is made. May be called from any thread; MindSpore stays in one."""

    def __init__(self, settings: Settings) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="device")
        self._pipeline = self._thread.submit(_Pipeline, settings).result()

    def pictures(self, jobs: Sequence[Job]) -> list[bytes]:
        """A PNG for each job, when all of them are done."""
        return self._thread.submit(self._pipeline.pictures, jobs).result()


class _Pipeline:
    """Both networks; belongs to one thread."""

    def __init__(self, settings: Settings) -> None:
        runtime = Runtime(with_fast_paths(use_device("CPU")))
        self._prior = load_prior(settings.prior, runtime)
        self._decoder = load_decoder(settings.decoder, runtime)
        self._batch_sizes = settings.batch_sizes
        grey = write_image(Image.new("RGB", (8, 8), "grey"), OutputFormat.PNG)
        for side_px, size in product(settings.sides_px, settings.batch_sizes):
            self.pictures([job(number, side_px, _WARM_UP_STEPS, 1.0, grey) for number in range(size)])

    def pictures(self, jobs: Sequence[Job]) -> list[bytes]:
        """A PNG for each job; jobs of one size run together."""
        made: dict[int, bytes] = {}
        for places in by_side(jobs, self._batch_sizes[-1]):
            group = [jobs[place] for place in places]
            made.update(zip(places, self._of_one_size(group), strict=True))
        return [made[place] for place in range(len(jobs))]

    def _of_one_size(self, jobs: Sequence[Job]) -> list[bytes]:
        size = compiled_size(len(jobs), self._batch_sizes)
        embeddings = self._embeddings(jobs, size)
        requests = [self._request(each, own) for each, own in zip(jobs, embeddings, strict=True)]
        images = [read_image(each.image, _MAX_IMAGE_PIXELS) for each in jobs]
        rows = [
            start(self._decoder, request, working_image(self._decoder, request, image)).rows[0]
            for request, image in zip(requests, images, strict=True)
        ]
        while running := [place for place, row in enumerate(rows) if not row.done]:
            stepped = step_rows(self._decoder, [rows[place] for place in running], size)
            for place, row in zip(running, stepped, strict=True):
                rows[place] = row
        pictures = [finish(self._decoder, request, row) for request, row in zip(requests, rows, strict=True)]
        return [write_image(picture, OutputFormat.PNG) for picture in pictures]

    def _embeddings(self, jobs: Sequence[Job], size: int) -> list[ImageEmbeddings]:
        model, defaults = self._prior, self._prior.defaults
        running = []
        for each in jobs:
            conditioning = condition_prior(model, each.prompt, None, defaults.prior_guidance_scale)
            (generator,) = generators(each.seed, 1)
            running.append(start_prior(model, conditioning, defaults.prior_num_inference_steps, generator))
        while not running[0].done:  # all have the checkpoint's number of steps
            running = step_priors(model, running, size)
        return [ImageEmbeddings(*finish_prior(model, each), truncated={}) for each in running]

    def _request(self, each: Job, embeddings: ImageEmbeddings) -> Img2ImgRequest:
        return Img2ImgRequest(
            prompt=each.prompt,
            negative_prompt="",
            image_embeds=embeddings.image_embeds,
            negative_image_embeds=embeddings.negative_image_embeds,
            width=each.side_px,
            height=each.side_px,
            steps=each.steps,
            strength=each.strength,
            guidance_scale=each.guidance_scale,
            seed=each.seed,
            num_images=1,
            scheduler=self._decoder.scheduler_type,
            resize_mode=ResizeMode.STRETCH,
        )
