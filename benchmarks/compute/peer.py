"""The peer's side: diffusers on torch, in float32, with as many threads as there are cores."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from diffusers import PriorTransformer, UNet2DConditionModel, VQModel
from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP
from transformers import CLIPTextModelWithProjection

from benchmarks.compute.cases import Case, inputs

Run = Callable[[], npt.NDArray[Any]]


class Peer:
    """The same checkpoint, loaded by diffusers and transformers, each network when it is first asked for."""

    def __init__(self, checkpoint: Path) -> None:
        torch.set_num_threads(os.cpu_count() or 1)
        self._checkpoint = checkpoint

    @cached_property
    def _unet(self) -> Any:
        return UNet2DConditionModel.from_pretrained(self._checkpoint / "decoder" / "unet").eval()

    @cached_property
    def _movq(self) -> Any:
        return VQModel.from_pretrained(self._checkpoint / "decoder" / "movq").eval()

    @cached_property
    def _xlm_roberta(self) -> Any:
        return MultilingualCLIP.from_pretrained(self._checkpoint / "decoder" / "text_encoder").eval()

    @cached_property
    def _prior(self) -> Any:
        return PriorTransformer.from_pretrained(self._checkpoint / "prior" / "prior").eval()

    @cached_property
    def _clip_text(self) -> Any:
        return CLIPTextModelWithProjection.from_pretrained(self._checkpoint / "prior" / "text_encoder").eval()

    def run(self, case: Case) -> Run:
        """The case as a call that computes it."""
        tensors = {name: torch.from_numpy(array) for name, array in inputs(case, self._checkpoint).items()}

        def compute() -> npt.NDArray[Any]:
            with torch.inference_mode():
                array: npt.NDArray[Any] = self._compute(case.part, tensors).numpy()
            return array

        return compute

    def _compute(self, part: str, given: dict[str, torch.Tensor]) -> torch.Tensor:
        match part:
            case "unet" | "unet_anew":
                added = {name: given[name] for name in ("text_embeds", "image_embeds")}
                return self._unet(
                    given["sample"], given["timestep"], given["hidden_states"], added_cond_kwargs=added
                ).sample
            case "prior":
                return self._prior(
                    given["latents"],
                    given["timestep"],
                    given["text_embeds"],
                    given["hidden_states"],
                    given["mask"].bool(),
                ).predicted_image_embedding
            case "clip_text":
                return self._clip_text(given["ids"].long()).text_embeds
            case "xlm_roberta":
                return self._xlm_roberta(input_ids=given["ids"].long(), attention_mask=given["mask"].long())[0]
            case "movq_encode":
                return self._movq.encode(given["image"]).latents
        return self._movq.decode(given["latents"], force_not_quantize=True).sample
