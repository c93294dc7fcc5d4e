"""Whole pipelines against diffusers: embeddings, latents after every step, the 8-bit picture; and interpolations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest, finish
from kandinsky.pipeline import ImageEmbeddings, img2img, interpolate, prior
from kandinsky.rows import step_rows
from tests.kandinsky.models import CHECKPOINTS, Load, Models, Reference, check, check_picture, start_from

EMBEDDINGS = 1e-4
LATENTS = 1e-3


@dataclass(frozen=True)
class Case:
    """One case of a checkpoint, and how it is run."""

    checkpoint: str
    index: int
    compiled: bool

    @property
    def reference(self) -> Reference:
        return Reference(self.checkpoint)

    @property
    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = self.reference.json("cases.json")[self.index]
        return values

    def expected(self, name: str) -> Any:
        return self.reference.arrays("pipelines")[f"{self.index}.{name}"]

    def __str__(self) -> str:
        return f"{self.checkpoint} case {self.index}, {'compiled' if self.compiled else 'eager'}"


# Compiling takes seconds for each size. The cases of `variant` have three sizes.
CASES = [
    *(Case("tiny", index, compiled) for compiled in (False, True) for index in range(4)),
    *(Case("variant", index, False) for index in range(4)),
    *(Case("variant", index, True) for index in (1, 2)),
]


def embeddings(models: Models, case: Case) -> ImageEmbeddings:
    values = case.values
    return prior(
        models.prior,
        values["prompt"],
        seed=values["seed"],
        negative_prompt=values["negative_prompt"],
        steps=values["prior_steps"],
        guidance_scale=values["prior_guidance"],
    )


def img2img_request(models: Models, case: Case, embeds: ImageEmbeddings) -> Img2ImgRequest:
    values = case.values
    return Img2ImgRequest(
        prompt=values["prompt"],
        negative_prompt="" if values["negative_prompt"] is None else values["negative_prompt"],
        image_embeds=embeds.image_embeds,
        negative_image_embeds=embeds.negative_image_embeds,
        width=values["width"],
        height=values["height"],
        steps=values["steps"],
        strength=values["strength"],
        guidance_scale=values["guidance"],
        seed=values["seed"],
        num_images=1,
        scheduler=models.decoder.scheduler_type,
        resize_mode=ResizeMode.STRETCH,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_pipeline_computes_what_diffusers_does(case: Case, load: Load) -> None:
    models = load(case.checkpoint, case.compiled)
    embeds = embeddings(models, case)
    check(f"{case}: image_embeds", embeds.image_embeds, case.expected("image_embeds"), absolute=EMBEDDINGS)
    negative = case.expected("negative_image_embeds")
    check(f"{case}: negative_image_embeds", embeds.negative_image_embeds, negative, absolute=EMBEDDINGS)

    request = img2img_request(models, case, embeds)
    (row,) = start_from(models.decoder, request, case.reference.picture(case.values["image"])).rows
    for index, expected in enumerate(case.expected("latents")):
        (row,) = step_rows(models.decoder, [row])
        check(f"{case}: latents {index}", row.latents.asnumpy()[0], expected, relative=LATENTS)
    assert row.done
    check_picture(str(case), finish(models.decoder, request, row), case.expected("image"))


@pytest.mark.parametrize("index", range(2))
def test_an_interpolation_is_the_one_of_diffusers(index: int, reference: Reference, load: Load) -> None:
    case = reference.json("interpolations.json")[index]
    items: list[tuple[str | Image.Image, float]] = [
        (item["text"] if "text" in item else reference.picture(item["image"]), item["weight"])
        for item in case["conditions"]
    ]
    mix = interpolate(
        load(reference.name, False).prior,
        items,
        seed=case["seed"],
        negative_prompt=case["negative_prompt"],
        negative_prior_prompt=case["negative_prior_prompt"],
        steps=case["prior_steps"],
        guidance_scale=case["prior_guidance"],
    )
    expected = reference.arrays("interpolate")
    for name, result in (("image_embeds", mix.image_embeds), ("negative_image_embeds", mix.negative_image_embeds)):
        label = f"{reference.name} interpolation {index}: {name}"
        check(label, result, expected[f"{index}.{name}"], absolute=EMBEDDINGS)


def test_images_of_one_request_are_those_of_the_following_seeds(load: Load) -> None:
    # diffusers ran cases 1 and 2 of `variant` one by one, with seeds 30 and 31.
    cases = [Case("variant", index, False) for index in (1, 2)]
    models, values = load("variant", False), cases[0].values
    prior_values = {"steps": values["prior_steps"], "guidance_scale": values["prior_guidance"]}
    embeds = prior(models.prior, values["prompt"], seed=30, num_embeddings=2, **prior_values)
    reported: list[tuple[int, int]] = []
    pictures = img2img(
        models.decoder,
        cases[0].reference.picture(),
        embeds,
        values["prompt"],
        seed=30,
        width=values["width"],
        height=values["height"],
        steps=values["steps"],
        strength=values["strength"],
        guidance_scale=values["guidance"],
        num_images=2,
        on_step=lambda done, total: reported.append((done, total)),
    )
    for case, picture, own in zip(cases, pictures, embeds.image_embeds, strict=True):
        check(f"{case}: image_embeds", own[None], case.expected("image_embeds"), absolute=EMBEDDINGS)
        check_picture(f"{case}, both at once", picture, case.expected("image"))
    assert reported == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_float16_is_close_to_float32(checkpoint: str, load: Load, load_float16: Load) -> None:
    half, full = load_float16(checkpoint, False), load(checkpoint, False)
    embeds = [prior(models.prior, "a red circle", seed=0, steps=3).image_embeds for models in (half, full)]
    assert embeds[0].dtype == np.float32
    np.testing.assert_allclose(*embeds, rtol=0, atol=0.02 * np.abs(embeds[1]).max())
    given = ImageEmbeddings(embeds[1], embeds[1], {})
    values: dict[str, Any] = {"seed": 0, "width": 32, "height": 32, "steps": 4, "strength": 0.5}
    pictures = [
        img2img(models.decoder, full.reference.picture(), given, "a red circle", **values)[0] for models in (half, full)
    ]
    assert np.abs(np.subtract(*(np.asarray(picture, int) for picture in pictures))).mean() <= 2
