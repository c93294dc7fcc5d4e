"""Held-out cases: prompts of combinations that training never saw, each with a grey sketch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from demo.drawing.captions import LANGUAGES, Mention, caption
from demo.drawing.scenes import layers, random_plain, sketched

_ENGLISH_SHARE = 0.7  # the other languages share the rest


@dataclass(frozen=True)
class Case:
    """What to ask, what to start from, and what should come out.

    Attributes:
        prompt: Names the shape and both colours.
        language: Of the prompt: en, ru, de or zh.
        sketch: The scene in greys.
        mask: (height, width): true inside the sketch's shape.
        foreground: Name of the colour asked for inside it.
        background: Name of the colour asked for outside it.
    """

    prompt: str
    language: str
    sketch: Image.Image
    mask: npt.NDArray[np.bool_]
    foreground: str
    background: str


def held_out_cases(count: int, seed: int, width: int = 128, height: int = 128) -> list[Case]:
    """Cases that training never saw, the same ones for the same arguments."""
    rng = np.random.default_rng([seed, count])
    cases = []
    for _ in range(count):
        scene = random_plain(rng, held_out=True)
        language = "en" if rng.random() < _ENGLISH_SHARE else LANGUAGES[1 + int(rng.integers(len(LANGUAGES) - 1))]
        regions = layers(scene, width, height)
        cases.append(
            Case(
                prompt=caption(scene, language, rng, Mention()),
                language=language,
                sketch=Image.fromarray(sketched(regions, rng)),
                mask=regions[1].mask > 0.5,
                foreground=scene.foreground,
                background=scene.background,
            )
        )
    return cases
