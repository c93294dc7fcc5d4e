"""`kandinsky img2img`: pictures of a picture and a prompt."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from kandinsky_client.cli import outputs
from kandinsky_client.cli.connection import RequestFlags
from kandinsky_client.cli.failures import UsageError
from kandinsky_client.cli.progress import ProgressLine
from kandinsky_client.cli.report import receipt_lines
from kandinsky_client.cli.sources import load_image
from kandinsky_client.client import EventStream
from kandinsky_client.embeddings import Embeddings
from kandinsky_client.errors import InternalError
from kandinsky_client.options import ImageFormat, Img2ImgOptions, ResizeMode, Scheduler
from kandinsky_client.results import Img2ImgResult
from serving import flags
from serving.flags import flag

DESCRIPTION = (
    "Make pictures of a picture and a prompt. What is left out, the model's own default fills in: see kandinsky info. "
    "Prints each file with the seed that makes it again."
)


@dataclass(frozen=True, kw_only=True)
class Img2ImgFlags(RequestFlags):
    """The command's flags."""

    prompt: str = flag("What the picture shall show.")
    negative_prompt: str | None = flag("What it shall not show.", default=None)
    image: str = flag("The picture to start from; an address is fetched by this command.", metavar="FILE_OR_URL")
    out: Path = flag("Where the result goes; several become NAME-0, NAME-1, ….", metavar="FILE")
    grid: Path | None = flag("Also write original and results side by side.", default=None, metavar="FILE")
    width: int | None = flag("Width of the result in pixels.", default=None)
    height: int | None = flag("Height of the result in pixels.", default=None)
    steps: int | None = flag("Length of the schedule; steps × strength of it are run.", default=None)
    strength: float | None = flag("How far to move from the picture, at most 1.", default=None)
    guidance_scale: float | None = flag("How closely to follow the prompt; 1 and below: no guidance.", default=None)
    prior_steps: int | None = flag("Steps of the prior.", default=None)
    prior_guidance_scale: float | None = flag("How closely the prior follows the prompt.", default=None)
    seed: int | None = flag("Seed of the noise; image i uses seed + i. Left out: the server draws one.", default=None)
    prior_seed: int | None = flag("Seed of one embedding for all images; left out: each uses its own.", default=None)
    num_images: int | None = flag("How many images to make.", default=None)
    scheduler: Scheduler | None = flag("The sampling method.", default=None)
    resize_mode: ResizeMode | None = flag("How the picture is fitted to width × height.", default=None)
    format: ImageFormat | None = flag("Format of the result; left out: as --out is named.", default=None)
    embeddings: Path | None = flag("Embeddings to use instead of the prior.", default=None, metavar="FILE")


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    given = flags.parse(Img2ImgFlags, "kandinsky img2img", DESCRIPTION, argv)
    options = img2img_options(given)
    if given.grid is not None:
        outputs.check_folder("--grid", given.grid)
        outputs.format_of("--grid", given.grid)
    image = load_image(given.image)
    progress = ProgressLine(sys.stderr, 1 if given.num_images is None else given.num_images)
    with given.connect() as client, client.stream_img2img(image, given.prompt, **options) as events:
        result = _follow(events, progress)
    _write(result, given.out)
    if given.grid is not None:
        with Image.open(io.BytesIO(image)) as original:
            outputs.side_by_side(original, result.images, given.resize_mode).save(given.grid)
        print(given.grid)
    for line in receipt_lines(result.receipt):
        print(line, file=sys.stderr)
    return 0


def img2img_options(given: Img2ImgFlags) -> Img2ImgOptions:
    """The flags as the client library's options.

    Raises:
        UsageError: some of them do not go together.
    """
    outputs.check_folder("--out", given.out)
    return Img2ImgOptions(
        request_id=given.request_id,
        timeout_seconds=given.timeout_seconds,
        negative_prompt=given.negative_prompt,
        width=given.width,
        height=given.height,
        num_inference_steps=given.steps,
        strength=given.strength,
        guidance_scale=given.guidance_scale,
        seed=given.seed,
        num_images=given.num_images,
        scheduler=given.scheduler,
        resize_mode=given.resize_mode,
        output_format=outputs.format_of("--out", given.out, given.format),
        prior_num_inference_steps=given.prior_steps,
        prior_guidance_scale=given.prior_guidance_scale,
        prior_seed=given.prior_seed,
        embeddings=None if given.embeddings is None else load_embeddings(given.embeddings),
    )


def load_embeddings(path: Path) -> Embeddings:
    """What encode-prompt or interpolate wrote.

    Raises:
        UsageError: it is something else, or not there.
    """
    try:
        return Embeddings.load(path)
    except OSError as error:
        raise UsageError(f"--embeddings: {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--embeddings: {error}") from error


def _follow(events: EventStream, progress: ProgressLine) -> Img2ImgResult:
    try:
        for event in events:
            if isinstance(event, Img2ImgResult):
                return event
            progress.show(event)
    finally:
        progress.close()
    raise InternalError("the server ended the stream without a result")


def _write(result: Img2ImgResult, out: Path) -> None:
    for index, path in enumerate(outputs.numbered(out, len(result.pictures))):
        result.pictures[index].save(path)
        print(f"{path}  seed {result.seed + index}")
