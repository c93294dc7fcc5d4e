"""The digest: what it says changes with the model, and with nothing else."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kandinsky.checkpoint import Component, digest

Save = Callable[..., Component]

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.ones(4, np.float16)
CONFIG = {"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.42.1", "in_channels": 4, "name": "ü"}


def test_the_digest_is_what_its_description_says(save: Save) -> None:
    identity = {
        "config": {"in_channels": 4, "name": "ü"},
        "tensors": [
            ["a", "F32", [2, 3], hashlib.sha256(A.tobytes()).hexdigest()],
            ["b", "F16", [4], hashlib.sha256(B.tobytes()).hexdigest()],
        ],
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    assert digest(save({"b": B, "a": A}, config=CONFIG)) == hashlib.sha256(canonical.encode()).hexdigest()


def test_storage_does_not_change_it(save: Save) -> None:
    one = digest(save({"a": A, "b": B}, config=CONFIG))
    assert digest(save({"b": B}, {"a": A}, config=CONFIG)) == one
    later = {"_diffusers_version": "9.9", **dict(reversed(CONFIG.items()))} | {"_diffusers_version": "9.9"}
    assert digest(save({"a": A, "b": B}, config=later)) == one


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        ({"a": np.nextafter(A, 9), "b": B}, CONFIG),
        ({"a": A.reshape(3, 2), "b": B}, CONFIG),
        ({"a": A.view(np.int32), "b": B}, CONFIG),
        ({"a": A.astype(np.float16), "b": B}, CONFIG),
        ({"c": A, "b": B}, CONFIG),
        ({"b": B}, CONFIG),
        ({"a": A, "b": B}, CONFIG | {"in_channels": 8}),
        ({"a": A, "b": B}, CONFIG | {"out_channels": 8}),
    ],
)
def test_what_the_model_computes_with_changes_it(tensors: dict[str, Any], config: dict[str, Any], save: Save) -> None:
    assert digest(save(tensors, config=config)) != digest(save({"a": A, "b": B}, config=CONFIG))


def test_scalars_and_empty_tensors_have_a_digest(save: Save) -> None:
    assert len(digest(save({"scalar": np.array(1.0), "empty": np.zeros((0, 2))}))) == 64
