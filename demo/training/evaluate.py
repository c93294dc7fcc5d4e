"""Measures an exported checkpoint through the pipelines: python -m demo.training.evaluate --checkpoint FOLDER."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import KandinskyImg2ImgPipeline, KandinskyPriorPipeline
from PIL import Image

from demo.drawing.cases import Case, held_out_cases
from demo.quality import Score, score, summary


class Pipelines:
    """Prior and decoder from an exported folder, in float32, with its own defaults."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.defaults: dict[str, Any] = {}
        for part in ("prior", "decoder"):
            self.defaults |= json.loads((checkpoint / part / "serving_defaults.json").read_text(encoding="utf-8"))
        self.prior = KandinskyPriorPipeline.from_pretrained(checkpoint / "prior", torch_dtype=torch.float32).to(device)
        self.decoder = KandinskyImg2ImgPipeline.from_pretrained(checkpoint / "decoder", torch_dtype=torch.float32)
        self.decoder.to(device)
        for pipeline in (self.prior, self.decoder):
            pipeline.set_progress_bar_config(disable=True)

    def generators(self, seeds: Sequence[int]) -> list[torch.Generator]:
        """One random stream for each picture."""
        return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]

    def embeds(self, prompts: list[str], seeds: Sequence[int], negative: list[str] | None = None) -> tuple[Any, Any]:
        """Image embeddings and the negative ones, from the prior."""
        return self.prior(
            prompts,
            negative_prompt=negative,
            num_inference_steps=self.defaults["prior_num_inference_steps"],
            guidance_scale=self.defaults["prior_guidance_scale"],
            generator=None if negative else self.generators(seeds),
            return_dict=False,
        )

    def pictures(
        self,
        prompts: list[str],
        sketches: list[Image.Image],
        embeds: tuple[Any, Any],
        seeds: Sequence[int],
        negative: list[str] | None = None,
        **changed: Any,
    ) -> list[Image.Image]:
        """One picture for each prompt; all square and of one size."""
        settings = {name: self.defaults[name] for name in ("num_inference_steps", "strength", "guidance_scale")}
        sizes = {"width": self.defaults["width"], "height": self.defaults["height"]}
        return self.decoder(
            prompts,
            sketches,
            *embeds,
            negative_prompt=negative,
            generator=self.generators(seeds),
            **(settings | sizes | changed),
        ).images


def measure(
    pipelines: Pipelines, cases: list[Case], batch: int, **changed: Any
) -> tuple[list[Score], list[Image.Image]]:
    """Each case through the prior and the decoder."""
    scores, shown = [], []
    for start in range(0, len(cases), batch):
        part = cases[start : start + batch]
        prompts, seeds = [case.prompt for case in part], range(start, start + len(part))
        made = pipelines.pictures(prompts, [c.sketch for c in part], pipelines.embeds(prompts, seeds), seeds, **changed)
        scores += [score(p, c.mask, c.foreground, c.background) for p, c in zip(made, part, strict=True)]
        shown += made
    return scores, shown


def grid(pairs: Sequence[tuple[Image.Image, ...]], columns: int) -> Image.Image:
    """Tuples of pictures side by side, tuples in rows of so many."""
    width, height = pairs[0][0].size
    across = len(pairs[0])
    sheet = Image.new("RGB", (width * across * columns, height * -(-len(pairs) // columns)), "white")
    for index, pair in enumerate(pairs):
        for offset, picture in enumerate(pair):
            place = ((index % columns * across + offset) * width, index // columns * height)
            sheet.paste(picture.resize((width, height)), place)
    return sheet


def _by_language(cases: list[Case], scores: list[Score]) -> str:
    groups = defaultdict(list)
    for case, result in zip(cases, scores, strict=True):
        groups[case.language].append(result)
    return "; ".join(f"{language} {summary(group)}" for language, group in groups.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one line for each strength and writes a grid of the first cases beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the grids")
    parser.add_argument("--cases", type=int, default=240)
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    pipelines = Pipelines(arguments.checkpoint, arguments.device)
    cases = held_out_cases(arguments.cases, seed=2021)
    changed = {} if arguments.guidance_scale is None else {"guidance_scale": arguments.guidance_scale}
    for strength in arguments.strengths:
        began = time.monotonic()
        scores, made = measure(pipelines, cases, arguments.batch, strength=strength, **changed)
        print(f"strength {strength}: {summary(scores)} {time.monotonic() - began:.0f} s", flush=True)
        print(f"  {_by_language(cases, scores)}", flush=True)
        pairs = [(case.sketch, picture) for case, picture in zip(cases[:48], made, strict=False)]
        grid(pairs, 6).save(arguments.out / f"strength-{strength}.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
