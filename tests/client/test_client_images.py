"""Pictures in: whatever a caller has arrives as a picture file."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_client import InvalidArgumentError
from kandinsky_client.images import image_bytes


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_files_and_bytes_go_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "not a picture.png"
    path.write_bytes(b"the server will judge")
    sent = {image_bytes(path), image_bytes(str(path)), image_bytes(path.read_bytes())}
    assert sent == {b"the server will judge"}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "HSV", "YCbCr", "F", "I"])
def test_a_pillow_image_of_any_mode_becomes_a_png_of_the_same_colours(mode: str) -> None:
    image = Image.new("RGB", (3, 2), "red").convert(mode)
    sent = opened(image_bytes(image))
    assert (sent.format, sent.size) == ("PNG", (3, 2))
    assert sent.convert("RGB").tobytes() == image.convert("RGB").tobytes()


def test_the_rotation_that_a_camera_noted_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the width is the height
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "JPEG", exif=exif)
    assert opened(image_bytes(opened(file.getvalue()))).size == (20, 30)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3), (2, 3, 4)])
def test_an_array_of_bytes_becomes_a_png(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    sent = np.asarray(opened(image_bytes(array)))
    np.testing.assert_array_equal(sent, array)


@pytest.mark.parametrize(
    "image",
    [np.zeros((2, 3, 3), np.float32), np.zeros((2, 3, 2), np.uint8), np.zeros(3, np.uint8), 7, None, ["p.png"]],
    ids=lambda image: str(type(image).__name__),
)
def test_anything_else_is_refused_with_what_is_allowed(image: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"image: .*must be") as caught:
        image_bytes(image)
    assert caught.value.violations[0].field == "image"


def test_a_missing_file_is_the_usual_error() -> None:
    with pytest.raises(FileNotFoundError):
        image_bytes("nowhere.png")
