"""What a request that leaves a value out gets: the pipelines' defaults, or what a checkpoint states for itself.

A checkpoint states its own in `serving_defaults.json` beside model_index.json; the files on the hub have none.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from kandinsky.checkpoint.json_file import read_json
from kandinsky.config import read_config

_FILE = "serving_defaults.json"

Defaults = TypeVar("Defaults")


@dataclass(frozen=True)
class PriorDefaults:
    """Defaults of diffusers' KandinskyPriorPipeline."""

    prior_num_inference_steps: int = 25
    prior_guidance_scale: float = 4.0


@dataclass(frozen=True)
class DecoderDefaults:
    """Defaults of diffusers' KandinskyImg2ImgPipeline; the size is the model's own unless the file states one."""

    num_inference_steps: int = 100
    strength: float = 0.3
    guidance_scale: float = 7.0
    width: int | None = None
    height: int | None = None


def read_prior_defaults(root: Path) -> PriorDefaults:
    """Defaults of a prior checkpoint's folder.

    Raises:
        ConfigError, CorruptFileError: the file states something else than these values.
    """
    return _read(PriorDefaults, root, {field.name for field in fields(DecoderDefaults)})


def read_decoder_defaults(root: Path) -> DecoderDefaults:
    """Defaults of a decoder checkpoint's folder.

    Raises:
        ConfigError, CorruptFileError: the file states something else than these values.
    """
    return _read(DecoderDefaults, root, {field.name for field in fields(PriorDefaults)})


def _read(cls: type[Defaults], root: Path, other_tier: set[str]) -> Defaults:
    raw = read_json(root / _FILE) if (root / _FILE).exists() else {}
    return read_config(cls, raw, _FILE, fixed={}, irrelevant=other_tier)
