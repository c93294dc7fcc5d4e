"""Pictures in and out: decoding, fitting to a size, MoVQ's and CLIP's pixel formats."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky.clip_image import ClipImageConfig, clip_pixels
from kandinsky.errors import ConfigError, InputError
from kandinsky.images import OutputFormat, ResizeMode, fit_image, read_image, to_image, to_pixels, write_image
from tests.kandinsky.models import Array, Reference

ORIENTATION = 0x0112


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def refusal(data: bytes, max_pixels: int = 10_000) -> str:
    with pytest.raises(InputError) as caught:
        read_image(data, max_pixels, "init_image")
    assert caught.value.field == "init_image"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("file_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_a_lossless_file_is_read_exactly(file_format: str, options: dict[str, Any]) -> None:
    image = noise(20, 13)
    np.testing.assert_array_equal(read_image(encoded(image, file_format, **options), 1000), image)


def test_a_jpeg_file_is_read() -> None:
    grey = Image.new("RGB", (20, 13), (90, 90, 90))
    assert np.abs(np.asarray(read_image(encoded(grey, "JPEG"), 1000), int) - 90).max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    image = Image.new("I;16", (5, 4), 300) if mode == "I;16" else noise(5, 4).convert(mode)
    read = read_image(encoded(image, "PNG"), 1000)
    assert (read.mode, read.size) == ("RGB", (5, 4))


def test_transparency_is_dropped_not_blended() -> None:
    image = Image.new("RGBA", (3, 3), (200, 10, 30, 0))
    assert read_image(encoded(image, "PNG"), 1000).getpixel((1, 1)) == (200, 10, 30)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: np.rot90(p, -1)),
        (7, lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda p: np.rot90(p, 1)),
    ],
)
def test_the_exif_orientation_is_applied(orientation: int, turned: Any) -> None:
    image, exif = noise(7, 5), Image.Exif()
    exif[ORIENTATION] = orientation
    read = read_image(encoded(image, "PNG", exif=exif), 1000)
    np.testing.assert_array_equal(read, turned(np.asarray(image)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"\x89PNG\r\n\x1a\n",
        encoded(noise(9, 9), "PNG")[:150],
        encoded(noise(64, 64), "JPEG")[:300],
        encoded(noise(64, 64), "WEBP")[:300],
        encoded(noise(9, 9), "GIF"),
        encoded(noise(9, 9), "BMP"),
        encoded(noise(9, 9), "TIFF"),
    ],
    ids=["empty", "text", "signature only", "cut PNG", "cut JPEG", "cut WebP", "GIF", "BMP", "TIFF"],
)
def test_what_is_no_whole_png_jpeg_or_webp_is_refused(data: bytes) -> None:
    assert "is not a PNG, JPEG or WebP file" in refusal(data)


def test_a_picture_with_too_many_pixels_is_refused() -> None:
    data = encoded(noise(100, 101), "PNG")
    assert "100 × 101" in refusal(data, max_pixels=10_099)
    assert read_image(data, max_pixels=10_100).size == (100, 101)


@pytest.mark.parametrize("side", [10_000, 13_000, 50_000], ids=["silent", "Pillow warns", "Pillow refuses"])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    assert "pixels" in refusal(png_header(side, side), max_pixels=50_000_000)


@pytest.mark.parametrize("size", [(257, 1), (1, 257), (20_000, 78)])
def test_a_line_of_pixels_is_refused(size: tuple[int, int]) -> None:
    assert f"{size[0]} × {size[1]}" in refusal(encoded(noise(*size), "PNG"), max_pixels=10**7)
    assert "256 times" in refusal(png_header(*size), max_pixels=10**7)  # before any pixel is decoded


@pytest.mark.parametrize("size", [(256, 1), (1, 256), (20_000, 79)])
def test_a_narrow_picture_is_read(size: tuple[int, int]) -> None:
    assert read_image(encoded(noise(*size), "PNG"), 10**7).size == size


@pytest.mark.parametrize("output_format", [OutputFormat.PNG, OutputFormat.WEBP])
def test_png_and_webp_are_written_without_loss(output_format: OutputFormat) -> None:
    image = noise(21, 34)
    np.testing.assert_array_equal(read_image(write_image(image, output_format), 1000), image)


def test_jpeg_is_written_in_good_quality() -> None:
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (1, 48, 3)))
    data = write_image(ramp, OutputFormat.JPEG)
    assert data[:3] == b"\xff\xd8\xff"
    assert np.abs(np.asarray(read_image(data, 10_000), int) - np.asarray(ramp, int)).max() <= 4


def crops(reference: Reference) -> dict[str, Image.Image]:
    arrays = reference.arrays("preprocessing")
    pictures = {key.split(".")[1]: Image.fromarray(value) for key, value in arrays.items() if key.startswith("picture")}
    return pictures | {"whole": reference.picture()}


def test_stretching_is_the_pipelines_resize(reference: Reference) -> None:
    pictures = crops(reference)
    expected = {key: value for key, value in reference.arrays("preprocessing").items() if key.startswith("resized.")}
    assert len(expected) >= 6
    for key, value in expected.items():
        _, crop, size = key.split(".")
        height, width = map(int, size.split("x"))
        np.testing.assert_array_equal(fit_image(pictures[crop], width, height, ResizeMode.STRETCH), value, key)


def test_clip_sees_what_transformers_prepares(reference: Reference) -> None:
    config = ClipImageConfig.from_dict(reference.json("prior/image_processor/preprocessor_config.json"))
    for name, picture in crops(reference).items():
        expected = reference.arrays("preprocessing")[f"clip.{name}"]
        np.testing.assert_allclose(clip_pixels(picture, config), expected, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("mode", list(ResizeMode))
@pytest.mark.parametrize("size", [(64, 64), (1, 200), (200, 1), (33, 70)])
@pytest.mark.parametrize("source", [(50, 50), (1, 90), (300, 7)])
def test_every_way_of_fitting_gives_the_asked_size(
    source: tuple[int, int], size: tuple[int, int], mode: ResizeMode
) -> None:
    fitted = fit_image(noise(*source), *size, mode)
    assert (fitted.size, fitted.mode) == (size, "RGB")


def halves() -> Image.Image:
    """Twice as wide as high: left red, right blue, with a narrow green edge on both sides."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40, 0], pixels[:, 40:, 2] = 255, 255
    pixels[:, :4], pixels[:, -4:] = (0, 255, 0), (0, 255, 0)
    return Image.fromarray(pixels)


