"""The decoder worker's flags."""

from dataclasses import dataclass

from serving.flags import flag
from worker.config import WorkerConfig

MIN_SIDE_PX = 64


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(WorkerConfig):
    """Which model runs where, and what a request may ask for."""

    port: int = flag("Port to listen on; 0: one that the system chooses.", default=50052, minimum=0, maximum=65535)
    max_side_px: int = flag("Longest side of a result.", default=2048, minimum=MIN_SIDE_PX)
    max_pixels: int = flag("Largest result, width × height.", default=1024 * 1024, minimum=MIN_SIDE_PX**2)
    max_num_images: int = flag("Most images in one request.", default=8, minimum=1)
    prior_digests: tuple[str, ...] = flag("Digests of the priors whose embeddings are taken; none: any.", default=())
    warm_up: bool = flag("Compile the model's own size before the server is ready.", default=True)
