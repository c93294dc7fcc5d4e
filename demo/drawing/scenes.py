"""Scenes: what is in a picture, and the picture itself, in colour or as a grey sketch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from demo.drawing.held_out import is_held_out
from demo.drawing.palette import BY_NAME, NAMES
from demo.drawing.shapes import SHAPES, Mask, polygon_mask, shape_mask

Rng: TypeAlias = np.random.Generator
Picture: TypeAlias = npt.NDArray[np.uint8]  # (height, width, 3)
Rgb: TypeAlias = npt.NDArray[np.float32]

_SUNS = ("yellow", "orange", "red", "white")
_SKIES = ("light blue", "blue", "blue", "orange", "pink", "purple", "black", "grey", "turquoise", "white", "red")
_GROUNDS = ("green", "green", "yellow", "white", "brown", "grey", "blue", "orange")
_HILLS = ("green", "brown", "grey", "purple", "blue", "white", "red")


@dataclass(frozen=True)
class Plain:
    """One shape on a plain background. x, y: share of the width and height; radius: share of the shorter side."""

    shape: str
    foreground: str
    background: str
    x: float
    y: float
    radius: float
    rotation: float


@dataclass(frozen=True)
class Landscape:
    """Sky, ground and, where not None, hills, a sun, and a house or a tree of the named colours."""

    sky: str
    ground: str
    hills: str | None
    sun: str | None
    house: str | None
    tree: str | None
    horizon: float
    x: float
    sun_x: float
    ridge: tuple[float, ...]


Scene: TypeAlias = Plain | Landscape


@dataclass(frozen=True)
class Layer:
    """A region painted in one colour. mask: (height, width), 0…1."""

    colour: str
    mask: Mask


def random_plain(rng: Rng, held_out: bool = False) -> Plain:
    """A plain scene; held_out tells from which of the two disjoint sets of combinations."""
    while True:
        shape = SHAPES[rng.integers(len(SHAPES))]
        foreground, background = (NAMES[i] for i in rng.choice(len(NAMES), 2, replace=False))
        if is_held_out(shape, foreground, background) == held_out:
            return _moved_plain(Plain(shape, foreground, background, 0.5, 0.5, 0.3, 0.0), rng)


def random_landscape(rng: Rng) -> Landscape:
    """A landscape; neighbours never share a colour, so each can be told apart."""
    sky = _pick(rng, _SKIES)
    ground = _pick(rng, _GROUNDS, sky)
    hills = _pick(rng, _HILLS, sky, ground) if rng.random() < 0.6 else None
    subject = rng.random()
    behind = (sky, ground) if hills is None else (sky, ground, hills)
    house = _pick(rng, NAMES, *behind) if subject < 0.45 else None
    tree = _pick(rng, ("green", "green", "orange", "pink", "white", "red"), *behind) if subject > 0.6 else None
    sun = _pick(rng, _SUNS, sky) if rng.random() < 0.65 else None
    return _moved_landscape(Landscape(sky, ground, hills, sun, house, tree, 0.65, 0.5, 0.2, ()), rng)


def random_scene(rng: Rng) -> Scene:
    """A scene from the training set."""
    return random_landscape(rng) if rng.random() < 0.3 else random_plain(rng)


def moved(scene: Scene, rng: Rng) -> Scene:
    """The same things in the same colours, laid out anew."""
    return _moved_landscape(scene, rng) if isinstance(scene, Landscape) else _moved_plain(scene, rng)


def _moved_landscape(scene: Landscape, rng: Rng) -> Landscape:
    right = bool(rng.random() < 0.5)
    x = rng.uniform(0.25, 0.45) + (0.3 if right else 0.0)
    sun_x = rng.uniform(0.12, 0.3) + (0.0 if right else 0.6)
    ridge = tuple(float(v) for v in rng.uniform(0.05, 0.3, 6))
    return replace(scene, horizon=float(rng.uniform(0.55, 0.75)), x=float(x), sun_x=float(sun_x), ridge=ridge)


def _moved_plain(scene: Plain, rng: Rng) -> Plain:
    radius = float(rng.uniform(0.16, 0.42))
    x, y = (float(0.5 + (0.5 - radius) * rng.uniform(-0.9, 0.9)) for _ in range(2))
    return replace(scene, x=x, y=y, radius=radius, rotation=float(rng.normal(0.0, 0.15)))


def recoloured(scene: Scene, rng: Rng) -> Scene:
    """The same layout in other colours."""
    if isinstance(scene, Plain):
        other = random_plain(rng)
        return replace(scene, foreground=other.foreground, background=other.background)
    other_landscape = random_landscape(rng)
    return replace(
        scene,
        sky=other_landscape.sky,
        ground=other_landscape.ground,
        hills=None if scene.hills is None else _pick(rng, _HILLS),
        sun=None if scene.sun is None else _pick(rng, _SUNS),
        house=None if scene.house is None else _pick(rng, NAMES),
        tree=None if scene.tree is None else _pick(rng, NAMES),
    )


def layers(scene: Scene, width: int, height: int) -> list[Layer]:
    """The scene's regions, back to front; the first covers the picture."""
    if isinstance(scene, Plain):
        centre = (scene.x * width, scene.y * height)
        mask = shape_mask(scene.shape, centre, scene.radius * min(width, height), scene.rotation, width, height)
        return [Layer(scene.background, _everywhere(width, height)), Layer(scene.foreground, mask)]
    return _landscape_layers(scene, width, height)


