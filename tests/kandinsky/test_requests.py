"""What a request may say: sizes, seeds and scales that work, and values that are refused with what is allowed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky.errors import DeviceError, InputError
from kandinsky.images import ResizeMode
from kandinsky.img2img import check_request, working_size_px
from kandinsky.loading import Runtime
from kandinsky.ops import use_device
from kandinsky.pipeline import ImageEmbeddings, img2img, interpolate, prior
from kandinsky.schedulers.img2img import SchedulerType
from tests.kandinsky.models import Load, Models, request, start_from

NAN, INFINITY = float("nan"), float("inf")
NEGATIVES = ("negative_prompt", "negative_prior_prompt")


@pytest.fixture
def embeds(tiny: Models) -> ImageEmbeddings:
    values = request(tiny.decoder)
    return ImageEmbeddings(values.image_embeds, values.negative_image_embeds, {})


@pytest.fixture
def draw(tiny: Models, embeds: ImageEmbeddings) -> Callable[..., list[Image.Image]]:
    """img2img on the tiny checkpoint with two steps, at 16 × 16 px unless asked otherwise."""

    def run(**values: Any) -> list[Image.Image]:
        # One step, at timestep 0, would change nothing: this checkpoint's DDIM ends at that timestep's noise level.
        defaults: dict[str, Any] = {"seed": 0, "width": 16, "height": 16, "steps": 2, "strength": 1.0}
        return img2img(tiny.decoder, tiny.reference.picture(), embeds, "a cat", **(defaults | values))

    return run


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (30, 5), (1, 1), (20, 12)])
def test_a_result_has_exactly_the_asked_size(size: tuple[int, int], draw: Callable[..., list[Image.Image]]) -> None:
    width, height = size
    (picture,) = draw(width=width, height=height)
    assert (picture.size, picture.mode) == (size, "RGB")


@pytest.mark.parametrize(
    ("checkpoint", "asked", "working"),
    [("tiny", (64, 64), (64, 64)), ("tiny", (65, 3), (68, 4)), ("variant", (16, 17), (16, 32))],
)
def test_the_working_size_is_the_next_multiple_of_the_granularity(
    checkpoint: str, asked: tuple[int, int], working: tuple[int, int], load: Load
) -> None:
    assert working_size_px(load(checkpoint, False).decoder, *asked) == working


def test_width_and_height_are_not_swapped(tiny: Models) -> None:
    (row,) = start_from(tiny.decoder, request(tiny.decoder, width=24, height=8), tiny.reference.picture()).rows
    assert row.latents.shape == (1, 4, 8 // 2, 24 // 2)


@pytest.mark.parametrize("mode", list(ResizeMode))
def test_each_way_of_fitting_starts_from_other_latents_of_the_same_size(mode: ResizeMode, tiny: Models) -> None:
    def latents(resize_mode: ResizeMode) -> Any:
        asked = request(tiny.decoder, width=24, height=8, resize_mode=resize_mode)
        return start_from(tiny.decoder, asked, tiny.reference.picture()).rows[0].latents.asnumpy()

    others = [other for other in ResizeMode if other is not mode]
    assert latents(mode).shape == (1, 4, 4, 12)
    assert all(np.abs(latents(mode) - latents(other)).max() > 1e-3 for other in others)


def test_the_exif_orientation_of_the_picture_is_applied(tiny: Models, embeds: ImageEmbeddings) -> None:
    upright = tiny.reference.picture()
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    values: dict[str, Any] = {"seed": 0, "width": 16, "height": 16, "steps": 2, "strength": 1.0}
    pictures = [img2img(tiny.decoder, image, embeds, "a cat", **values)[0] for image in (upright, turned)]
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("scheduler", list(SchedulerType))
def test_every_scheduler_runs_to_the_end_and_follows_the_seed(
    scheduler: SchedulerType, draw: Callable[..., list[Image.Image]]
) -> None:
    values = {"scheduler": scheduler, "steps": 5, "strength": 0.8}
    first, again, other = (np.asarray(draw(seed=seed, **values)[0], int) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.5


def test_the_default_scheduler_is_the_checkpoints(draw: Callable[..., list[Image.Image]]) -> None:
    np.testing.assert_array_equal(draw()[0], draw(scheduler=SchedulerType.DDIM)[0])


def test_guidance_zero_is_a_scale_and_runs_without_the_unconditional_half(
    draw: Callable[..., list[Image.Image]],
) -> None:
    zero, one, guided = (np.asarray(draw(guidance_scale=scale)[0], int) for scale in (0.0, 1.0, 7.0))
    np.testing.assert_array_equal(zero, one)
    assert (one != guided).any()


def test_the_negative_prompt_matters_under_guidance_only(draw: Callable[..., list[Image.Image]]) -> None:
    for scale, same in ((1.0, True), (7.0, False)):
        pair = [np.asarray(draw(guidance_scale=scale, negative_prompt=text)[0], int) for text in ("", "a dog")]
        assert bool((pair[0] == pair[1]).all()) is same


def test_the_cut_end_of_a_long_prompt_is_reported(tiny: Models) -> None:
    long = "word " * 200
    started = start_from(tiny.decoder, request(tiny.decoder, prompt=long), tiny.reference.picture())
    assert set(started.truncated) == {"prompt"}
    assert long.strip().endswith(started.truncated["prompt"])
    unguided = request(tiny.decoder, negative_prompt=long, guidance_scale=1.0)
    assert start_from(tiny.decoder, unguided, tiny.reference.picture()).truncated == {}
    assert set(prior(tiny.prior, "a cat", negative_prompt=long, seed=0, steps=2).truncated) == {"negative_prompt"}


def test_the_cut_ends_of_a_mix_are_reported(tiny: Models) -> None:
    texts = {
        field: f"{word} " * 200 for field, word in zip(("items[1]", *NEGATIVES), ("cat", "dog", "fog"), strict=True)
    }
    items: list[tuple[str | Image.Image, float]] = [("short", 0.5), (texts["items[1]"], 0.5)]
    cut = interpolate(tiny.prior, items, seed=0, steps=2, **{name: texts[name] for name in NEGATIVES}).truncated
    assert set(cut) == set(texts)
    for field, text in texts.items():
        assert text.strip().endswith(cut[field])
    alone = interpolate(
        tiny.prior, [("short", 1.0)], seed=0, steps=2, guidance_scale=1.0, negative_prior_prompt=texts[NEGATIVES[1]]
    )
    assert set(alone.truncated) == {NEGATIVES[1]}


def test_prior_embeddings_of_one_request_are_those_of_the_following_seeds(tiny: Models) -> None:
    several = prior(tiny.prior, "a cat", seed=6, steps=3, num_embeddings=2)
    for index in range(2):
        own = prior(tiny.prior, "a cat", seed=6 + index, steps=3)
        np.testing.assert_allclose(several.image_embeds[index], own.image_embeds[0], rtol=0, atol=1e-5)
    assert several.negative_image_embeds.shape == several.image_embeds.shape


def test_an_empty_negative_prompt_is_a_negative_prompt_for_the_prior(tiny: Models) -> None:
    none, empty = (prior(tiny.prior, "a cat", seed=0, steps=2, negative_prompt=text) for text in (None, ""))
    np.testing.assert_array_equal(none.negative_image_embeds, tiny.prior.zero_embedding)
    assert np.abs(empty.negative_image_embeds - none.negative_image_embeds).max() > 1e-3


def test_equal_weights_of_one_text_mix_to_twice_its_embedding(tiny: Models) -> None:
    picture = tiny.reference.picture()
    one, two = (interpolate(tiny.prior, [(picture, 0.5)] * count, seed=0, steps=2) for count in (1, 2))
    np.testing.assert_allclose(two.image_embeds, 2 * one.image_embeds, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "field", "allowed"),
    [
        ({"strength": 0.0}, "strength", "0.002 … 1"),
        ({"strength": 1.2}, "strength", "0.002 … 1"),
        ({"strength": NAN}, "strength", "0.002 … 1"),
        ({"strength": 0.1, "steps": 4}, "strength", "num_inference_steps ≥ 10 or strength ≥ 0.25"),
        ({"steps": 0}, "num_inference_steps", "1 … 1000"),
        ({"steps": 1001}, "num_inference_steps", "1 … 1000"),
        ({"guidance_scale": NAN}, "guidance_scale", "a finite number of 0 or more"),
        ({"guidance_scale": INFINITY}, "guidance_scale", "a finite number of 0 or more"),
        ({"guidance_scale": -0.5}, "guidance_scale", "a finite number of 0 or more"),
        ({"guidance_scale": 1000.5}, "guidance_scale", "1000.5 is above 1000"),
        ({"seed": -1}, "seed", f"0 … {2**64 - 1}"),
        ({"seed": 2**64}, "seed", f"0 … {2**64 - 1}"),
        ({"seed": 2**64 - 1, "num_images": 2}, "seed", f"0 … {2**64 - 2}"),
        ({"num_images": 0}, "num_images", "1 or more"),
        ({"width": 0}, "width", "1 or more"),
        ({"height": -8}, "height", "1 or more"),
        ({"image_embeds": np.zeros((1, 31), np.float32)}, "image_embeds", "(1, 32) is needed"),
        ({"image_embeds": np.zeros(32, np.float32)}, "image_embeds", "(1, 32) is needed"),
        ({"image_embeds": np.zeros((2, 32), np.float32)}, "image_embeds", "(1, 32) is needed"),
        (
            {"negative_image_embeds": np.zeros((2, 32), np.float32), "num_images": 3},
            "negative_image_embeds",
            "(1, 32) or (3, 32) is needed",
        ),
        ({"image_embeds": np.full((1, 32), NAN, np.float32)}, "image_embeds", "NaN or infinity"),
        ({"negative_image_embeds": np.full((1, 32), INFINITY, np.float32)}, "negative_image_embeds", "NaN or infinity"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_a_request_that_cannot_be_run_is_refused_by_field(
    changes: dict[str, Any], field: str, allowed: str, tiny: Models
) -> None:
    with pytest.raises(InputError) as caught:
        check_request(tiny.decoder, request(tiny.decoder, **changes))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refused_request_costs_no_device_work(tiny: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(tiny.decoder), "encode_texts", lambda *_: pytest.fail("the text encoder was run"))
    with pytest.raises(InputError):
        start_from(tiny.decoder, request(tiny.decoder, strength=2.0), tiny.reference.picture())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": 1}, "prior_steps"),
        ({"steps": 1001}, "prior_steps"),
        ({"guidance_scale": NAN}, "prior_guidance_scale"),
        ({"guidance_scale": -1.0}, "prior_guidance_scale"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64 - 1, "num_embeddings": 2}, "seed"),
        ({"num_embeddings": 0}, "num_embeddings"),
        ({"num_embeddings": -1}, "num_embeddings"),
    ],
    ids=str,
)
def test_a_prior_request_that_cannot_be_run_is_refused_by_field(
    changes: dict[str, Any], field: str, tiny: Models
) -> None:
    with pytest.raises(InputError) as caught:
        prior(tiny.prior, "a cat", **({"seed": 0} | changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("items", "field"), [([], "items"), ([("a cat", 0.5), ("a dog", NAN)], "items[1].weight")], ids=["none", "NaN"]
)
def test_a_mix_that_cannot_be_made_is_refused_by_field(
    items: list[tuple[str, float]], field: str, tiny: Models
) -> None:
    with pytest.raises(InputError) as caught:
        interpolate(tiny.prior, items, seed=0, steps=2)
    assert caught.value.field == field


def test_an_unknown_dtype_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(DeviceError, match=r"bfloat16.*float16, float32"):
        Runtime(use_device("CPU"), dtype="bfloat16")


@pytest.mark.parametrize("device", ["GPU", "cpu", ""])
def test_an_unknown_device_is_refused_with_those_that_are_known(device: str) -> None:
    with pytest.raises(DeviceError, match="CPU, Ascend"):
        use_device(device)
