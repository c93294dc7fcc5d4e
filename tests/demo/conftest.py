"""The demo checkpoint, loaded once for all tests of this folder."""

import pytest
from PIL import Image

from demo.drawing.sketch import sketch
from demo.measure import Demo


@pytest.fixture(scope="session")
def demo() -> Demo:
    """The checkpoint in one process."""
    return Demo()


@pytest.fixture(scope="session")
def circle() -> Image.Image:
    """A grey circle on a light background."""
    return sketch()
