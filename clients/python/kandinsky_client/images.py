"""Pictures on their way in: anything a caller has → the bytes of a picture file.

Nothing is resized here: the server does that, so that every client gets the same result.
"""

import io
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kandinsky_client.errors import invalid_field

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

ImageInput: TypeAlias = "str | PathLike[str] | bytes | Image.Image | np.ndarray[Any, Any]"
"""A path, the bytes of a PNG, JPEG or WebP file, a Pillow image, or a uint8 array (h, w), (h, w, 3) or (h, w, 4)."""

_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}


def image_bytes(image: ImageInput, path: str = "image") -> bytes:
    """The picture as a file's bytes. Files go as they are; images and arrays become PNG, which loses nothing.

    Raises:
        InvalidArgumentError: it is no picture; `path` is the request's field.
        OSError: the file cannot be read.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | PathLike):
        return Path(image).read_bytes()
    return _png(_pillow(image, path))


def _pillow(image: object, path: str) -> "Image.Image":
    from PIL import Image, ImageOps

    if isinstance(image, Image.Image):
        # An image opened from a camera's file still carries its rotation apart, and PNG would drop it.
        return ImageOps.exif_transpose(image)
    # Pillow reads arrays through this protocol, so that NumPy need not be imported to recognise one.
    layout = getattr(image, "__array_interface__", None)
    if layout is None:
        raise invalid_field(path, f"must be a path, bytes, a Pillow image or an array; given {type(image).__name__}")
    shape = layout["shape"]
    if layout["typestr"] != "|u1" or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)):
        raise invalid_field(path, f"an array must be uint8 of shape (h, w), (h, w, 3) or (h, w, 4); given {shape}")
    return Image.fromarray(image)  # type: ignore[arg-type]  # the protocol was checked above


def _png(image: "Image.Image") -> bytes:
    file = io.BytesIO()
    picture = image if image.mode in _PNG_MODES else image.convert("RGB")
    picture.save(file, "PNG", compress_level=1)  # a loopback or a data centre is faster than zlib
    return file.getvalue()
