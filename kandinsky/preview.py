"""Cheap previews: a linear map from latents to colours, fitted to the model's own MoVQ.

A latent position is close to linear in the mean colour of the pixels it stands for, so three weights a channel give a
recognisable, small picture for the price of a matrix product; a decode costs as much as several UNet steps.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from kandinsky.decoder_model import DecoderModel
from kandinsky.images import to_image

_CHART_SEED = 0
# Side of the chart's squares in latent positions: inside one, the encoder sees a single colour.
_SQUARE = 4


@dataclass(frozen=True)
class PreviewProjection:
    """The map.

    Attributes:
        weights: (c + 1, 3) float32, latents and a constant to colours in −1 … 1.
    """

    weights: npt.NDArray[np.float32]

    def picture(self, latents: npt.NDArray[np.float32]) -> Image.Image:
        """A picture of one pixel for each latent position: (c, h, w) → h × w pixels."""
        c, h, w = latents.shape
        colours = _with_constant(latents.reshape(c, h * w).T) @ self.weights
        return to_image(colours.T.reshape(3, h, w))


def fit_preview(model: DecoderModel) -> PreviewProjection:
    """Fit the map by least squares, on how MoVQ encodes a chart of random colours of the default size."""
    scale = model.movq.config.scale
    width, height = (side // model.granularity_px * model.granularity_px for side in model.default_size_px)
    chart = _chart(height // scale, width // scale)
    # (3, h, w) → (1, 3, scale·h, scale·w)
    pixels = chart.repeat(scale, 1).repeat(scale, 2)[None]
    (latents,) = model.encode_image(np.ascontiguousarray(pixels))
    inputs = _with_constant(latents.reshape(len(latents), -1).T)
    weights, *_ = np.linalg.lstsq(inputs, chart.reshape(3, -1).T, rcond=None)
    return PreviewProjection(weights.astype(np.float32))


def _chart(height: int, width: int) -> npt.NDArray[np.float32]:
    """Squares of random colours, one value for each latent position: (3, height, width) in −1 … 1."""
    rows, columns = -(-height // _SQUARE), -(-width // _SQUARE)
    colours = np.random.default_rng(_CHART_SEED).uniform(-1, 1, (3, rows, columns)).astype(np.float32)
    return colours.repeat(_SQUARE, 1).repeat(_SQUARE, 2)[:, :height, :width]


def _with_constant(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, c) → (n, c + 1)."""
    return np.concatenate([rows, np.ones((len(rows), 1), np.float32)], 1)
