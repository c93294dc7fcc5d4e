"""The flags that both workers have."""

from dataclasses import dataclass
from typing import Literal

from serving.config import ServerConfig
from serving.flags import flag

_BATCH_SIZES = {"CPU": (1,), "Ascend": (1, 2, 4)}


@dataclass(frozen=True, kw_only=True)
class WorkerConfig(ServerConfig):
    """Which model runs where, and what a request may ask for."""

    model: str = flag("Hugging Face repository as ID or ID@REVISION, or a local folder of the same layout.")
    variant: str | None = flag("Variant of the weight files, for example fp16.", default=None, metavar="NAME")
    device: Literal["CPU", "Ascend"] = flag("Where the networks run.", default="CPU")
    device_id: int = flag("Which NPU of the machine; not used on a CPU.", default=0, minimum=0)
    dtype: Literal["float32", "float16"] = flag(
        "What the networks compute in; MoVQ is always float32.", default="float32"
    )
    fast_paths: bool = flag(
        "On a CPU, use our own convolutions, norms and attention, which a C++ compiler compiles on first use.",
        default=True,
    )
    keep_graphs: bool = flag(
        "On a CPU, keep compiled graphs in the user's cache, where the next start with the same model and flags finds "
        "them.",
        default=True,
    )
    max_queue_seconds: float = flag("Work that may wait, in device seconds; more is refused.", default=600.0, minimum=0)
    max_prompt_bytes: int = flag("Longest text of a request, in UTF-8.", default=16 * 2**10, minimum=1)
    max_image_bytes: int = flag("Largest input picture file.", default=32 * 2**20, minimum=1)
    max_image_pixels: int = flag("Largest input picture, width × height.", default=40_000_000, minimum=1)
    batch_sizes: tuple[int, ...] = flag(
        "Rows that steps are compiled for, ascending, 1 the first. None: 1 on a CPU, where networks of full size gain "
        "nothing from company, and 1,2,4 on an NPU.",
        default=(),
        minimum=1,
    )
    text_cache_bytes: int = flag(
        "Memory for encoded texts, which are kept for later requests.", default=64 * 2**20, minimum=0
    )
    warm_up: bool = flag("Compile and measure before the server is ready.", default=True)

    def __post_init__(self) -> None:
        """Refuse sizes that are not sizes."""
        super().__post_init__()
        if self.batch_sizes and (self.batch_sizes[0] != 1 or list(self.batch_sizes) != sorted(set(self.batch_sizes))):
            raise ValueError(f"--batch-sizes: {self.batch_sizes} is not allowed; 1 comes first, the others ascend")

    @property
    def step_sizes(self) -> tuple[int, ...]:
        """`batch_sizes`, or the device's own."""
        return self.batch_sizes or _BATCH_SIZES[self.device]
