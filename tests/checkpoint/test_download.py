"""`kandinsky-weights`: the real command and the real huggingface_hub against a stand-in for the hub."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stand_in_hub import PINNED, REPOSITORY, StandInHub

from kandinsky.checkpoint.download import MANIFEST_NAME, read_manifest

TINY = Path(__file__).parent.parent / "reference" / "tiny" / "prior"
WEIGHTS = "prior/diffusion_pytorch_model.safetensors"
START_SECONDS = 60

Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def the_hub_has_the_tiny_prior(hub: StandInHub) -> None:
    files = {path.relative_to(TINY).as_posix(): path.read_bytes() for path in TINY.rglob("*") if path.is_file()}
    hub.revisions[PINNED] = files | {"README.md": b"# Kandinsky", "vae/diffusion_pytorch_model.bin": b"pickle"}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "weights"


@pytest.fixture
def start(hub: StandInHub, tmp_path: Path) -> Iterator[Command]:
    """Starts kandinsky-weights with these arguments; ends what is left of it."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> "subprocess.Popen[str]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = inherited | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf")}
        command = [sys.executable, "-m", "worker.weights", *arguments]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def fetch(start: Command, volume: Path) -> Callable[..., tuple[int, str]]:
    """Downloads to the volume; exit code and last line."""

    def run(*arguments: str, model: str = f"{REPOSITORY}@{PINNED}") -> tuple[int, str]:
        process = start("download", "--tier", "prior", "--model", model, "--folder", str(volume / "prior"), *arguments)
        _, log = process.communicate(timeout=START_SECONDS)
        return process.returncode, log.strip().splitlines()[-1]

    return run


def digests_of(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_download_is_whole_and_says_what_it_holds(
    fetch: Callable[..., tuple[int, str]], volume: Path, hub: StandInHub
) -> None:
    assert fetch()[0] == 0
    assert digests_of(volume / "prior") == digests_of(TINY)
    assert read_manifest((volume / "prior" / MANIFEST_NAME).read_text()) == digests_of(TINY)
    sent = len(hub.fetched)
    code, line = fetch()
    assert code == 0
    assert "was there already" in line
    assert len(hub.fetched) == sent


def test_a_branch_is_refused(fetch: Callable[..., tuple[int, str]], volume: Path) -> None:
    for model in (REPOSITORY, f"{REPOSITORY}@main"):
        code, line = fetch(model=model)
        assert code == 1
        assert "40 hexadecimal digits" in line
    assert not volume.exists()


def test_a_file_that_differs_from_the_manifest_ends_it_and_only_this_file_is_fetched_again(
    fetch: Callable[..., tuple[int, str]], volume: Path, hub: StandInHub, tmp_path: Path
) -> None:
    right = digests_of(TINY)
    manifest = tmp_path / "SHA256SUMS"

    def write(digests: dict[str, str]) -> None:
        manifest.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))

    write(right | {WEIGHTS: "0" * 64})
    code, line = fetch("--manifest", str(manifest))
    assert code == 1
    assert Path(WEIGHTS).name in line
    assert right[WEIGHTS] in line
    assert not (volume / "prior").exists()
    hub.fetched.clear()
    write(right)
    assert fetch("--manifest", str(manifest))[0] == 0
    assert hub.fetched == [WEIGHTS]
    assert digests_of(volume / "prior") == right
    write(right | {WEIGHTS: "1" * 64})
    code, line = fetch("--manifest", str(manifest))
    assert code == 1
    assert "other files" in line


def test_a_manifest_names_every_file(fetch: Callable[..., tuple[int, str]], volume: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "SHA256SUMS"
    manifest.write_text(f"{digests_of(TINY)[WEIGHTS]}  {WEIGHTS}\n{'0' * 64}  prior/more.safetensors\n")
    code, line = fetch("--manifest", str(manifest))
    assert code == 1
    assert "prior/more.safetensors" in line
    assert "model_index.json" in line
    manifest.write_text("nonsense\n")
    code, line = fetch("--manifest", str(manifest))
    assert code == 1
    assert "nonsense" in line
    assert not (volume / "prior").exists()


@pytest.mark.parametrize("name", [WEIGHTS, "prior/config.json"])
def test_bytes_that_the_hub_did_not_announce_are_refused(
    fetch: Callable[..., tuple[int, str]], volume: Path, hub: StandInHub, name: str
) -> None:
    hub.spoilt = name
    code, line = fetch()
    assert code == 1
    assert Path(name).name in line
    assert not (volume / "prior").exists()
    hub.spoilt = None
    assert fetch()[0] == 0
    assert digests_of(volume / "prior") == digests_of(TINY)


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(
    fetch: Callable[..., tuple[int, str]], volume: Path, hub: StandInHub
) -> None:
    hub.cut = WEIGHTS
    code, line = fetch()
    assert code == 1
    assert "goes on where it stopped" in line
    assert not (volume / "prior").exists()
    hub.cut = None
    before = set(hub.fetched) - {WEIGHTS}
    hub.fetched.clear()
    assert fetch()[0] == 0
    assert not before & set(hub.fetched)
    assert digests_of(volume / "prior") == digests_of(TINY)


def test_two_at_once_download_once(start: Command, volume: Path, hub: StandInHub) -> None:
    arguments = ["download", "--tier", "prior", "--model", f"{REPOSITORY}@{PINNED}", "--folder", str(volume / "prior")]
    both = [start(*arguments), start(*arguments)]
    assert [process.wait(START_SECONDS) for process in both] == [0, 0]
    assert len(set(hub.fetched)) == len(hub.fetched)


def test_waiting_ends_when_the_folder_appears(start: Command, volume: Path) -> None:
    process = start("wait", "--folder", str(volume))
    assert process.stderr is not None
    assert "waiting" in process.stderr.readline()
    assert process.poll() is None
    volume.mkdir()
    assert process.wait(START_SECONDS) == 0


def test_waiting_in_vain_says_what_to_look_at(start: Command, volume: Path) -> None:
    process = start("wait", "--folder", str(volume), "--seconds", "0.1")
    _, log = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1
    assert "see the download's log" in log


def test_waiting_is_ended_by_a_signal_and_loads_no_model_library(start: Command, volume: Path) -> None:
    began = time.monotonic()
    process = start("wait", "--folder", str(volume))
    assert process.stderr is not None
    assert "waiting" in process.stderr.readline()
    assert "mindspore" not in Path(f"/proc/{process.pid}/maps").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(START_SECONDS) == 143
    assert time.monotonic() - began < START_SECONDS
