"""Which of a folder's files are its weights."""

from collections.abc import Callable

import pytest

from kandinsky.checkpoint.weight_names import choose_weights, shards_of
from kandinsky.errors import MissingFileError, PickleRefusedError

UNET = "diffusion_pytorch_model"


@pytest.mark.parametrize(
    ("names", "variant", "chosen"),
    [
        (["config.json", f"{UNET}.safetensors"], None, f"{UNET}.safetensors"),
        (["config.json", "model.safetensors", "pytorch_model.bin"], None, "model.safetensors"),
        ([f"{UNET}.safetensors", f"{UNET}.fp16.safetensors"], None, f"{UNET}.safetensors"),
        ([f"{UNET}.safetensors", f"{UNET}.fp16.safetensors"], "fp16", f"{UNET}.fp16.safetensors"),
        ([f"{UNET}.fp16.safetensors"], None, f"{UNET}.fp16.safetensors"),
        (["model.safetensors.index.json", "model-00001-of-00001.safetensors"], None, "model.safetensors.index.json"),
        (["model.safetensors.index.json", "model.safetensors"], None, "model.safetensors"),
        (
            ["model.safetensors.index.json", "model.safetensors.index.fp16.json"],
            "fp16",
            "model.safetensors.index.fp16.json",
        ),
        (["model.safetensors", "model.safetensors.index.fp16.json"], "fp16", "model.safetensors.index.fp16.json"),
    ],
)
def test_the_asked_weights_are_chosen(names: list[str], variant: str | None, chosen: str) -> None:
    assert choose_weights(names, variant, "unet") == chosen
    assert choose_weights(names[::-1], variant, "unet") == chosen


def test_a_variant_that_is_not_there_is_an_error_that_names_those_that_are(refused: Callable[..., str]) -> None:
    names = [f"{UNET}.safetensors", f"{UNET}.fp16.safetensors"]
    refused(MissingFileError, lambda: choose_weights(names, "bf16", "unet"), "'bf16'", "fp16", "plain")
    only = [f"{UNET}.fp16.safetensors", f"{UNET}.bf16.safetensors"]
    refused(MissingFileError, lambda: choose_weights(only, None, "unet"), "bf16, fp16")


def test_a_folder_without_weights_is_an_error(refused: Callable[..., str]) -> None:
    refused(MissingFileError, lambda: choose_weights(["config.json"], None, "unet"), "unet", "safetensors")
    refused(MissingFileError, lambda: choose_weights([], "fp16", "unet"), "unet")


@pytest.mark.parametrize("name", [f"{UNET}.bin", "pytorch_model.bin", "model.pt", "model.ckpt", "model.pth", "x.pkl"])
def test_pickle_only_is_refused_with_the_way_out(name: str, refused: Callable[..., str]) -> None:
    words = (name, "pickle", "safe_serialization")
    refused(PickleRefusedError, lambda: choose_weights(["config.json", name], None, "unet"), *words)


def test_the_shards_of_an_index_are_those_of_its_variant() -> None:
    plain = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    fp16 = ("model.fp16-00001-of-00001.safetensors",)
    older = ("model-00001-of-00001.bf16.safetensors",)
    names = ["config.json", "model.safetensors", "pytorch_model-00001-of-00002.bin", *plain, *fp16, *older]
    assert shards_of(names, "model.safetensors.index.json") == plain
    assert shards_of(names, "model.safetensors.index.fp16.json") == fp16
    assert shards_of(names, "model.safetensors.index.bf16.json") == older
