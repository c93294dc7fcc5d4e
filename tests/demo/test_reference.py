"""The demo checkpoint gives, seed for seed, the pictures that diffusers makes of it.

tests/reference/README.md says how the stored pictures were made.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from demo.measure import Demo
from kandinsky.pipeline import img2img, prior

REFERENCE = Path(__file__).parent.parent / "reference" / "demo"
CASES: list[dict[str, Any]] = json.loads((REFERENCE / "cases.json").read_text())


@pytest.fixture(scope="module", params=["fast paths", "plain operators"])
def either(request: pytest.FixtureRequest, demo: Demo) -> Demo:
    """The checkpoint as it is served, then without what a machine without a compiler cannot build."""
    return demo if request.param == "fast paths" else Demo(fast_paths=False)


@pytest.mark.parametrize("index", range(len(CASES)))
def test_the_picture_is_that_of_diffusers(index: int, either: Demo, circle: Image.Image) -> None:
    case, stored = CASES[index], load_file(REFERENCE / "pipelines.safetensors")
    embeddings = prior(
        either.prior,
        case["prompt"],
        seed=case["seed"],
        negative_prompt=case["negative_prompt"],
        steps=case["prior_steps"],
        guidance_scale=case["prior_guidance"],
    )
    np.testing.assert_allclose(embeddings.image_embeds, stored[f"{index}.image_embeds"], rtol=0, atol=1e-4)
    (picture,) = img2img(
        either.decoder,
        circle,
        embeddings,
        case["prompt"],
        seed=case["seed"],
        negative_prompt="" if case["negative_prompt"] is None else case["negative_prompt"],
        width=case["width"],
        height=case["height"],
        steps=case["steps"],
        strength=case["strength"],
        guidance_scale=case["guidance"],
    )
    difference = np.abs(np.asarray(picture, np.float64) - np.round(stored[f"{index}.image"] * 255))
    assert difference.max() <= 2
    assert difference.mean() <= 0.1
