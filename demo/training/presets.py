"""How long each stage runs: on two CPU cores, on one GPU, or in seconds to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass

from demo.training.loop import Stage


@dataclass(frozen=True)
class PoolSize:
    """A pool's picture size, how many it holds, and how often the UNet draws from it."""

    width: int
    height: int
    count: int
    share: float


@dataclass(frozen=True)
class Sketches:
    """How the UNet meets sketches.

    Attributes:
        share: Of a batch that starts from a sketch rather than from the picture itself.
        strengths: Lowest and highest strength, drawn evenly.
        schedules: Numbers of steps a client may ask for. Few steps at a low strength make ε very large.
        first_step_share: Of the sketches that are seen at their first timestep, where colours are decided.
    """

    share: float
    strengths: tuple[float, float]
    schedules: tuple[int, ...]
    first_step_share: float


@dataclass(frozen=True)
class Preset:
    """One way to train the whole checkpoint."""

    pools: tuple[PoolSize, ...]
    sentences: int
    towers: Stage
    multilingual: Stage
    prior: Stage
    movq: Stage
    unet: Stage
    sketches: Sketches = Sketches(0.6, (0.3, 1.0), (10, 20, 25, 30, 50, 100), first_step_share=0.3)


def _pools(square: int, other: int) -> tuple[PoolSize, ...]:
    """Mostly the working size of 128 px, and enough of other sizes and aspects to work at them."""
    return (
        PoolSize(128, 128, square, 0.76),
        PoolSize(192, 128, other, 0.08),
        PoolSize(128, 192, other, 0.08),
        PoolSize(192, 192, other, 0.05),
        PoolSize(256, 256, max(64, other // 2), 0.03),
    )


PRESETS = {
    "smoke": Preset(
        pools=_pools(256, 64),
        sentences=400,
        towers=Stage("towers", 6, 16, 1e-3),
        multilingual=Stage("multilingual", 6, 16, 1e-3),
        prior=Stage("prior", 6, 16, 1e-3),
        movq=Stage("movq", 4, 4, 1e-3),
        unet=Stage("unet", 6, 8, 6e-4),
    ),
    "cpu": Preset(
        pools=_pools(12_000, 800),
        sentences=20_000,
        towers=Stage("towers", 2_000, 128, 1e-3),
        multilingual=Stage("multilingual", 2_500, 96, 1e-3),
        prior=Stage("prior", 3_000, 64, 6e-4),
        movq=Stage("movq", 2_500, 8, 1e-3),
        unet=Stage("unet", 8_000, 32, 8e-4),
    ),
    "gpu": Preset(
        pools=_pools(60_000, 5_000),
        sentences=150_000,
        towers=Stage("towers", 2_500, 1024, 1e-3),
        multilingual=Stage("multilingual", 3_500, 1024, 1e-3),
        prior=Stage("prior", 4_500, 1024, 6e-4),
        movq=Stage("movq", 3_500, 32, 1e-3),
        unet=Stage("unet", 3_300, 768, 1e-3),
    ),
}
