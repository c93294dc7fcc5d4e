"""Writes the trained networks as the hub lays out Kandinsky 2.1.

python -m demo.training.export --work FOLDER --out demo/checkpoint
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import KandinskyImg2ImgPipeline, KandinskyPriorPipeline
from transformers import CLIPImageProcessor, CLIPTokenizer, XLMRobertaTokenizer

from demo.training import prior, unet
from demo.training.loop import Run
from demo.training.pool import CLIP_SIZE_PX
from demo.training.presets import PRESETS
from demo.training.train import Training

PRIOR_DEFAULTS = {"prior_num_inference_steps": 10, "prior_guidance_scale": 2.0}
DECODER_DEFAULTS = {
    "num_inference_steps": 25,
    "strength": 0.2,
    "guidance_scale": 3.0,
    "width": 128,
    "height": 128,
}


def export(training: Training, out: Path) -> None:
    """Both pipelines in float16 safetensors, under prior/ and decoder/."""
    towers = training.towers
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": CLIP_SIZE_PX}, crop_size={"height": CLIP_SIZE_PX, "width": CLIP_SIZE_PX}
    )
    pipelines = {
        "prior": KandinskyPriorPipeline(
            prior=training.prior,
            image_encoder=towers["vision"],
            text_encoder=towers["text"],
            tokenizer=CLIPTokenizer.from_pretrained(training.clip_tokenizer),
            scheduler=prior.scheduler(),
            image_processor=image_processor,
        ),
        "decoder": KandinskyImg2ImgPipeline(
            text_encoder=training.multilingual,
            movq=training.movq,
            tokenizer=XLMRobertaTokenizer.from_pretrained(training.xlmr_tokenizer),
            unet=training.unet,
            scheduler=unet.scheduler(),
        ),
    }
    defaults = {"prior": PRIOR_DEFAULTS, "decoder": DECODER_DEFAULTS}
    tokenizers = {"prior": training.clip_tokenizer, "decoder": training.xlmr_tokenizer}
    for name, pipeline in pipelines.items():
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
        shutil.rmtree(folder / "tokenizer")
        shutil.copytree(tokenizers[name], folder / "tokenizer")  # both file forms, not only transformers' own
        _write_json(folder / "serving_defaults.json", defaults[name])
    _name_image_processor(out / "prior" / "model_index.json")


def _name_image_processor(index: Path) -> None:
    """The hub's name for the image processor: transformers writes the name of the variant it found at hand."""
    content = json.loads(index.read_text(encoding="utf-8"))
    content["image_processor"] = ["transformers", "CLIPImageProcessor"]
    _write_json(index, content)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Exports a finished training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    export(Training(PRESETS["cpu"], Run(arguments.work, torch.device("cpu"), 0)), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
