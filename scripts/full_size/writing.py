"""Writes a checkpoint of the full-size configs with random float16 weights, one component at a time."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mindspore import nn
from safetensors.numpy import save_file

from kandinsky.networks.clip_text import ClipTextConfig, ClipTextEncoder
from kandinsky.networks.clip_vision import ClipVisionConfig, ClipVisionEncoder
from kandinsky.networks.movq import Movq, MovqConfig
from kandinsky.networks.prior_transformer import PriorConfig, PriorTransformer
from kandinsky.networks.unet import UNet
from kandinsky.networks.unet_config import UNetConfig
from kandinsky.networks.xlm_roberta import MultilingualClip, XlmRobertaConfig
from kandinsky.ops import use_device
from kandinsky.parameters import skeleton
from scripts.full_size.configs import DECODER, PRIOR, UNET_PARAMETERS_MILLIONS, Config
from scripts.full_size.measuring import phase

# Tokenizers and schedulers are copied from here; their token ids are small ones of the full vocabularies.
_TEMPLATE = Path("tests/reference/tiny")
_NETWORKS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("prior", "prior"): (PriorConfig, PriorTransformer),
    ("prior", "text_encoder"): (ClipTextConfig, ClipTextEncoder),
    ("prior", "image_encoder"): (ClipVisionConfig, ClipVisionEncoder),
    ("decoder", "text_encoder"): (XlmRobertaConfig, MultilingualClip),
    ("decoder", "unet"): (UNetConfig, UNet),
    ("decoder", "movq"): (MovqConfig, Movq),
}
# A prime, so that the rows of no matrix repeat.
_BLOCK_VALUES = 4_194_301


def write_tier(tier: str, configs: dict[str, Config], folder: Path) -> None:
    """Writes one pipeline's folder: model_index.json, and each component."""
    folder.mkdir(parents=True)
    shutil.copy(_TEMPLATE / tier / "model_index.json", folder)
    for name in ("tokenizer", "scheduler"):
        shutil.copytree(_TEMPLATE / tier / name, folder / name)
    if tier == "prior":
        _write_json(folder / "image_processor/preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"})
    block = np.random.default_rng(0).standard_normal(_BLOCK_VALUES, np.float32)
    for name, config in configs.items():
        network = _build(tier, name, config)
        is_diffusers = "_class_name" in config
        _write_json(folder / name / "config.json", config)
        stem = "diffusion_pytorch_model" if is_diffusers else "model"
        weights = {key: _values(key, tuple(p.shape), block) for key, p in network.parameters_and_names()}
        save_file(weights, folder / name / f"{stem}.safetensors", {"format": "pt"})


def _build(tier: str, name: str, config: Config) -> nn.Cell:
    config_class, network_class = _NETWORKS[tier, name]
    with skeleton():
        network: nn.Cell = network_class(config_class.from_dict(config), use_device("CPU"))
    if name == "unet":
        millions = sum(p.size for p in network.get_parameters()) / 1e6
        if round(millions) != UNET_PARAMETERS_MILLIONS:
            raise ValueError(f"the UNet has {millions:,.1f} M parameters, not {UNET_PARAMETERS_MILLIONS:,} M")
    return network


def _values(name: str, shape: tuple[int, ...], block: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Values that keep activations near 1: norms scale by 1 and shift by 0, matrices divide by √fan-in."""
    if len(shape) == 1 or name == "clip_std":
        constant = 0.0 if name.endswith("bias") else 1.0
        return np.full(shape, constant, np.float16)
    fan_in = int(np.prod(shape[1:]))
    values = (block * np.float32(fan_in**-0.5)).astype(np.float16)
    return np.resize(values, shape)


def _write_json(path: Path, value: Config) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value, indent=2))


def write_checkpoint(folder: Path) -> None:
    """Writes both tiers into folder/prior and folder/decoder."""
    for tier, configs in (("prior", PRIOR), ("decoder", DECODER)):
        with phase(tier, "write"):
            write_tier(tier, configs, folder / tier)
