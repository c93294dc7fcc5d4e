"""Draws the bundled sketch: python -m demo.drawing.sketch demo/sketch.png."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from demo.drawing.scenes import Plain, layers, sketched

_SIDE_PX = 256


def sketch() -> Image.Image:
    """A filled circle, a little off the middle, in greys."""
    scene = Plain("circle", "red", "blue", 0.45, 0.55, 0.28, 0.0)
    return Image.fromarray(sketched(layers(scene, _SIDE_PX, _SIDE_PX), np.random.default_rng(1)))


if __name__ == "__main__":
    sketch().save(Path(sys.argv[1]))
