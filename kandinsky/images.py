"""Pictures in and out: decoding files, fitting them to a size, and MoVQ's pixel format."""

import io
import warnings
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from kandinsky.errors import InputError

_READ_FORMATS = ("PNG", "JPEG", "WEBP")
# CLIP scales the shorter side to its 224 pixels before it cuts out the middle: of one line of pixels, to gigabytes.
_MOST_TIMES_AS_LONG = 256

Box = tuple[float, float, float, float]


class ResizeMode(StrEnum):
    """How a picture of another shape is brought to an asked size."""

    STRETCH = "stretch"
    FIT = "fit"
    CROP = "crop"


class OutputFormat(StrEnum):
    """File formats of results, by Pillow's names."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WEBP"


def read_image(data: bytes, max_pixels: int, field: str = "image") -> Image.Image:
    """Decode a picture file.

    Args:
        data: a PNG, JPEG or WebP file.
        max_pixels: width × height at most; read from the header, as proportions are, before any pixel is decoded.
        field: the argument to name in errors.

    Returns:
        The picture in RGB with its EXIF orientation applied and transparency dropped.

    Raises:
        InputError: another format, a broken file, too many pixels, or one side more than 256 times the other.
    """
    try:
        # Pillow warns of pictures it thinks too large; what is too large here is decided below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_READ_FORMATS)
        if image.width * image.height > max_pixels:
            raise InputError(field, f"has {image.width} × {image.height} pixels; at most {max_pixels} are allowed")
        if max(image.size) > _MOST_TIMES_AS_LONG * min(image.size):
            size = f"{image.width} × {image.height} pixels"
            raise InputError(field, f"has {size}; one side may be at most {_MOST_TIMES_AS_LONG} times the other")
        return upright_rgb(image)
    except InputError:
        raise
    except Image.DecompressionBombError:  # what Pillow itself thinks too large, before the size can be asked
        raise InputError(field, f"has far more pixels than the {max_pixels} that are allowed") from None
    except Exception as error:  # Pillow's decoders raise whatever their parsers trip over
        raise InputError(field, "is not a PNG, JPEG or WebP file that can be decoded") from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation and convert to RGB."""
    upright = ImageOps.exif_transpose(image)
    return upright.convert("RGB")


def write_image(image: Image.Image, output_format: OutputFormat) -> bytes:
    """Encode a picture: PNG and WebP without loss, JPEG at quality 95."""
    options: dict[OutputFormat, dict[str, Any]] = {
        # zlib's fastest level: three times as fast as the default for files a tenth larger.
        OutputFormat.PNG: {"compress_level": 1},
        OutputFormat.JPEG: {"quality": 95},
        OutputFormat.WEBP: {"lossless": True},
    }
    buffer = io.BytesIO()
    image.save(buffer, output_format.value, **options[output_format])
    return buffer.getvalue()


def fit_image(image: Image.Image, width: int, height: int, mode: ResizeMode) -> Image.Image:
    """Bring a picture to width × height pixels, with the pipelines' filter: Pillow's bicubic, reducing_gap 1.

    STRETCH scales width and height on their own, as the pipelines do; FIT scales into the size and repeats the edge
    pixels; CROP cuts off evenly what would be over the size, and scales the rest. Nothing larger than the picture and
    the asked size is ever made, whatever the picture's proportions.
    """
    if mode is ResizeMode.STRETCH:
        return _resize(image, width, height)
    scales = (width / image.width, height / image.height)
    if mode is ResizeMode.CROP:
        return _resize(image, width, height, box=_middle(image.size, (width / max(scales), height / max(scales))))
    inner = _resize(image, max(round(image.width * min(scales)), 1), max(round(image.height * min(scales)), 1))
    left, top = (width - inner.width) // 2, (height - inner.height) // 2
    padding = ((top, height - inner.height - top), (left, width - inner.width - left), (0, 0))
    return Image.fromarray(np.pad(np.asarray(inner), padding, mode="edge"))


def to_pixels(image: Image.Image) -> npt.NDArray[np.float32]:
    """An RGB picture as MoVQ takes it: (1, 3, h, w) float32 in −1 … 1."""
    # (h, w, 3) → (1, 3, h, w)
    scaled = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    return np.ascontiguousarray(scaled * np.float32(2) - np.float32(1))


def to_image(pixels: npt.NDArray[np.float32]) -> Image.Image:
    """A picture from MoVQ's output: (3, h, w), −1 … 1, clamped."""
    # (3, h, w) → (h, w, 3)
    unit = np.clip(pixels.astype(np.float32) / 2 + 0.5, 0, 1).transpose(1, 2, 0)
    return Image.fromarray(np.round(unit * 255).astype(np.uint8))


def _resize(image: Image.Image, width: int, height: int, box: Box | None = None) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BICUBIC, box, reducing_gap=1)


def _middle(size: tuple[int, int], inner: tuple[float, float]) -> Box:
    """The middle of a picture: left, top, right, bottom, in pixels and parts of pixels."""
    (left, right), (top, bottom) = (
        ((whole - min(part, whole)) / 2, (whole + min(part, whole)) / 2)
        for whole, part in zip(size, inner, strict=True)
    )
    return left, top, right, bottom
