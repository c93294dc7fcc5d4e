"""A checkpoint with random weights for a folder of component configs in the hub layout."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import ModelMixin, PriorTransformer, UNet2DConditionModel, VQModel
from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    PreTrainedModel,
)

from scripts.reference import vocabularies
from scripts.reference.weights import fill

NETWORKS: dict[str, type[ModelMixin | PreTrainedModel]] = {
    "prior/prior": PriorTransformer,
    "prior/text_encoder": CLIPTextModelWithProjection,
    "prior/image_encoder": CLIPVisionModelWithProjection,
    "decoder/unet": UNet2DConditionModel,
    "decoder/movq": VQModel,
    "decoder/text_encoder": MultilingualCLIP,
}
_TOKENIZERS: dict[str, Callable[[Path, int], None]] = {
    "prior/tokenizer": vocabularies.write_clip_tokenizer,
    "decoder/tokenizer": vocabularies.write_xlm_roberta_tokenizer,
}
_COPIED = ("prior/model_index.json", "prior/scheduler", "decoder/model_index.json", "decoder/scheduler")
_IMAGE_PROCESSOR = "prior/image_processor"
COMPONENTS = (*NETWORKS, *_TOKENIZERS)


@dataclass(frozen=True)
class Storage:
    """How weights lie on disk: dtype, the variant in the file name, the largest size of one file."""

    dtype: torch.dtype = torch.float32
    variant: str | None = None
    max_shard_size: str = "10GB"


def write_checkpoint(
    configs: Path,
    folder: Path,
    *,
    seed: int,
    components: Sequence[str],
    storage: Storage,
    tokenizers: Path | None = None,
) -> None:
    """Writes `components` of the configs in `configs` to `folder`, which may be the same place.

    Networks get random weights, tokenizers are trained, or copied from the checkpoint `tokenizers`. Schedulers, model
    indexes and the image processor are copied (an image processor that is missing is CLIP's at the encoder's size).
    """
    for name in _COPIED:
        _copy(configs / name, folder / name)
    _write_image_processor(configs, folder)
    for component in components:
        if component in NETWORKS:
            _write_network(component, configs / component, folder / component, seed, storage)
        elif tokenizers is not None:
            _copy(tokenizers / component, folder / component)
        else:
            text_encoder = configs / component.replace("tokenizer", "text_encoder") / "config.json"
            _TOKENIZERS[component](folder / component, json.loads(text_encoder.read_text())["vocab_size"])


def _write_network(component: str, configs: Path, folder: Path, seed: int, storage: Storage) -> None:
    network = _build(NETWORKS[component], configs)
    fill(network, component, seed)
    _store_position_ids(network)
    for stale in folder.glob("*.safetensors*"):
        stale.unlink()
    network.to(storage.dtype).save_pretrained(
        folder, variant=storage.variant, max_shard_size=storage.max_shard_size, safe_serialization=True
    )


def _build(network: type[ModelMixin | PreTrainedModel], configs: Path) -> torch.nn.Module:
    if issubclass(network, ModelMixin):
        return network.from_config(network.load_config(configs))
    return network(network.config_class.from_pretrained(configs))


def _store_position_ids(network: torch.nn.Module) -> None:
    """Makes the counters 0, 1, 2… part of the weights: transformers before 4.31 stored them, as the hub's files do."""
    for module in network.modules():
        if hasattr(module, "position_ids"):
            module.register_buffer("position_ids", module.position_ids, persistent=True)


def _write_image_processor(configs: Path, folder: Path) -> None:
    if (configs / _IMAGE_PROCESSOR).exists():
        _copy(configs / _IMAGE_PROCESSOR, folder / _IMAGE_PROCESSOR)
        return
    encoder = json.loads((configs / "prior/image_encoder/config.json").read_text())
    size = encoder["image_size"]
    processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    processor.save_pretrained(folder / _IMAGE_PROCESSOR)


def _copy(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
