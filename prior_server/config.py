"""The prior worker's flags."""

from dataclasses import dataclass

from serving.flags import flag
from worker.config import WorkerConfig


@dataclass(frozen=True, kw_only=True)
class PriorConfig(WorkerConfig):
    """Which model runs where, and what a request may ask for."""

    port: int = flag("Port to listen on; 0: one that the system chooses.", default=50051, minimum=0, maximum=65535)
    max_num_embeddings: int = flag("Most embeddings in one request.", default=8, minimum=1)
    max_items: int = flag("Most texts and images in one interpolation.", default=16, minimum=1)
