"""The batch law: a row's numbers are the same alone, in company, and when it joins or leaves late."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from kandinsky.decoder_model import DecoderModel
from kandinsky.images import to_image
from kandinsky.rows import Row, step_rows
from kandinsky.schedulers.img2img import SchedulerType
from tests.kandinsky.models import Array, Load, Models, Reference, check, request, start_from

# Far inside the parity tolerance of 1e-3, and above what another order of sums does to the last bits.
TOLERANCE = 1e-4

# Different in everything that a row may have of its own.
MIX: list[dict[str, Any]] = [
    {"seed": 0, "steps": 10, "strength": 0.4, "scheduler": SchedulerType.DDIM, "guidance_scale": 7.0},
    {"seed": 5, "steps": 6, "strength": 0.5, "scheduler": SchedulerType.DDPM, "guidance_scale": 1.0},
    {"seed": 2, "steps": 8, "strength": 0.6, "scheduler": SchedulerType.DPM_SOLVER_PP_2M, "guidance_scale": 2.5},
    {"seed": 2, "steps": 2, "strength": 1.0, "scheduler": SchedulerType.DDPM, "guidance_scale": 4.0, "prompt": "зима"},
    {"seed": 9, "steps": 100, "strength": 0.02, "scheduler": SchedulerType.DDIM, "guidance_scale": 0.0},
]


def rows_of(models: Models, mix: Sequence[dict[str, Any]]) -> list[Row]:
    picture = models.reference.picture()
    return [start_from(models.decoder, request(models.decoder, **changes), picture).rows[0] for changes in mix]


def run(model: DecoderModel, rows: Sequence[Row], joining: Sequence[int]) -> list[Array]:
    """Latents of all rows when done; row i joins before step joining[i] and leaves when it is done."""
    current, step = dict(enumerate(rows)), 0
    while not all(row.done for row in current.values()):
        present = [index for index, row in current.items() if joining[index] <= step and not row.done]
        # Neither the order in the batch nor the one of joining may matter.
        present = present[::-1] if step % 2 else present
        if present:
            current.update(zip(present, step_rows(model, [current[index] for index in present]), strict=True))
        step += 1
    return [current[index].latents.asnumpy() for index in range(len(rows))]


@pytest.fixture(scope="module")
def alone(load: Load) -> list[Array]:
    models = load("tiny", False)
    return [run(models.decoder, rows_of(models, [changes]), [0])[0] for changes in MIX]


@pytest.mark.parametrize(
    "joining",
    [(0, 0, 0, 0, 0), (0, 2, 1, 3, 2), (3, 0, 0, 0, 1)],
    ids=["together", "the first one waits for nobody", "the guided one comes last"],
)
def test_rows_in_company_are_as_each_alone(joining: tuple[int, ...], tiny: Models, alone: list[Array]) -> None:
    results = run(tiny.decoder, rows_of(tiny, MIX), joining)
    for index, (result, expected) in enumerate(zip(results, alone, strict=True)):
        check(f"row {index}", result, expected, relative=TOLERANCE)


@pytest.mark.parametrize("chance", range(3))
def test_random_rows_that_join_at_random_are_as_each_alone(chance: int, reference: Reference, load: Load) -> None:
    models, rng = load(reference.name, False), np.random.default_rng(chance)
    mix: list[dict[str, Any]] = [
        {
            "seed": int(rng.integers(3)),
            "steps": (steps := int(rng.integers(2, 30))),
            "strength": min(float(rng.integers(1, 4)) / steps + 0.005, 1.0),
            "scheduler": list(SchedulerType)[rng.integers(3)],
            "guidance_scale": float(rng.choice([0.0, 1.0, 1.5, 7.0])),
            "prompt": str(rng.choice(["", "a red circle", "絵"])),
        }
        for _ in range(4)
    ]
    results = run(models.decoder, rows_of(models, mix), [int(step) for step in rng.integers(0, 4, 4)])
    for changes, result in zip(mix, results, strict=True):
        (expected,) = run(models.decoder, rows_of(models, [changes]), (0,))
        check(f"{changes}", result, expected, relative=TOLERANCE)


def test_rows_in_company_are_as_each_alone_compiled(load: Load, alone: list[Array]) -> None:
    # A guided row and one without guidance: the compiled step has three evaluations for two rows.
    models = load("tiny", True)
    results = run(models.decoder, rows_of(models, MIX[:2]), (0, 0))
    for index, (result, expected) in enumerate(zip(results, alone[:2], strict=True)):
        check(f"row {index}", result, expected, relative=TOLERANCE)


def test_images_of_one_request_are_as_each_alone(tiny: Models) -> None:
    values = {"seed": 40, "scheduler": SchedulerType.DDPM}
    embeds = np.random.default_rng(1).standard_normal((2, 3, tiny.decoder.embedding_dim)).astype(np.float32)
    several = request(tiny.decoder, num_images=3, image_embeds=embeds[0], negative_image_embeds=embeds[1], **values)
    rows = start_from(tiny.decoder, several, tiny.reference.picture()).rows
    together = run(tiny.decoder, rows, (0, 0, 0))
    for index in range(3):
        own = values | {
            "seed": 40 + index,
            "image_embeds": embeds[0, index : index + 1],
            "negative_image_embeds": embeds[1, index : index + 1],
        }
        (expected,) = run(tiny.decoder, rows_of(tiny, [own]), (0,))
        check(f"image {index}", together[index], expected, relative=TOLERANCE)


def test_a_shared_embedding_serves_every_image(tiny: Models) -> None:
    shared = request(tiny.decoder, num_images=2, guidance_scale=1.0)
    rows = start_from(tiny.decoder, shared, tiny.reference.picture()).rows
    for row, result in zip(rows, run(tiny.decoder, rows, (0, 0)), strict=True):
        assert len(row.conditioning.halves) == 1
        assert np.isfinite(result).all()
    first, second = (row.latents.asnumpy() for row in rows)
    assert np.abs(first - second).max() > 0.1, "images of one request must differ in their noise"


def test_a_finished_row_is_decoded_to_the_same_picture_in_any_company(tiny: Models, alone: list[Array]) -> None:
    results = run(tiny.decoder, rows_of(tiny, MIX[:3]), (0, 0, 1))
    pictures = [_decoded(tiny, latents) for latents in (*results, *alone[:3])]
    for together, by_itself in zip(pictures[:3], pictures[3:], strict=True):
        assert np.abs(together - by_itself).max() <= 1


def test_a_rows_noise_is_its_own_whatever_its_neighbours_draw(tiny: Models) -> None:
    # Two rows of one seed and one scheduler draw the same noise; the neighbour between them draws, too.
    ancestral = {"scheduler": SchedulerType.DDPM, "steps": 4, "strength": 1.0}
    mix = [ancestral | {"seed": seed} for seed in (3, 8, 3)]
    first, other, second = run(tiny.decoder, rows_of(tiny, mix), (0, 0, 0))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-5 * np.abs(first).max())
    assert np.abs(first - other).max() > 0.1


def _decoded(models: Models, latents: Array) -> Array:
    return np.asarray(to_image(models.decoder.decode_image(Tensor(latents))[0]), int)
