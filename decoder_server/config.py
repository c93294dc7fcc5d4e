"""The decoder worker's flags."""

import re
from dataclasses import dataclass

from serving.flags import flag
from worker.config import WorkerConfig

MIN_SIDE_PX = 64
_SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}")


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(WorkerConfig):
    """Which model runs where, and what a request may ask for."""

    port: int = flag("Port to listen on; 0: one that the system chooses.", default=50052, minimum=0, maximum=65535)
    max_side_px: int = flag("Longest side of a result.", default=2048, minimum=MIN_SIDE_PX)
    max_pixels: int = flag("Largest result, width × height.", default=1024 * 1024, minimum=MIN_SIDE_PX**2)
    max_num_images: int = flag("Most images in one request.", default=8, minimum=1)
    prior_digests: tuple[str, ...] = flag("Digests of the priors whose embeddings are taken; none: any.", default=())
    sizes: tuple[str, ...] = flag(
        "Sizes that are compiled before the server is ready; none: the model's own.",
        default=(),
        metavar="WIDTHxHEIGHT[,WIDTHxHEIGHT…]",
    )
    max_other_sizes: int = flag(
        "Further sizes that are compiled when somebody asks for them, each of which takes time and memory once; 0: "
        "requests for them are refused.",
        default=16,
        minimum=0,
    )

    def __post_init__(self) -> None:
        """Refuse what is no size."""
        super().__post_init__()
        for text in self.sizes:
            if _SIZE.fullmatch(text) is None:
                raise ValueError(f"--sizes: {text!r} is not allowed; it must be like 512x512")

    @property
    def sizes_px(self) -> list[tuple[int, int]]:
        """`sizes` as width and height."""
        return [(int(width), int(height)) for width, height in (text.split("x") for text in self.sizes)]
