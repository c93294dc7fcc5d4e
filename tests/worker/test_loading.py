"""What loading asks of the machine: a compiler once where there are fast paths, and a place for this model's graphs."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file
from stand_in_compilers import StandInCompilers

from kandinsky.cpu_kernels.build import find_or_build
from kandinsky.cpu_kernels.library import Library
from kandinsky.loading import Runtime
from kandinsky.ops import kernels_for
from kandinsky.prior_model import PRIOR_COMPONENTS, PriorModel, load_prior
from tests.kandinsky.models import REFERENCE
from worker.config import WorkerConfig
from worker.loading import load_model, operators_ahead

TOKENS = "text_model.embeddings.token_embedding.weight"


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """The tiny prior with float16 files."""
    folder = shutil.copytree(REFERENCE / "tiny" / "prior", tmp_path / "prior")
    for path in folder.glob("*/*.safetensors"):
        save_file({name: array.astype(np.float16) for name, array in load_file(path).items()}, path)
    return folder


def check_tokens(model: PriorModel, folder: Path) -> None:
    expected: npt.NDArray[np.float16] = load_file(folder / "text_encoder" / "model.safetensors")[TOKENS]
    values = dict(model.text_encoder.network.parameters_and_names())[TOKENS].asnumpy()
    np.testing.assert_array_equal(values, expected.astype(np.float32))


@pytest.mark.parametrize("fast_paths", [True, False])
def test_a_worker_looks_for_a_compiler_once_or_without_fast_paths_never(
    fast_paths: bool, halves: Path, library: Library, stand_in_compilers: StandInCompilers
) -> None:
    stand_in_compilers.add_copier("c++", library.path)
    config = WorkerConfig(model=str(halves), fast_paths=fast_paths)
    model = load_model(config, PRIOR_COMPONENTS, load_prior, find_or_build).model
    assert stand_in_compilers.built == (["c++"] if fast_paths else [])
    assert len([call for call in stand_in_compilers.calls if call.endswith("--version")]) == fast_paths
    check_tokens(model, halves)


@pytest.mark.parametrize("told", [{}, {"fast_paths": False}, {"device": "Ascend"}])
def test_operators_are_built_ahead_where_they_are_used(
    told: dict[str, Any], library: Library, stand_in_compilers: StandInCompilers
) -> None:
    stand_in_compilers.add_copier("c++", library.path)
    operators = operators_ahead(WorkerConfig(model="", **told))
    if told:
        assert operators is find_or_build  # nothing has begun
    else:
        assert operators().build_seconds > 0
        assert operators() is operators()
        assert stand_in_compilers.built == ["c++"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, with nothing in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path / "user" / "kandinsky-serving"


def keys(cache: Path) -> set[str]:
    """Of the graphs that starts began to keep."""
    return {path.name.partition(".")[0] for path in cache.glob("graphs-*")}


def test_a_model_that_is_changed_where_it_lies_has_other_graphs(halves: Path, cache: Path) -> None:
    """Its constants are in the graphs."""
    plain = WorkerConfig(model=str(halves), fast_paths=False)
    for _ in range(2):
        load_model(plain, PRIOR_COMPONENTS, load_prior, find_or_build)
    assert len(keys(cache)) == 1
    load_model(replace(plain, model=os.path.relpath(halves)), PRIOR_COMPONENTS, load_prior, find_or_build)
    assert len(keys(cache)) == 1
    file = halves / "text_encoder" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"layer_norm_eps": 0.01}))
    load_model(plain, PRIOR_COMPONENTS, load_prior, find_or_build)
    assert len(keys(cache)) == 2
    load_model(replace(plain, batch_sizes=(1, 2)), PRIOR_COMPONENTS, load_prior, find_or_build)
    assert len(keys(cache)) == 3


def test_operators_that_lie_elsewhere_have_other_graphs(
    halves: Path, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph names their file."""
    found = []
    for name in ("one", "another"):
        folder = tmp_path / name / "kandinsky-serving"
        folder.mkdir(parents=True)
        shutil.copy(library.path, folder)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        load_model(WorkerConfig(model=str(halves)), PRIOR_COMPONENTS, load_prior, find_or_build)
        found.append(keys(folder))
    assert [len(each) for each in found] == [1, 1]
    assert found[0] != found[1]


@pytest.mark.parametrize("told", [{"keep_graphs": False}, {"warm_up": False}, {"device": "Ascend"}])
def test_graphs_are_kept_only_where_that_is_right(
    told: dict[str, Any], halves: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without warming up they come in the order of requests; on Ascend it was never tried."""
    monkeypatch.setattr("kandinsky.ops.use_device", lambda device, device_id: kernels_for(device))  # noqa: ARG005 - the real one's
    load_model(WorkerConfig(model=str(halves), fast_paths=False, **told), PRIOR_COMPONENTS, load_prior, find_or_build)
    assert keys(cache) == set()


def test_an_ascend_worker_looks_for_no_compiler(halves: Path, stand_in_compilers: StandInCompilers) -> None:
    stand_in_compilers.add("c++", "exit 1")
    model = load_prior(halves, Runtime(kernels_for("Ascend")))
    assert stand_in_compilers.calls == []
    check_tokens(model, halves)


def test_weights_are_widened_by_the_kernels_they_are_loaded_for(halves: Path) -> None:
    widened: list[int] = []

    def widen(half: npt.NDArray[np.float16], target: npt.NDArray[np.float32]) -> bool:
        widened.append(half.size)
        target[...] = half
        return True

    check_tokens(load_prior(halves, Runtime(replace(kernels_for("CPU"), widen=widen))), halves)
    assert sum(widened) == sum(
        array.size for path in halves.glob("*/*.safetensors") for array in load_file(path).values()
    )
