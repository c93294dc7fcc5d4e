"""What both sides compute: parts of Kandinsky 2.1, and their inputs, drawn from a seed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]

TOKENS = 77


@dataclass(frozen=True)
class Case:
    """One network at one size.

    Attributes:
        part: which network: unet, movq_encode, movq_decode, prior, clip_text or xlm_roberta. In unet our side has the
            keys and values of the text from before, as every step but a request's first; diffusers computes them at
            every step. In unet_anew ours does so, too.
        batch: evaluations at once.
        side_px: of the picture, where there is one.
    """

    part: str
    batch: int
    side_px: int = 0

    @classmethod
    def parse(cls, text: str) -> "Case":
        """A case as `str` writes it."""
        part, batch, side_px = text.split()
        return cls(part, int(batch), int(side_px))

    def __str__(self) -> str:
        return f"{self.part} {self.batch} {self.side_px}"


def inputs(case: Case, checkpoint: Path) -> Arrays:
    """A case's inputs, by the names that both sides know."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return random.standard_normal((case.batch, *shape)).astype(np.float32)

    movq = _config(checkpoint / "decoder" / "movq")
    side = case.side_px // 2 ** (len(movq["block_out_channels"]) - 1)
    match case.part:
        case "unet" | "unet_anew":
            unet = _config(checkpoint / "decoder" / "unet")
            return {
                "sample": normal(unet["in_channels"], side, side),
                "timestep": np.full(case.batch, 500.0, np.float32),
                "hidden_states": normal(TOKENS, unet["encoder_hid_dim"]),
                "text_embeds": normal(unet["cross_attention_dim"]),
                "image_embeds": normal(unet["cross_attention_dim"]),
            }
        case "movq_encode":
            return {"image": normal(movq["in_channels"], case.side_px, case.side_px)}
        case "movq_decode":
            return {"latents": normal(movq["latent_channels"], side, side)}
        case "prior":
            width = _config(checkpoint / "prior" / "prior")["embedding_dim"]
            return {
                "latents": normal(width),
                "timestep": np.full(case.batch, 500.0, np.float32),
                "text_embeds": normal(width),
                "hidden_states": normal(TOKENS, width),
                "mask": np.ones((case.batch, TOKENS), np.int32),
            }
    folder = {"clip_text": "prior", "xlm_roberta": "decoder"}[case.part]
    words = _config(checkpoint / folder / "text_encoder")["vocab_size"]
    ids = random.integers(5, words - 1, (case.batch, TOKENS)).astype(np.int32)
    return {"ids": ids, "mask": np.ones((case.batch, TOKENS), np.int32)}


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config
