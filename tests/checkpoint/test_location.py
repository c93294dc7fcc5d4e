"""Finding a checkpoint: folders, and the real huggingface_hub against a stand-in for the hub, or against none."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stand_in_hub import FILES, MAIN, PINNED, REPOSITORY, StandInHub

from kandinsky.checkpoint import locate
from kandinsky.checkpoint.location import wanted_files
from kandinsky.errors import MissingFileError, ModelNotFoundError, PickleRefusedError

Refused = Callable[..., str]

COMPONENTS = ("unet", "scheduler", "tokenizer")

_CALLS = """
import json
import sys
from kandinsky.checkpoint import locate
from kandinsky.errors import KandinskyError

outcomes = []
for model, components, variant in json.loads(sys.argv[1]):
    try:
        outcomes.append(("found", str(locate(model, components, variant))))
    except KandinskyError as error:
        outcomes.append((type(error).__name__, str(error)))
print(json.dumps(outcomes))
"""

Call = tuple[str, tuple[str, ...], str | None]
Calls = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def call(tmp_path: Path) -> Calls:
    """Calls locate in a fresh process, with an empty cache of its own that later calls find filled."""

    def run(endpoint: str, *calls: Call, **more: str) -> list[tuple[str, str]]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = inherited | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), **more}
        command = [sys.executable, "-c", _CALLS, json.dumps(calls)]
        finished = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=100)
        return [tuple(outcome) for outcome in json.loads(finished.stdout.splitlines()[-1])]

    return run


def files_in(folder: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def test_only_what_is_needed_is_downloaded(hub: StandInHub, call: Calls) -> None:
    ((kind, folder),) = call(hub.endpoint, (REPOSITORY, COMPONENTS, None))
    assert kind == "found"
    assert files_in(folder) == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
    }
    ((kind, folder),) = call(hub.endpoint, (REPOSITORY, ("unet",), "fp16"))
    assert kind == "found"
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in files_in(folder)
    assert not any(name.endswith(".bin") for name in hub.fetched)


def test_a_revision_is_pinned_and_found_again_without_the_hub(hub: StandInHub, nobody: str, call: Calls) -> None:
    pinned = (f"{REPOSITORY}@{PINNED}", COMPONENTS, None)
    newest = (REPOSITORY, COMPONENTS, None)
    online = call(hub.endpoint, pinned, newest)
    assert [kind for kind, _ in online] == ["found", "found"]
    assert (Path(online[0][1]) / "unet/config.json").read_text() == '{"pinned": true}'
    assert (Path(online[1][1]) / "unet/config.json").read_text() == "{}"
    assert call(nobody, pinned, newest) == online
    assert call(hub.endpoint, pinned, newest, HF_HUB_OFFLINE="1") == online


def test_no_network_and_nothing_cached_is_one_line_that_says_what_to_do(nobody: str, call: Calls) -> None:
    ((kind, message),) = call(nobody, (REPOSITORY, COMPONENTS, None))
    assert kind == "ModelNotFoundError"
    assert "\n" not in message
    for words in (REPOSITORY, nobody, "cannot be reached", "not in the cache", "local folder"):
        assert words in message
    ((kind, message),) = call(nobody, (REPOSITORY, COMPONENTS, None), HF_HUB_OFFLINE="1")
    assert kind == "ModelNotFoundError"
    for words in (REPOSITORY, "HF_HUB_OFFLINE", "not in the cache"):
        assert words in message


def test_what_the_hub_does_not_have_is_said(hub: StandInHub, call: Calls) -> None:
    missing, revision, variant = call(
        hub.endpoint,
        ("painters/other", COMPONENTS, None),
        (f"{REPOSITORY}@v9", COMPONENTS, None),
        (REPOSITORY, COMPONENTS, "bf16"),
    )
    assert missing[0] == revision[0] == "ModelNotFoundError"
    assert "painters/other" in missing[1]
    assert "v9" in revision[1]
    assert variant[0] == "MissingFileError"
    assert "bf16" in variant[1]
    assert "fp16" in variant[1]


def test_a_repository_with_pickle_only_is_refused_before_any_download(hub: StandInHub, call: Calls) -> None:
    ((kind, message),) = call(hub.endpoint, (REPOSITORY, ("unet", "movq"), None))
    assert kind == "PickleRefusedError"
    assert f"{REPOSITORY}/movq" in message
    assert "diffusion_pytorch_model.bin" in message
    assert hub.fetched == []


def test_a_repository_that_is_no_pipeline_is_refused(hub: StandInHub, call: Calls) -> None:
    hub.revisions[MAIN] = {"config.json": b"{}", "model.safetensors": b"weights"}
    ((kind, message),) = call(hub.endpoint, (REPOSITORY, COMPONENTS, None))
    assert kind == "ModelNotFoundError"
    assert "model_index.json" in message


def test_a_hub_that_fails_is_said(hub: StandInHub, call: Calls) -> None:
    hub.revisions[MAIN] = {**FILES, "unet/diffusion_pytorch_model.safetensors": b"x" * 1000}
    hub.lost = "unet/diffusion_pytorch_model.safetensors"
    ((kind, message),) = call(hub.endpoint, (REPOSITORY, COMPONENTS, None))
    assert kind == "ModelNotFoundError"
    assert "\n" not in message
    assert "download" in message


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "owner@home" / "model"
    folder.mkdir(parents=True)
    assert locate(str(folder), COMPONENTS) == folder


@pytest.mark.parametrize(
    "model", ["", "/no/such/folder", "./here", "../there", "~/model", "kandinsky", "a/b/c", "a/b@"]
)
def test_what_is_neither_folder_nor_repository_is_said(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(ModelNotFoundError, lambda: locate(model, COMPONENTS), repr(model), "OWNER/NAME")


def test_a_file_is_no_folder(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "model.safetensors").touch()
    refused(ModelNotFoundError, lambda: locate(str(tmp_path / "model.safetensors"), COMPONENTS), "no folder")


def test_shards_and_settings_are_wanted_and_nothing_else() -> None:
    names = [
        "model_index.json",
        "serving_defaults.json",
        "picture.png",
        "unet/config.json",
        "unet/model.safetensors.index.json",
        "unet/model-00001-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors",
        "unet/model.fp16-00001-of-00001.safetensors",
        "unet/onnx/config.json",
        "tokenizer/merges.txt",
        "tokenizer/sentencepiece.bpe.model",
        "tokenizer/tokenizer.pkl",
    ]
    assert wanted_files(names, ("unet", "tokenizer", "absent"), None, "here") == [
        "model_index.json",
        "serving_defaults.json",
        "unet/config.json",
        "unet/model.safetensors.index.json",
        "unet/model-00001-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/sentencepiece.bpe.model",
    ]


def test_components_without_the_variant_are_wanted_plain_if_another_has_it(refused: Refused) -> None:
    unet = ["unet/config.json", "unet/model.safetensors", "unet/model.fp16.safetensors"]
    movq = ["movq/config.json", "movq/model.safetensors"]
    both = wanted_files(unet + movq, ("unet", "movq"), "fp16", "here")
    assert both == ["unet/config.json", "unet/model.fp16.safetensors", "movq/config.json", "movq/model.safetensors"]
    refused(MissingFileError, lambda: wanted_files(unet + movq, ("movq",), "fp16", "here"), "here/movq", "'fp16'")


def test_a_network_without_weights_is_not_wanted(refused: Refused) -> None:
    refused(MissingFileError, lambda: wanted_files(["unet/config.json"], ("unet",), None, "here"), "here/unet")
    pickle = ["unet/config.json", "unet/diffusion_pytorch_model.bin"]
    refused(PickleRefusedError, lambda: wanted_files(pickle, ("unet",), None, "here"), "here/unet")
