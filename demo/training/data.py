"""The pools as tensors on the training device: pictures, token ids, and what the frozen networks make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from demo.training.pool import CLIP_SIZE_PX
from demo.training.tokenizers import token_ids

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Tokens:
    """ids, mask: (scenes, captions of each, 77)."""

    ids: torch.Tensor
    mask: torch.Tensor

    def pick(self, rows: torch.Tensor, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, 77) int64 ids and mask of one caption for each row."""
        return self.ids[rows, which].long(), self.mask[rows, which].long()


def tokens(tokenizer: Path, captions: Sequence[Sequence[str]], device: torch.device) -> Tokens:
    """The captions' tokens, on the device."""
    ids, mask = token_ids(tokenizer, [text for texts in captions for text in texts])
    shape = (len(captions), len(captions[0]), -1)
    as_tensor = [torch.from_numpy(np.array(values, dtype=np.int16)).reshape(shape).to(device) for values in (ids, mask)]
    return Tokens(*as_tensor)


def pictures(array: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """uint8 (n, h, w, 3) on the device."""
    return torch.from_numpy(np.array(array)).to(device)


def to_unit(batch: torch.Tensor) -> torch.Tensor:
    """uint8 (b, h, w, 3) → float (b, 3, h, w) in -1…1, what MoVQ reads."""
    return batch.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_clip(batch: torch.Tensor) -> torch.Tensor:
    """uint8 (b, h, w, 3) → normalised (b, 3, 64, 64), cut to the middle square: what the image processor does."""
    side = min(batch.shape[1:3])
    top, left = (batch.shape[1] - side) // 2, (batch.shape[2] - side) // 2
    square = batch[:, top : top + side, left : left + side].permute(0, 3, 1, 2).float() / 255.0
    if side != CLIP_SIZE_PX:
        square = functional.interpolate(square, CLIP_SIZE_PX, mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(v, device=batch.device)[None, :, None, None] for v in (_CLIP_MEAN, _CLIP_STD))
    return (square - mean) / std


@torch.no_grad()
def in_batches(
    compute: Callable[[torch.Tensor], torch.Tensor], count: int, batch: int, device: torch.device
) -> torch.Tensor:
    """compute(rows) over all rows, batch by batch, concatenated."""
    rows = torch.arange(count, device=device)
    return torch.cat([compute(part) for part in rows.split(batch)])


@dataclass(frozen=True)
class Conditioned:
    """One pool as the UNet's training sees it.

    Attributes:
        target: (n, 4, h, w): latents of the coloured pictures.
        source: (n, 4, h, w): latents of the sketches.
        embeds: (n, 3, dim): image embeddings of the picture, of another layout of it, and from the prior.
        tokens: Of the captions.
    """

    target: torch.Tensor
    source: torch.Tensor
    embeds: torch.Tensor
    tokens: Tokens
