"""BentoML: worker processes, adaptive batching. The window adapts; its limit is above the longest wait.

A request that has waited for max_latency_ms is refused, so its documentation says to raise it where the work is long.
"""

import base64

import bentoml
from pydantic import BaseModel

from benchmarks.serving.job import Job
from benchmarks.serving.settings import Settings

_SETTINGS = Settings.from_environment()
_REQUEST_SECONDS = 600


class Input(BaseModel):
    """A job, as its documentation wants requests of several fields."""

    prompt: str
    seed: int
    side_px: int
    steps: int
    strength: float
    guidance_scale: float
    image_base64: str


@bentoml.service(workers=_SETTINGS.workers, traffic={"timeout": _REQUEST_SECONDS})
class Kandinsky:
    """The pipeline."""

    def __init__(self) -> None:
        from benchmarks.serving.predictor import Predictor  # only here: no other process needs MindSpore

        self._predictor = Predictor(_SETTINGS)

    @bentoml.api(
        batchable=True,
        max_batch_size=_SETTINGS.largest_batch,
        max_latency_ms=1000 * _REQUEST_SECONDS,
    )
    def pictures(self, jobs: list[Input]) -> list[str]:
        """A batch; its pictures in base64."""
        made = self._predictor.pictures([Job.from_json(each.model_dump()) for each in jobs])
        return [base64.b64encode(picture).decode() for picture in made]
