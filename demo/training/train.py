"""Trains the demo checkpoint: python -m demo.training.train --work FOLDER [--preset cpu|gpu].

Every stage is seeded and keeps its state in the work folder: the same command goes on where it was stopped.
Stages: towers → multilingual, prior; movq; then unet, which needs them all.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from diffusers import PriorTransformer, UNet2DConditionModel, VQModel
from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP
from torch import nn

from demo.drawing.captions import LANGUAGES, caption, random_mention
from demo.drawing.scenes import random_scene
from demo.training import networks
from demo.training.data import Conditioned, in_batches, pictures, to_unit, tokens
from demo.training.loop import OutOfTimeError, Run
from demo.training.movq import reconstruction_psnr, train_movq
from demo.training.pool import Pool, open_pool
from demo.training.presets import PRESETS, PoolSize, Preset
from demo.training.prior import sampled_embeds, train_prior
from demo.training.tokenizers import token_ids, train_clip_tokenizer, train_xlm_roberta_tokenizer
from demo.training.towers import image_embeds, train_multilingual, train_towers
from demo.training.unet import Nothing, train_unet

_CLIP_VOCABULARY, _XLMR_VOCABULARY = 1600, 1400
_PRIOR_STEPS = 10  # of the prior's samples that the UNet learns from, and the demo's default
_PRIOR_GUIDANCE = (1.0, 2.0, 4.0)
M = TypeVar("M", bound=nn.Module)


class Training:
    """All stages of one run. A network is trained, or read back, when it is first asked for."""

    def __init__(self, preset: Preset, run: Run) -> None:
        self.preset, self.run = preset, run

    def pool(self, size: PoolSize) -> Pool:
        """The pictures of one size."""
        folder = self.run.work / f"pool-{size.width}x{size.height}"
        return open_pool(folder, size.count, size.width, size.height, self.run.seed, os.cpu_count() or 1)

    @cached_property
    def main_pool(self) -> Pool:
        """The pictures of the working size, which the towers and the prior learn from."""
        return self.pool(self.preset.pools[0])

    @cached_property
    def clip_tokenizer(self) -> Path:
        """The folder of the prior's tokenizer."""
        folder = self.run.work / "clip_tokenizer"
        if not (folder / "tokenizer_config.json").exists():
            train_clip_tokenizer((t for texts in self.main_pool.captions for t in texts), folder, _CLIP_VOCABULARY)
        return folder

    @cached_property
    def xlmr_tokenizer(self) -> Path:
        """The folder of the decoder's tokenizer."""
        folder = self.run.work / "xlmr_tokenizer"
        if not (folder / "tokenizer_config.json").exists():
            texts = (t for texts in self.main_pool.captions[:20_000] for t in texts)
            train_xlm_roberta_tokenizer(texts, folder, _XLMR_VOCABULARY)
        return folder

    @cached_property
    def towers(self) -> nn.ModuleDict:
        """CLIP's text and image towers."""

        def teach(both: nn.ModuleDict) -> None:
            shown = [pictures(array, self.run.device) for array in (self.main_pool.target, self.main_pool.other)]
            said = tokens(self.clip_tokenizer, self.main_pool.captions, self.run.device)
            train_towers(both["text"], both["vision"], shown, said, self.preset.towers, self.run)

        text_and_vision = {"text": lambda: networks.clip_text(self.clip_tokenizer), "vision": networks.clip_vision}
        return self._network("towers", lambda: nn.ModuleDict({k: new() for k, new in text_and_vision.items()}), teach)

    @cached_property
    def multilingual(self) -> MultilingualCLIP:
        """The decoder's text encoder."""

        def teach(student: MultilingualCLIP) -> None:
            sentences = _parallel_sentences(self.preset.sentences, self.run.seed)
            theirs = tokens(self.xlmr_tokenizer, sentences, self.run.device)
            english = tokens(self.clip_tokenizer, [texts[:1] for texts in sentences], self.run.device)
            train_multilingual(student, self.towers["text"], theirs, english, self.preset.multilingual, self.run)

        return self._network("multilingual", lambda: networks.multilingual_clip(self.xlmr_tokenizer), teach)

    @cached_property
    def prior(self) -> PriorTransformer:
        """The prior."""

        def teach(model: PriorTransformer) -> None:
            said = tokens(self.clip_tokenizer, self.main_pool.captions, self.run.device)
            embeds = self._picture_embeds(self.main_pool)
            nothing = self._nothing_said(self.clip_tokenizer)
            train_prior(model, self.towers["text"], embeds, said, nothing, self.preset.prior, self.run)

        return self._network("prior", networks.prior, teach)

    @cached_property
    def movq(self) -> VQModel:
        """The autoencoder."""

        def teach(model: VQModel) -> None:
            shown = [pictures(array, self.run.device) for array in (self.main_pool.target, self.main_pool.source)]
            train_movq(model, shown, self.preset.movq, self.run)
            print(f"movq: {reconstruction_psnr(model, shown[0][:64]):.1f} dB", flush=True)

        return self._network("movq", networks.movq, teach)

    @cached_property
    def unet(self) -> UNet2DConditionModel:
        """The denoiser, trained on the frozen rest."""

        def teach(model: UNet2DConditionModel) -> None:
            pools = [self._conditioned(size) for size in self.preset.pools]
            shares = [size.share for size in self.preset.pools]
            ids, mask = self._nothing_said(self.xlmr_tokenizer)
            vision = self.towers["vision"]
            side = vision.config.image_size
            with torch.no_grad():
                zero = vision(torch.zeros(1, 3, side, side, device=self.run.device)).image_embeds
            train_unet(
                model,
                self.multilingual,
                pools,
                shares,
                Nothing(ids, mask, zero),
                self.preset.sketches,
                self.preset.unet,
                self.run,
            )

        return self._network("unet", networks.unet, teach)

    def _network(self, name: str, build: Callable[[], M], teach: Callable[[M], None]) -> M:
        """The trained network: read back where it was finished before."""
        torch.manual_seed(self.run.seed)  # initial weights, whichever stages ran before
        model, path = build().to(self.run.device), self.run.work / f"{name}.final.pt"
        if path.exists():
            model.load_state_dict(torch.load(path, map_location=self.run.device, weights_only=True))
        else:
            teach(model)
            torch.save(model.state_dict(), path)
        return model.eval().requires_grad_(False)

    def _nothing_said(self, tokenizer: Path) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask (1, 77) of the empty prompt."""
        return tuple(torch.tensor(values, device=self.run.device) for values in token_ids(tokenizer, [""]))

    def _picture_embeds(self, pool: Pool) -> torch.Tensor:
        """(n, 2, dim): of each picture and of another layout of it."""
        vision = self.towers["vision"]
        both = [image_embeds(vision, pictures(array, self.run.device), self.run) for array in (pool.target, pool.other)]
        return torch.stack(both, 1)

    def _prior_embeds(self, pool: Pool) -> torch.Tensor:
        """(n, dim): what the prior makes of one caption of each scene."""
        said = tokens(self.clip_tokenizer, pool.captions, self.run.device)
        nothing = self._nothing_said(self.clip_tokenizer)
        generator = self.run.generator("embeds", len(pool.captions))

        def sample(rows: torch.Tensor) -> torch.Tensor:
            ids, mask = said.pick(rows, rows % said.ids.shape[1])
            guidance = _PRIOR_GUIDANCE[int(rows[0]) // 512 % len(_PRIOR_GUIDANCE)]
            return sampled_embeds(
                self.prior, self.towers["text"], ids, mask, nothing, guidance, _PRIOR_STEPS, generator
            )

        return in_batches(sample, len(pool.captions), 512, self.run.device)

    def _conditioned(self, size: PoolSize) -> Conditioned:
        pool, path = self.pool(size), self.run.work / f"latents-{size.width}x{size.height}.pt"
        if not path.exists():
            latents = [self._latents(array) for array in (pool.target, pool.source)]
            embeds = torch.cat([self._picture_embeds(pool), self._prior_embeds(pool)[:, None]], 1)
            torch.save([*latents, embeds], path)
        target, source, embeds = torch.load(path, map_location=self.run.device, weights_only=True)
        return Conditioned(target, source, embeds, tokens(self.xlmr_tokenizer, pool.captions, self.run.device))

    def _latents(self, array: npt.NDArray[np.uint8]) -> torch.Tensor:
        shown = pictures(array, self.run.device)
        movq = self.movq
        return in_batches(
            lambda rows: movq.encode(to_unit(shown[rows])).latents.half(), len(shown), 64, self.run.device
        )


def _parallel_sentences(count: int, seed: int) -> list[list[str]]:
    """One content in every language, English first."""
    rng = np.random.default_rng([seed, count])
    sentences = []
    for _ in range(count):
        scene, mention = random_scene(rng), random_mention(rng)
        sentences.append([caption(scene, language, rng, mention) for language in LANGUAGES])
    sentences[0] = [""] * len(LANGUAGES)
    return sentences


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for pools and states (several GB)")
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--stages", nargs="+", default=["towers", "multilingual", "prior", "movq", "unet"])
    parser.add_argument("--unet-steps", type=int, help="instead of the preset's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop-after-seconds", type=float, default=float("inf"), help="save and stop in time")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the stages asked for; 3 when time ran out first."""
    arguments = _arguments(argv)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    arguments.work.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + arguments.stop_after_seconds
    run = Run(arguments.work, torch.device(arguments.device), arguments.seed, deadline)
    preset = PRESETS[arguments.preset]
    if arguments.unet_steps is not None:
        preset = replace(preset, unet=replace(preset.unet, steps=arguments.unet_steps))
    training = Training(preset, run)
    try:
        for stage in arguments.stages:
            began = time.monotonic()
            getattr(training, stage)
            print(f"{stage}: done after {time.monotonic() - began:.0f} s", flush=True)
    except OutOfTimeError as stopped:
        print(stopped, flush=True)
        return 3
    finally:
        report = arguments.work / f"seconds-{'-'.join(arguments.stages)}.json"
        report.write_text(json.dumps(run.measured, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
