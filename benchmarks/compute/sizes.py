"""What is measured at each size."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compute.cases import Case


@dataclass(frozen=True)
class Size:
    """One size of all networks.

    Attributes:
        groups: cases by the networks that are in memory together.
        results: which cases' ratios the result tells, by name.
        plain: measured without the fast paths as well; there is memory for a third process.
        configs: in the hub's layout, to make random weights of; None: scripts.full_size has its own.
    """

    groups: tuple[tuple[Case, ...], ...]
    results: Mapping[str, Case]
    plain: bool = True
    configs: Path | None = None


MIDDLE = Size(
    (
        (
            *(Case("unet", batch, 256) for batch in (1, 2, 4, 8)),
            Case("unet", 2, 512),
            Case("unet_anew", 2, 256),
            *(Case("movq_encode", batch, 256) for batch in (1, 4)),
            *(Case("movq_decode", batch, 256) for batch in (1, 4)),
            Case("movq_decode", 1, 512),
            *(Case("prior", batch) for batch in (2, 8)),
            *(Case("clip_text", batch) for batch in (1, 8)),
            *(Case("xlm_roberta", batch) for batch in (1, 8)),
        ),
    ),
    {
        "unet_vs_torch": Case("unet", 2, 256),
        "movq_decode_vs_torch": Case("movq_decode", 1, 512),
        "prior_vs_torch": Case("prior", 2),
    },
    configs=Path(__file__).parent / "middle",
)

# The checkpoint that the tests compare with diffusers: at most 871 thousand parameters, so calls are most of it.
TINY = Size(
    (
        (
            *(Case("unet", batch, 64) for batch in (1, 2, 4, 8)),
            *(Case("movq_encode", batch, 64) for batch in (1, 8)),
            *(Case("movq_decode", batch, 64) for batch in (1, 8)),
            *(Case("prior", batch) for batch in (2, 8)),
            *(Case("clip_text", batch) for batch in (1, 8)),
            *(Case("xlm_roberta", batch) for batch in (1, 8)),
        ),
    ),
    {"tiny_unet_vs_torch": Case("unet", 2, 64)},
)

# Kandinsky 2.1's own.
FULL = Size(
    ((Case("unet", 2, 256), Case("unet", 2, 512), Case("movq_decode", 1, 512)), (Case("prior", 2),)),
    {
        "unet_256_vs_torch": Case("unet", 2, 256),
        "unet_512_vs_torch": Case("unet", 2, 512),
        "movq_decode_vs_torch": Case("movq_decode", 1, 512),
        "prior_vs_torch": Case("prior", 2),
    },
    plain=False,
)
