"""The reference checkpoints and what diffusers computed with them, and how far a result may lie from that."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import load_file

from kandinsky.decoder_model import DecoderModel
from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest, Started, start, working_image
from kandinsky.loading import Runtime
from kandinsky.prior_model import PriorModel

REFERENCE = Path(__file__).parents[1] / "reference"
CHECKPOINTS = ("tiny", "variant")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Reference:
    """A checkpoint's folder with diffusers' results; tests/reference/README.md says what is in it."""

    name: str

    @property
    def folder(self) -> Path:
        return REFERENCE / self.name

    def arrays(self, name: str) -> dict[str, Array]:
        return _arrays(self.folder / f"{name}.safetensors")

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def picture(self, name: str = "sketch.png") -> Image.Image:
        with Image.open(self.folder / name) as image:
            return image.convert("RGB")


@cache
def _arrays(path: Path) -> dict[str, Array]:
    return load_file(path)


@dataclass(frozen=True)
class Models:
    """Both tiers of a reference checkpoint, loaded."""

    reference: Reference
    runtime: Runtime
    prior: PriorModel
    decoder: DecoderModel


Load = Callable[[str, bool], Models]
"""(checkpoint, compiled) → its models, loaded once a session."""


def check(name: str, result: Array, expected: Array, *, relative: float = 0.0, absolute: float = 0.0) -> None:
    """Compares with diffusers' result; prints the difference, which `pytest -rP` shows.

    relative is to the expected result's largest magnitude.
    """
    assert result.shape == expected.shape, name
    difference = float(np.abs(result.astype(np.float64) - expected).max())
    magnitude = float(np.abs(expected).max())
    print(f"difference of {name}: {difference:.1e}, {difference / magnitude:.1e} of the largest magnitude")  # noqa: T201 - for pytest -rP
    assert difference <= relative * magnitude + absolute, name


def check_picture(name: str, result: Image.Image, expected: Array) -> None:
    """Compares 8-bit pictures; expected is diffusers' float picture in 0…1, (h, w, 3)."""
    difference = np.abs(np.asarray(result, np.float64) - np.round(expected * 255))
    print(f"difference of {name}: {difference.max():.0f} levels, {difference.mean():.1e} on average")  # noqa: T201 - for pytest -rP
    assert difference.max() <= 2, name
    assert difference.mean() <= 0.1, name


def request(model: DecoderModel, **changes: Any) -> Img2ImgRequest:
    """A small request: 16 × 16 px, two guided steps, embeddings of a seed of their own."""
    embeds = np.random.default_rng(99).standard_normal((2, 1, model.embedding_dim)).astype(np.float32)
    values: dict[str, Any] = {
        "prompt": "a red circle on a blue background",
        "negative_prompt": "blurry",
        "image_embeds": embeds[0],
        "negative_image_embeds": embeds[1],
        "width": 16,
        "height": 16,
        "steps": 4,
        "strength": 0.5,
        "guidance_scale": 4.0,
        "seed": 0,
        "num_images": 1,
        "scheduler": model.scheduler_type,
        "resize_mode": ResizeMode.STRETCH,
    }
    return Img2ImgRequest(**(values | changes))


def start_from(model: DecoderModel, asked: Img2ImgRequest, picture: Image.Image) -> Started:
    """A request's rows, from a picture of any size."""
    return start(model, asked, working_image(model, asked, picture))