def painted(regions: list[Layer], rng: Rng) -> Picture:
    """The picture in colour, each region lightly shaded."""
    return _composite([(BY_NAME[layer.colour].rgb, layer.mask) for layer in regions], rng)


def sketched(regions: list[Layer], rng: Rng) -> Picture:
    """The picture as a grey sketch: every region in one grey, neighbours at least 45 levels apart."""
    greys = [int(rng.integers(190, 251)) if rng.random() < 0.8 else int(rng.integers(20, 100))]
    for _ in regions[1:]:
        choices = [g for g in range(40, 246) if abs(g - greys[-1]) >= 45 and abs(g - greys[0]) >= 45]
        greys.append(choices[rng.integers(len(choices))])
    return _composite([((g, g, g), layer.mask) for g, layer in zip(greys, regions, strict=True)], rng, shading=0.3)


def outlined(regions: list[Layer], rng: Rng) -> Picture:
    """The picture as a line drawing: dark lines on a light ground where regions meet."""
    height, width = regions[0].mask.shape
    label = np.zeros((height, width), dtype=np.int32)
    for index, layer in enumerate(regions):
        label[layer.mask > 0.5] = index
    reach = max(1, round(min(width, height) * rng.uniform(0.008, 0.02)))
    lines = np.zeros((height, width), dtype=np.float32)
    lines[reach:] = label[reach:] != label[:-reach]
    lines[:, reach:] = np.maximum(lines[:, reach:], label[:, reach:] != label[:, :-reach])
    ground, line = int(rng.integers(220, 256)), int(rng.integers(0, 90))
    fills = [((ground, ground, ground), regions[0].mask), ((line, line, line), lines)]
    return _composite(fills, rng, shading=0.3)


def _landscape_layers(scene: Landscape, width: int, height: int) -> list[Layer]:
    horizon, unit = scene.horizon * height, min(width, height)
    parts = [Layer(scene.sky, _everywhere(width, height))]
    if scene.sun is not None:
        sun = shape_mask("circle", (scene.sun_x * width, 0.2 * height), 0.1 * unit, 0.0, width, height)
        parts.append(Layer(scene.sun, sun))
    if scene.hills is not None:
        step = width / (len(scene.ridge) - 1)
        ridge = [(i * step, horizon - rise * height) for i, rise in enumerate(scene.ridge)]
        parts.append(Layer(scene.hills, polygon_mask([*ridge, (width, height), (0, height)], width, height)))
    ground = [(0, horizon), (width, horizon), (width, height), (0, height)]
    parts.append(Layer(scene.ground, polygon_mask(ground, width, height)))
    x, base = scene.x * width, horizon + 0.12 * unit
    if scene.house is not None:
        parts += _house(scene.house, x, base, 0.16 * unit, width, height)
    if scene.tree is not None:
        parts += _tree(scene.tree, x, base, 0.17 * unit, width, height)
    return parts


def _house(colour: str, x: float, base: float, half: float, width: int, height: int) -> list[Layer]:
    wall = [(x - half, base), (x + half, base), (x + half, base - 1.4 * half), (x - half, base - 1.4 * half)]
    roof = [(x - 1.25 * half, base - 1.4 * half), (x + 1.25 * half, base - 1.4 * half), (x, base - 2.6 * half)]
    roof_colour = "brown" if colour != "brown" else "red"
    return [Layer(colour, polygon_mask(wall, width, height)), Layer(roof_colour, polygon_mask(roof, width, height))]


def _tree(colour: str, x: float, base: float, half: float, width: int, height: int) -> list[Layer]:
    trunk = [
        (x - 0.2 * half, base),
        (x + 0.2 * half, base),
        (x + 0.2 * half, base - half),
        (x - 0.2 * half, base - half),
    ]
    crown = shape_mask("circle", (x, base - 1.8 * half), half, 0.0, width, height)
    return [Layer("brown", polygon_mask(trunk, width, height)), Layer(colour, crown)]


def _everywhere(width: int, height: int) -> Mask:
    return np.ones((height, width), dtype=np.float32)


def _composite(fills: list[tuple[tuple[int, int, int], Mask]], rng: Rng, shading: float = 1.0) -> Picture:
    height, width = fills[0][1].shape
    across = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :, None]
    down = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None, None]
    picture: Rgb = np.zeros((height, width, 3), dtype=np.float32)
    for rgb, mask in fills:
        tint = rng.normal(0.0, 4.0, 3).astype(np.float32)
        slope = rng.normal(0.0, 8.0, 2).astype(np.float32)
        fill = np.array(rgb, dtype=np.float32) + shading * (tint + slope[0] * across + slope[1] * down)
        picture += mask[:, :, None] * (fill - picture)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _pick(rng: Rng, names: tuple[str, ...], *but: str) -> str:
    left = [name for name in names if name not in but]
    return left[rng.integers(len(left))]
