"""The pool of pictures and captions that every stage learns from, drawn once and kept on disk."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from demo.drawing.captions import LANGUAGES, SPOILED, caption
from demo.drawing.scenes import (
    Layer,
    Picture,
    Rng,
    layers,
    moved,
    outlined,
    painted,
    random_scene,
    recoloured,
    sketched,
)

CLIP_SIZE_PX = 64
CAPTION_LANGUAGES = ("en", "en", "en", *LANGUAGES[1:])  # of the captions kept for each scene
_CHUNK = 200
_SPOILED_SHARE = 0.04


@dataclass(frozen=True)
class Pool:
    """Pictures of one size, with their captions.

    Attributes:
        target: (n, height, width, 3) uint8: the coloured pictures.
        source: The same layouts as a grey sketch, a line drawing or in other colours.
        other: (n, 64, 64, 3): another layout of the same things in the same colours, for the image embedding.
        captions: One list for each scene, one entry for each of CAPTION_LANGUAGES.
    """

    target: npt.NDArray[np.uint8]
    source: npt.NDArray[np.uint8]
    other: npt.NDArray[np.uint8]
    captions: list[list[str]]


def open_pool(folder: Path, count: int, width: int, height: int, seed: int, workers: int) -> Pool:
    """The pool in a folder, drawn first if it is not there."""
    done = folder / "captions.json"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, shape in _shapes(count, width, height).items():
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)  # type: ignore[no-untyped-call]  # NumPy's stubs
        starts = range(0, count, _CHUNK)
        with ProcessPoolExecutor(workers) as executor:
            jobs = [
                executor.submit(_draw_chunk, folder, i, min(i + _CHUNK, count), width, height, seed) for i in starts
            ]
            captions = [text for job in jobs for text in job.result()]
        done.write_text(json.dumps(captions, ensure_ascii=False), encoding="utf-8")
    pictures = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("target", "source", "other")}
    return Pool(captions=json.loads(done.read_text(encoding="utf-8")), **pictures)


def _shapes(count: int, width: int, height: int) -> dict[str, tuple[int, ...]]:
    full = (count, height, width, 3)
    return {"target": full, "source": full, "other": (count, CLIP_SIZE_PX, CLIP_SIZE_PX, 3)}


def _draw_chunk(folder: Path, start: int, stop: int, width: int, height: int, seed: int) -> list[list[str]]:
    rng = np.random.default_rng([seed, width, height, start])
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("target", "source", "other")}
    captions = []
    for i in range(start, stop):
        scene = random_scene(rng)
        regions = layers(scene, width, height)
        texts = [caption(scene, language, rng) for language in CAPTION_LANGUAGES]
        target, other = painted(regions, rng), painted(layers(moved(scene, rng), CLIP_SIZE_PX, CLIP_SIZE_PX), rng)
        if rng.random() < _SPOILED_SHARE:
            target, other = _spoiled(target, rng), _spoiled(other, rng)
            texts = [
                text + str(rng.choice(SPOILED[language]))
                for text, language in zip(texts, CAPTION_LANGUAGES, strict=True)
            ]
        arrays["target"][i], arrays["other"][i] = target, other
        arrays["source"][i] = _source(regions, layers(recoloured(scene, rng), width, height), rng)
        captions.append(texts)
    return captions


def _source(regions: list[Layer], in_other_colours: list[Layer], rng: Rng) -> Picture:
    kind = rng.random()
    if kind < 0.1:
        return outlined(regions, rng)
    return painted(in_other_colours, rng) if kind < 0.25 else sketched(regions, rng)


def _spoiled(picture: Picture, rng: Rng) -> Picture:
    """The picture out of focus and grainy: what "blurry" and "low quality" mean here."""
    radius = min(picture.shape[:2]) * rng.uniform(0.02, 0.05)
    blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
    return np.clip(blurred + rng.normal(0.0, rng.uniform(4.0, 16.0), picture.shape), 0, 255).astype(np.uint8)
