"""The input picture: what is read, and what it is after the preprocessing of the decoder and of CLIP."""

from pathlib import Path

import numpy as np
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageDraw, ImageOps
from transformers import CLIPImageProcessorPil

from scripts.reference.arrays import Arrays

_SIZES = ((64, 64), (72, 104), (100, 60))  # height, width
_CROPS = {"whole": None, "tall": (10, 5, 55, 95), "wide": (0, 60, 140, 90), "small": (20, 20, 34, 30)}


def read_picture(file: Path) -> Image.Image:
    """The picture in `file`, upright, RGB."""
    with Image.open(file) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def draw_sketch(file: Path, width: int = 150, height: int = 110) -> None:
    """A small landscape, lopsided so that a flip or swapped sides show."""
    sketch = Image.linear_gradient("L").resize((width, height))
    sketch = Image.merge("RGB", (sketch, sketch.point(lambda level: level // 2 + 64), ImageOps.invert(sketch)))
    draw = ImageDraw.Draw(sketch)
    draw.ellipse((width // 10, height // 12, width // 3, height // 3), fill=(250, 220, 60))
    draw.polygon([(0, height), (width // 2, height // 3), (width * 3 // 4, height)], fill=(70, 60, 90))
    draw.polygon([(width // 2, height), (width * 4 // 5, height // 2), (width, height)], fill=(40, 110, 50))
    draw.line([(width // 8, height - 5), (width - 5, height // 2 + 5)], fill=(230, 40, 30), width=3)
    sketch.save(file, optimize=True)


def preprocess(sketch: Image.Image, image_processor: CLIPImageProcessorPil) -> Arrays:
    """Crops of the sketch and what becomes of them.

    `picture.<crop>` (h, w, 3) uint8 is the input, where it is not the whole sketch;
    `clip.<crop>` (1, 3, size, size) float32 are CLIP's pixel values;
    `resized.<crop>.<height>x<width>` (height, width, 3) uint8 is the decoder's input before it is scaled to −1…1.
    """
    decoder = VaeImageProcessor(vae_scale_factor=1, resample="bicubic", reducing_gap=1)
    arrays: Arrays = {}
    for crop, box in _CROPS.items():
        picture = sketch.crop(box) if box else sketch
        if box:
            arrays[f"picture.{crop}"] = np.asarray(picture)
        arrays[f"clip.{crop}"] = np.asarray(image_processor(picture, return_tensors="np").pixel_values)
        for height, width in _SIZES if crop == "whole" else _SIZES[-1:]:
            pixels = decoder.preprocess(picture, height=height, width=width)[0].permute(1, 2, 0)
            arrays[f"resized.{crop}.{height}x{width}"] = np.rint((pixels.numpy() + 1) * 127.5).astype(np.uint8)
    return arrays
