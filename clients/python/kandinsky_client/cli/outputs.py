"""Where results go: file names, formats, and the picture that shows original and results side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kandinsky_client.cli.failures import UsageError
from kandinsky_client.options import ImageFormat, ResizeMode

if TYPE_CHECKING:
    from PIL import Image

_FORMATS: dict[str, ImageFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def check_folder(flag: str, path: Path) -> None:
    """Say before the work that its result could not be written.

    Raises:
        UsageError: the folder is not there.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{flag}: the folder {path.parent} does not exist")


def format_of(flag: str, path: Path, asked: ImageFormat | None = None) -> ImageFormat:
    """The format to ask for so that it goes with the file's name.

    Raises:
        UsageError: the name's suffix means no format, or another one than the one that was asked for.
    """
    named = _FORMATS.get(path.suffix.lower())
    if named is None:
        raise UsageError(f"{flag}: {path.name} must end with {', '.join(_FORMATS)}")
    if asked is not None and asked != named:
        raise UsageError(f"{flag}: {path.name} is the name of a {named} file, but --format is {asked}")
    return named


def numbered(path: Path, count: int) -> list[Path]:
    """A file name for each of `count` pictures: out.png, or out-0.png, out-1.png and so on."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{index}{path.suffix}") for index in range(count)]


def side_by_side(original: "Image.Image", results: "Sequence[Image.Image]", mode: ResizeMode | None) -> "Image.Image":
    """The original, brought to the results' size as the server did, and the results, from left to right."""
    from PIL import Image

    width, height = results[0].size
    grid = Image.new("RGB", (width * (1 + len(results)), height), "white")
    for column, picture in enumerate([_resized(original, width, height, mode), *results]):
        grid.paste(picture, (column * width, 0))
    return grid


def _resized(original: "Image.Image", width: int, height: int, mode: ResizeMode | None) -> "Image.Image":
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(original).convert("RGB")
    if mode == "crop":
        return ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    if mode == "fit":
        return ImageOps.pad(picture, (width, height), Image.Resampling.BICUBIC, color="white")
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=1)
