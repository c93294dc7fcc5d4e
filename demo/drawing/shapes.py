"""Shapes as anti-aliased coverage masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Mask = npt.NDArray[np.float32]
Point = tuple[float, float]

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "hexagon", "cross", "diamond", "crescent")
_SUPERSAMPLING = 3  # shapes are drawn this much larger and averaged down: smooth edges


def shape_mask(shape: str, centre_px: Point, radius_px: float, rotation: float, width: int, height: int) -> Mask:
    """Coverage (0…1) of a shape in a picture.

    Args:
        shape: One of SHAPES.
        centre_px: Its centre (x, y).
        radius_px: Half its extent.
        rotation: Turn in radians; a circle and a ring look the same at any.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
    """
    canvas = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING), 0)
    draw = ImageDraw.Draw(canvas)
    x, y = centre_px[0] * _SUPERSAMPLING, centre_px[1] * _SUPERSAMPLING
    radius = radius_px * _SUPERSAMPLING
    if shape in ("circle", "ring", "crescent"):
        _disc(draw, (x, y), radius, 255)
    if shape == "ring":
        _disc(draw, (x, y), radius * 0.5, 0)
    elif shape == "crescent":
        bite = (x + 0.5 * radius * math.cos(rotation), y + 0.5 * radius * math.sin(rotation))
        _disc(draw, bite, radius * 0.8, 0)
    elif shape != "circle":
        draw.polygon([_turned(point, (x, y), radius, rotation) for point in _outline(shape)], fill=255)
    return _averaged(canvas)


def polygon_mask(points_px: Sequence[Point], width: int, height: int) -> Mask:
    """Coverage (0…1) of a polygon given by its corners in pixels."""
    canvas = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING), 0)
    ImageDraw.Draw(canvas).polygon([(x * _SUPERSAMPLING, y * _SUPERSAMPLING) for x, y in points_px], fill=255)
    return _averaged(canvas)


def _averaged(canvas: Image.Image) -> Mask:
    return np.asarray(canvas.reduce(_SUPERSAMPLING), dtype=np.float32) / 255.0


def _disc(draw: ImageDraw.ImageDraw, centre: Point, radius: float, value: int) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=value)


def _turned(point: Point, centre: Point, radius: float, rotation: float) -> Point:
    """A point of the unit outline (y up) in the canvas (y down)."""
    cos, sin = math.cos(rotation), math.sin(rotation)
    x, y = point[0] * cos - point[1] * sin, point[0] * sin + point[1] * cos
    return centre[0] + radius * x, centre[1] - radius * y


def _outline(shape: str) -> list[Point]:
    """Corners of a shape of extent one around the origin, y up."""
    if shape == "square":
        return [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    if shape == "triangle":
        return [(0.0, 1.0), (0.95, -0.75), (-0.95, -0.75)]
    if shape == "diamond":
        return [(0.0, 1.0), (0.68, 0.0), (0.0, -1.0), (-0.68, 0.0)]
    if shape == "hexagon":
        return [(math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)) for k in range(6)]
    if shape == "star":
        turns = [math.pi / 2 + k * math.pi / 5 for k in range(10)]
        return [((1.0, 0.45)[k % 2] * math.cos(a), (1.0, 0.45)[k % 2] * math.sin(a)) for k, a in enumerate(turns)]
    if shape == "cross":
        arm = 0.32
        quarter = [(arm, 1.0), (arm, arm), (1.0, arm)]
        turned = [(y, -x) for x, y in quarter]
        half = quarter + turned
        return half + [(-x, -y) for x, y in half]
    if shape == "heart":
        turns = [k * math.pi / 20 for k in range(40)]
        return [(math.sin(a) ** 3, _heart_height(a)) for a in turns]
    raise ValueError(f"{shape!r} is not a shape: choose one of {', '.join(SHAPES)}")


def _heart_height(angle: float) -> float:
    return (13 * math.cos(angle) - 5 * math.cos(2 * angle) - 2 * math.cos(3 * angle) - math.cos(4 * angle) + 2.5) / 16
