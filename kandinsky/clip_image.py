"""How CLIP's vision tower wants its pictures, as the checkpoint's image processor says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from kandinsky.config import one_of, read_config


@dataclass(frozen=True)
class ClipImageConfig:
    """Keys of image_processor/preprocessor_config.json; defaults are CLIP's own."""

    crop_size: dict[str, int] | int = 224
    size: dict[str, int] | int = 224
    image_mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    rescale_factor: float = 1 / 255

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "ClipImageConfig":
        """Read a config file's content.

        Raises:
            ConfigError: see `kandinsky.config.read_config`.
        """
        fixed: dict[str, tuple[Any, ...]] = {
            f"do_{what}": (True,) for what in ("resize", "center_crop", "rescale", "normalize", "convert_rgb")
        }
        fixed |= {"resample": (3,), "default_to_square": (False,), "do_pad": (False, None)}
        names = {"image_processor_type", "feature_extractor_type", "processor_class"}
        config = read_config(cls, raw, "image_processor", fixed=fixed, irrelevant=names)
        if isinstance(config.size, dict):
            one_of("image_processor", "size", tuple(config.size), (("shortest_edge",),))
        if isinstance(config.crop_size, dict):
            one_of("image_processor", "crop_size", tuple(sorted(config.crop_size)), (("height", "width"),))
        return config

    @property
    def shortest_edge(self) -> int:
        """What the shorter side is scaled to."""
        return self.size["shortest_edge"] if isinstance(self.size, dict) else self.size

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width that are cut out of the middle."""
        if isinstance(self.crop_size, dict):
            return self.crop_size["height"], self.crop_size["width"]
        return self.crop_size, self.crop_size


def clip_pixels(image: Image.Image, config: ClipImageConfig) -> npt.NDArray[np.float32]:
    """An RGB picture as CLIP's vision tower takes it: (1, 3, crop height, crop width), normalised.

    Source: transformers' CLIPImageProcessor in its Pillow form.
    """
    edge, (short, long) = config.shortest_edge, sorted(image.size)
    long = int(edge * long / short)
    width, height = (edge, long) if image.width <= image.height else (long, edge)
    resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    unit = _crop_middle(resized, *config.crop).astype(np.float64) * config.rescale_factor
    normal = (unit.astype(np.float32) - np.array(config.image_mean, np.float32)) / np.array(
        config.image_std, np.float32
    )
    # (h, w, 3) → (1, 3, h, w)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def _crop_middle(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Cut out the middle; what lies outside the picture is black."""
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    margin = max(-top, -left, 0) + 1
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)))
    return padded[top + margin : top + margin + height, left + margin : left + margin + width]
