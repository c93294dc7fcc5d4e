"""Measures whether a picture follows its prompt and keeps its sketch. NumPy and Pillow only.

Pixels are named after the palette colour nearest in CIELAB. A picture's foreground counts as followed when more of
the pixels well inside the sketch's shape carry the asked colour than any other; the background likewise, outside.
The drawn shape is what is nearer to the asked foreground than to the asked background.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from demo.drawing.palette import BY_NAME, COLOURS

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)
Lab = npt.NDArray[np.float64]  # (…, 3)
Region = npt.NDArray[np.bool_]  # (height, width)
_EDGE_PX = 5  # median-like filter size: pixels nearer to an edge than half of it belong to neither side


@dataclass(frozen=True)
class Score:
    """One picture against its case.

    Attributes:
        foreground: The asked colour is the most frequent inside the shape.
        background: The asked colour is the most frequent outside it.
        iou: Overlap of the drawn shape with the sketch's, 0…1.
    """

    foreground: bool
    background: bool
    iou: float


@dataclass(frozen=True)
class Summary:
    """Shares (0…1) of pictures whose colours follow, and the mean IoU."""

    foreground: float
    background: float
    iou: float
    pictures: int


def score(picture: Image.Image, shape: Region, foreground: str, background: str) -> Score:
    """Measures one picture.

    Args:
        picture: RGB, of any size; it is measured at the mask's.
        shape: The sketch's shape: true inside.
        foreground: Name of the asked colour inside.
        background: Name of the asked colour outside.
    """
    height, width = shape.shape
    lab = to_lab(np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)))
    inside, outside = _without_edge(shape), _without_edge(~shape)
    drawn = _distance(lab, foreground) < _distance(lab, background)
    return Score(
        foreground=dominant_colour(lab[inside]) == foreground,
        background=dominant_colour(lab[outside]) == background,
        iou=float((drawn & shape).sum() / max(1, (drawn | shape).sum())),
    )


def summary(scores: Iterable[Score]) -> Summary:
    """The three figures over many pictures."""
    table = np.array([(s.foreground, s.background, s.iou) for s in scores], dtype=np.float64)
    foreground, background, iou = table.mean(axis=0)
    return Summary(float(foreground), float(background), float(iou), len(table))


def dominant_colour(lab: Lab) -> str:
    """Name of the palette colour that most of the pixels (n, 3) are nearest to."""
    return COLOURS[int(np.bincount(nearest_colours(lab), minlength=len(COLOURS)).argmax())].name


def nearest_colours(lab: Lab) -> npt.NDArray[np.intp]:
    """Index into COLOURS of the nearest for each pixel (…, 3)."""
    palette = to_lab(np.array([colour.rgb for colour in COLOURS], dtype=np.uint8))
    return np.asarray(np.linalg.norm(lab[..., None, :] - palette, axis=-1).argmin(axis=-1))


def colour_share(picture: Image.Image, colour: str) -> float:
    """Share of a picture's pixels (0…1) that are nearest to a palette colour."""
    names = nearest_colours(to_lab(np.asarray(picture.convert("RGB"))))
    return float((names == [c.name for c in COLOURS].index(colour)).mean())


def to_lab(rgb: Pixels) -> Lab:
    """SRGB (…, 3) → CIELAB under D65."""
    value = rgb.astype(np.float64) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _distance(lab: Lab, colour: str) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(lab - to_lab(np.array(BY_NAME[colour].rgb, dtype=np.uint8)), axis=-1))


def _without_edge(region: Region) -> Region:
    """The region less its rim."""
    shrunk = Image.fromarray(region.astype(np.uint8) * 255).filter(ImageFilter.MinFilter(_EDGE_PX))
    return np.asarray(shrunk) > 0
