"""Whole pipelines: prompt and picture in, embeddings, latents after every step and the picture out."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, KandinskyImg2ImgPipeline, KandinskyPriorPipeline
from transformers import CLIPImageProcessorPil

from scripts.reference.arrays import Array, Arrays
from scripts.reference.noise import numpy_noise
from scripts.reference.pictures import read_picture

_WEIGHTS = re.compile(r"(\.(?P<variant>\w+))?(-\d{5}-of-\d{5})?\.safetensors$")

Case = dict[str, Any]


@dataclass(frozen=True)
class Pipelines:
    """diffusers' two pipelines, float32, with the networks of one checkpoint."""

    prior: KandinskyPriorPipeline
    decoder: KandinskyImg2ImgPipeline


def load_pipelines(folder: Path) -> Pipelines:
    """Both pipelines of the checkpoint in `folder`; components that exist only as a variant are taken from it."""
    # transformers' default processor resizes with torchvision where that is installed; the hub's pipelines used Pillow
    image_processor = CLIPImageProcessorPil.from_pretrained(folder / "prior/image_processor")
    prior = _load(KandinskyPriorPipeline, folder / "prior", image_processor=image_processor)
    decoder = _load(KandinskyImg2ImgPipeline, folder / "decoder")
    _mend_swapped_sides(decoder)
    return Pipelines(prior, decoder)


def _load(pipeline: type[DiffusionPipeline], folder: Path, **components: object) -> DiffusionPipeline:
    loaded = pipeline.from_pretrained(
        folder, variant=_needed_variant(folder), dtype=torch.float32, local_files_only=True, **components
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded


def _needed_variant(folder: Path) -> str | None:
    """The variant, such as fp16, of a component that has no plain weights; components without it load plain ones."""
    for component in sorted(folder.iterdir()):
        found = [_WEIGHTS.search(file.name) for file in component.glob("*.safetensors")]
        variants = {match["variant"] for match in found if match}
        if variants and None not in variants:
            return str(min(variants))
    return None


def _mend_swapped_sides(decoder: KandinskyImg2ImgPipeline) -> None:
    """The pipeline calls `preprocess(image, width, height)`, whose order is height, width."""
    preprocess = decoder.image_processor.preprocess
    decoder.image_processor.preprocess = lambda image, width, height: preprocess(image, height=height, width=width)


def run_case(pipelines: Pipelines, case: Case, folder: Path) -> Arrays:
    """One case: image_embeds and negative_image_embeds (1, dim), latents (steps, c, h, w), image (height, width, 3)."""
    with numpy_noise():
        embeds = pipelines.prior(
            case["prompt"],
            negative_prompt=case["negative_prompt"],
            num_inference_steps=case["prior_steps"],
            guidance_scale=case["prior_guidance"],
            generator=np.random.default_rng(case["seed"]),
        )
        latents: list[Array] = []
        images = pipelines.decoder(
            case["prompt"],
            image=read_picture(folder / case["image"]),
            image_embeds=embeds.image_embeds,
            negative_image_embeds=embeds.negative_image_embeds,
            negative_prompt=case["negative_prompt"],
            height=case["height"],
            width=case["width"],
            num_inference_steps=case["steps"],
            strength=case["strength"],
            guidance_scale=case["guidance"],
            generator=np.random.default_rng(case["seed"]),
            output_type="np",
            callback=lambda _step, _timestep, now: latents.append(now[0].numpy().copy()),
        ).images
    return {
        "image_embeds": embeds.image_embeds.numpy(),
        "negative_image_embeds": embeds.negative_image_embeds.numpy(),
        "latents": np.stack(latents),
        "image": images[0],
    }


def run_interpolation(pipelines: Pipelines, case: Case, folder: Path) -> Arrays:
    """One mix of weighted texts and pictures. One generator for the whole call: texts in order, then the negative."""
    conditions = [
        read_picture(folder / part["image"]) if "image" in part else part["text"] for part in case["conditions"]
    ]
    with numpy_noise():
        embeds = pipelines.prior.interpolate(
            conditions,
            [part["weight"] for part in case["conditions"]],
            num_inference_steps=case["prior_steps"],
            guidance_scale=case["prior_guidance"],
            negative_prior_prompt=case["negative_prior_prompt"],
            negative_prompt=case["negative_prompt"],
            generator=np.random.default_rng(case["seed"]),
        )
    return {
        "image_embeds": embeds.image_embeds.numpy(),
        "negative_image_embeds": embeds.negative_image_embeds.numpy(),
    }


def read_cases(file: Path, defaults: list[Case]) -> list[Case]:
    """The cases in `file`; where there is none, `defaults`, which are written to it."""
    if not file.exists():
        file.write_text(json.dumps(defaults, indent=1, ensure_ascii=False) + "\n")
    cases: list[Case] = json.loads(file.read_text())
    return cases