def colour(image: Image.Image, x: int, y: int) -> str:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return ("red", "green", "blue")[int(np.argmax(pixel))]


def test_fit_shows_the_whole_picture_and_repeats_its_edges() -> None:
    fitted = fit_image(halves(), 40, 40, ResizeMode.FIT)
    pixels: Array = np.asarray(fitted)
    assert [colour(fitted, x, 20) for x in (0, 10, 30, 39)] == ["green", "red", "blue", "green"]
    np.testing.assert_array_equal(pixels[:10], np.repeat(pixels[10:11], 10, 0))
    np.testing.assert_array_equal(pixels[30:], np.repeat(pixels[29:30], 10, 0))


def test_crop_fills_the_size_with_the_middle() -> None:
    cropped = fit_image(halves(), 40, 40, ResizeMode.CROP)
    np.testing.assert_array_equal(cropped, halves().crop((20, 0, 60, 40)))


@pytest.mark.parametrize("mode", list(ResizeMode))
def test_no_way_of_fitting_makes_anything_larger_than_the_picture_and_the_size(
    mode: ResizeMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    resize, made = Image.Image.resize, []
    monkeypatch.setattr(Image.Image, "resize", lambda *given, **named: made.append(given[1]) or resize(*given, **named))
    fit_image(noise(2, 500), 600, 40, mode)
    assert made
    assert all(width <= 600 and height <= 500 for width, height in made)


def test_stretch_shows_the_whole_picture_out_of_proportion() -> None:
    stretched = fit_image(halves(), 40, 40, ResizeMode.STRETCH)
    assert [colour(stretched, x, y) for x, y in ((0, 0), (10, 39), (30, 0), (39, 39))] == "green red blue green".split()


def test_every_level_survives_the_way_to_movq_and_back() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, 2))
    pixels = to_pixels(ramp)
    assert (pixels.dtype, pixels.shape) == (np.float32, (1, 3, 16, 16))
    assert (pixels.min(), pixels.max()) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_image(pixels[0]), ramp)


def test_channels_and_axes_keep_their_places() -> None:
    image = noise(6, 4)
    pixels = to_pixels(image)
    assert pixels.shape == (1, 3, 4, 6)
    assert image.getpixel((5, 1)) == tuple(round((float(value) + 1) / 2 * 255) for value in pixels[0, :, 1, 5])


def test_what_movq_draws_beyond_the_range_is_clamped_and_the_rest_rounded() -> None:
    values = np.array([-7.0, -1.0, 0.0, 0.0041, 1.0, 1.5], np.float32)
    image = to_image(np.tile(values, (3, 1, 1)))
    np.testing.assert_array_equal(np.asarray(image)[0, :, 0], [0, 0, 128, 128, 255, 255])


def test_a_crop_larger_than_the_picture_is_black_around_it() -> None:
    config = ClipImageConfig(crop_size=12, size={"shortest_edge": 6}, image_mean=(0.5,) * 3, image_std=(0.5,) * 3)
    pixels = clip_pixels(Image.new("RGB", (6, 6), "white"), config)
    expected = np.full((1, 3, 12, 12), -1.0)
    expected[:, :, 3:9, 3:9] = 1.0
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resample", 2),
        ("do_resize", False),
        ("do_center_crop", False),
        ("do_pad", True),
        ("size", {"height": 224, "width": 224}),
        ("crop_size", {"shortest_edge": 224}),
        ("image_mean", "grey"),
        ("sharpen", 0.5),
    ],
)
def test_an_image_processor_that_is_not_clips_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        ClipImageConfig.from_dict({key: value})


def test_the_image_processors_defaults_are_clips() -> None:
    config = ClipImageConfig.from_dict({})
    assert (config.shortest_edge, config.crop) == (224, (224, 224))
