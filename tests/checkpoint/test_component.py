"""Opening a component: what it is, and what is said when it is something else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kandinsky.checkpoint import open_component, open_settings
from kandinsky.errors import ComponentClassError, CorruptFileError, MissingFileError, PickleRefusedError

UNET = "UNet2DConditionModel"


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def add(root: Path, *names: str) -> None:
    for name in names:
        (root / "unet" / name).touch()


def test_a_network_is_opened_with_config_and_weights(pipeline: Path) -> None:
    add(pipeline, "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
    unet = open_component(pipeline, "unet", UNET)
    assert (unet.name, unet.class_name, unet.folder) == ("unet", UNET, pipeline / "unet")
    assert unet.config["in_channels"] == 4
    assert unet.weight_files == (pipeline / "unet/diffusion_pytorch_model.safetensors",)
    fp16 = open_component(pipeline, "unet", UNET, "fp16")
    assert fp16.weight_files == (pipeline / "unet/diffusion_pytorch_model.fp16.safetensors",)


def test_components_without_the_variant_are_taken_plain_if_another_has_it(
    pipeline: Path, refused: Callable[..., str]
) -> None:
    add(pipeline, "diffusion_pytorch_model.safetensors")
    refused(MissingFileError, lambda: open_component(pipeline, "unet", UNET, "fp16"), "'fp16'", "unet")
    (pipeline / "text_encoder/model.fp16.safetensors").touch()
    unet = open_component(pipeline, "unet", UNET, "fp16")
    assert [path.name for path in unet.weight_files] == ["diffusion_pytorch_model.safetensors"]


def test_a_transformers_class_is_read_from_architectures(pipeline: Path) -> None:
    (pipeline / "text_encoder/model.safetensors").touch()
    assert open_component(pipeline, "text_encoder", "MultilingualCLIP").class_name == "MultilingualCLIP"


def test_a_scheduler_is_opened_without_weights(pipeline: Path) -> None:
    scheduler = open_settings(pipeline, "scheduler", ("DDPMScheduler", "DDIMScheduler"), "scheduler_config.json")
    assert scheduler.class_name == "DDIMScheduler"
    assert scheduler.config["beta_start"] == 0.00085
    assert scheduler.weight_files == ()


def test_shards_are_those_of_the_index_each_once(pipeline: Path) -> None:
    add(pipeline, "b.safetensors", "a.safetensors", "stray.safetensors")
    index = {"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}}
    (pipeline / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    files = open_component(pipeline, "unet", UNET).weight_files
    assert [path.name for path in files] == ["a.safetensors", "b.safetensors"]


def test_a_missing_shard_is_named(pipeline: Path, refused: Callable[..., str]) -> None:
    add(pipeline, "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "lost.safetensors"}}
    (pipeline / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    words = ("lists lost.safetensors", "index.json")
    refused(MissingFileError, lambda: open_component(pipeline, "unet", UNET), *words)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": ["a"]}'])
def test_an_index_without_shards_is_corrupt(content: str, pipeline: Path, refused: Callable[..., str]) -> None:
    (pipeline / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(content)
    refused(CorruptFileError, lambda: open_component(pipeline, "unet", UNET), "index.json")


@pytest.mark.parametrize(
    "name",
    ["sub/x.safetensors", "../x.safetensors", "", ".", "..", "a\0.safetensors", "a\n.safetensors", "a.bin", 3, None],
)
def test_an_index_that_names_no_files_beside_it_is_corrupt(
    name: Any, pipeline: Path, refused: Callable[..., str]
) -> None:
    add(pipeline, "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": name}}
    (pipeline / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    message = refused(CorruptFileError, lambda: open_component(pipeline, "unet", UNET), "index.json", repr(str(name)))
    assert "'a.safetensors'" not in message


def test_another_class_in_the_pipelines_index_is_refused(pipeline: Path, refused: Callable[..., str]) -> None:
    rewrite(pipeline / "model_index.json", unet=["diffusers", "UNet2DModel"])
    words = ("model_index.json", "UNet2DModel", UNET)
    refused(ComponentClassError, lambda: open_component(pipeline, "unet", UNET), *words)


@pytest.mark.parametrize("stated", [{"_class_name": "VQModel"}, {"_class_name": None, "architectures": ["VQModel"]}])
def test_another_class_in_the_config_is_refused(
    stated: dict[str, Any], pipeline: Path, refused: Callable[..., str]
) -> None:
    rewrite(pipeline / "unet/config.json", **stated)
    words = ("unet/config.json", "VQModel", UNET)
    refused(ComponentClassError, lambda: open_component(pipeline, "unet", UNET), *words)


def test_every_allowed_class_is_named(pipeline: Path, refused: Callable[..., str]) -> None:
    allowed = ("UnCLIPScheduler", "DDPMScheduler")
    action = lambda: open_settings(pipeline, "scheduler", allowed, "scheduler_config.json")  # noqa: E731
    refused(ComponentClassError, action, "DDIMScheduler", "UnCLIPScheduler or DDPMScheduler")


@pytest.mark.parametrize("entry", ["UNet2DConditionModel", ["diffusers"], [None, None], None, 3])
def test_an_index_entry_of_another_kind_is_corrupt(entry: Any, pipeline: Path, refused: Callable[..., str]) -> None:
    rewrite(pipeline / "model_index.json", unet=entry)
    refused(CorruptFileError, lambda: open_component(pipeline, "unet", UNET), "model_index.json", "unet")


@pytest.mark.parametrize("missing", ["model_index.json", "unet/config.json"])
def test_a_missing_file_is_named(missing: str, pipeline: Path, refused: Callable[..., str]) -> None:
    (pipeline / missing).unlink()
    refused(MissingFileError, lambda: open_component(pipeline, "unet", UNET), missing)


def test_a_missing_component_is_named(pipeline: Path, refused: Callable[..., str]) -> None:
    words = ("movq", "scheduler, text_encoder, unet")
    refused(MissingFileError, lambda: open_component(pipeline, "movq", "VQModel"), *words)
    rewrite(pipeline / "model_index.json", movq=["diffusers", "VQModel"])
    refused(MissingFileError, lambda: open_component(pipeline, "movq", "VQModel"), "movq/")


@pytest.mark.parametrize(
    "content", [b"", b'{"a": ', b"[1]", b"\xff\xfe", b"version https://git-lfs.github.com/spec/v1"]
)
@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json"])
def test_a_json_file_that_is_none_is_named(
    name: str, content: bytes, pipeline: Path, refused: Callable[..., str]
) -> None:
    (pipeline / name).write_bytes(content)
    refused(CorruptFileError, lambda: open_component(pipeline, "unet", UNET), name)


def test_a_folder_with_pickle_only_is_refused(pipeline: Path, refused: Callable[..., str]) -> None:
    add(pipeline, "diffusion_pytorch_model.bin")
    words = (str(pipeline / "unet"), "diffusion_pytorch_model.bin", "pickle")
    refused(PickleRefusedError, lambda: open_component(pipeline, "unet", UNET), *words)
