"""What is asked for: one picture of one prompt. Peers get it as JSON, this project through its client."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmarks.batching.trace import Arrival

GUIDANCE_SCALE = 4.0


@dataclass(frozen=True)
class Job:
    """One picture of one prompt.

    Attributes:
        prompt: what it shall show.
        seed: of its noise.
        side_px: its width and height.
        steps: length of its schedule.
        strength: how much of the schedule is run.
        guidance_scale: how closely it follows the prompt.
        image_base64: the file of the picture to start from.
    """

    prompt: str
    seed: int
    side_px: int
    steps: int
    strength: float
    guidance_scale: float
    image_base64: str

    @property
    def image(self) -> bytes:
        """The file of the picture to start from."""
        return base64.b64decode(self.image_base64)

    def to_json(self) -> dict[str, Any]:
        """As it is sent."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """As it was sent."""
        return cls(**fields)


def job(number: int, side_px: int, steps: int, strength: float, image: bytes) -> Job:
    """A job whose prompt and seed no job of another number has, so that no cache helps."""
    prompt = f"a red circle on a blue background, number {number}"
    return Job(prompt, number, side_px, steps, strength, GUIDANCE_SCALE, base64.b64encode(image).decode())


def jobs_of(arrivals: Sequence[Arrival], first_number: int, image: bytes) -> list[Job]:
    """A job for each arrival, numbered from the first on."""
    return [
        job(number, arrival.shape.width_px, arrival.steps, arrival.strength, image)
        for number, arrival in enumerate(arrivals, first_number)
    ]
