"""CLIP's two towers, contrastively, and the multilingual text encoder, distilled from CLIP's."""

from __future__ import annotations

import math

import torch
from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP
from torch import nn
from torch.nn import functional
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from demo.training.data import Tokens, in_batches, to_clip
from demo.training.loop import Run, Stage, train


class _Towers(nn.Module):
    def __init__(self, text: CLIPTextModelWithProjection, vision: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.text, self.vision = text, vision
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))


def train_towers(
    text: CLIPTextModelWithProjection,
    vision: CLIPVisionModelWithProjection,
    pictures: list[torch.Tensor],
    tokens: Tokens,
    stage: Stage,
    run: Run,
) -> None:
    """Text and picture of one scene together, of different scenes apart.

    Args:
        text: Trained in place.
        vision: Trained in place; its projection is then scaled so that embeddings have unit deviation.
        pictures: uint8 (n, h, w, 3): the pictures and other layouts of them.
        tokens: CLIP tokens of the captions.
        stage: Steps and batch.
        run: Work folder and device.
    """
    towers = _Towers(text, vision).to(run.device)
    count, captions = tokens.ids.shape[:2]

    def loss(step: int) -> torch.Tensor:
        generator = run.generator(stage.name, step)
        rows = torch.randint(count, (stage.batch,), generator=generator, device=run.device)
        which = torch.randint(captions, (stage.batch,), generator=generator, device=run.device)
        ids, mask = tokens.pick(rows, which)
        ids = ids[:, : int(mask.sum(1).max())]  # causal: the padding behind the end changes nothing
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.device.type == "cuda"):
            text_embeds = functional.normalize(text(ids).text_embeds.float(), dim=-1)
            image_embeds = functional.normalize(
                vision(to_clip(pictures[step % len(pictures)][rows])).image_embeds.float(), dim=-1
            )
        logits = towers.log_scale.exp().clamp(max=100.0) * text_embeds @ image_embeds.T
        labels = torch.arange(stage.batch, device=run.device)
        return 0.5 * (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels))

    train(stage, towers, loss, run)
    _to_unit_deviation(vision, pictures[0], run)


@torch.no_grad()
def _to_unit_deviation(vision: CLIPVisionModelWithProjection, pictures: torch.Tensor, run: Run) -> None:
    """Contrast fixes only an embedding's direction; the diffusion networks want a length around sqrt(dim)."""
    embeds = image_embeds(vision, pictures[:2048], run)
    vision.visual_projection.weight.div_(embeds.std())


def image_embeds(vision: CLIPVisionModelWithProjection, pictures: torch.Tensor, run: Run) -> torch.Tensor:
    """(n, dim) embeddings of uint8 pictures (n, h, w, 3)."""
    return in_batches(lambda rows: vision(to_clip(pictures[rows])).image_embeds, len(pictures), 512, run.device)


def train_multilingual(
    student: MultilingualCLIP,
    teacher: CLIPTextModelWithProjection,
    student_tokens: Tokens,
    teacher_tokens: Tokens,
    stage: Stage,
    run: Run,
) -> None:
    """The student's embedding of a sentence in any language becomes the teacher's of the same in English.

    Args:
        student: Trained in place.
        teacher: Frozen.
        student_tokens: XLM-R tokens (n, languages, 77) of one content in each language.
        teacher_tokens: CLIP tokens (n, 1, 77) of the same in English.
        stage: Steps and batch.
        run: Work folder and device.
    """
    count, languages = student_tokens.ids.shape[:2]

    def loss(step: int) -> torch.Tensor:
        generator = run.generator(stage.name, step)
        rows = torch.randint(count, (stage.batch,), generator=generator, device=run.device)
        which = torch.randint(languages, (stage.batch,), generator=generator, device=run.device)
        ids, mask = student_tokens.pick(rows, which)
        length = int(mask.sum(1).max())
        english, english_mask = teacher_tokens.pick(rows, torch.zeros_like(which))
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.device.type == "cuda"):
            with torch.no_grad():
                wanted = teacher(english[:, : int(english_mask.sum(1).max())]).text_embeds.float()
            got = student(ids[:, :length], mask[:, :length])[0].float()
        return functional.mse_loss(got, wanted) / wanted.var()

    train(stage, student.to(run.device), loss, run)
