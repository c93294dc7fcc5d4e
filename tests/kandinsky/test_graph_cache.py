"""Which graphs a start may take from an earlier one.

MindSpore's part, a file a graph, is played here; the real one is in tests/end_to_end/test_kept_graphs.py.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kandinsky import graph_cache
from kandinsky.graph_cache import GraphCache, graphs_key, program_is_python

NAMES = ["Encoder((1, 4),)", "Step((1, 4), 2)", "Step((2, 4), 2)"]
KEY = "c0ffee"


def compile_as_mindspore(number: int) -> bool:
    """Compile the graph of this number; whether it came from the cache.

    A graph that cannot be loaded is written again, and not as it was. A file that is whole is not to be written to.
    """
    if os.environ.get("MS_COMPILER_CACHE_ENABLE") != "1":
        return False
    file = Path(os.environ["MS_COMPILER_CACHE_PATH"]) / "rank_0" / "graph_cache" / f"compile_cache_{number}.mindir"
    if file.exists() and file.read_text(encoding="utf-8").startswith(f"graph {number} of "):
        return True
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, f"graph {number} of {time.time_ns()}")
    if number == 0:
        write_whole(file.with_name("compile_dependency.hash"), "of the sources")
    return False


def write_whole(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o400)


def start(folder: Path, names: Sequence[str] = NAMES, key: str = KEY) -> tuple[list[bool], int]:
    """A start that compiles these graphs: which it found, and how many it says it found."""
    cache = GraphCache()
    cache.open(folder, key)
    found = []
    for number, name in enumerate(names):
        with cache.compiling(name):
            found.append(compile_as_mindspore(number))
    cache.close()
    return found, cache.found


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_start_compiled_the_next_one_finds(tmp_path: Path) -> None:
    assert start(tmp_path) == ([False] * 3, 0)
    assert start(tmp_path) == ([True] * 3, 3)
    assert start(tmp_path) == ([True] * 3, 3)
    assert kept(tmp_path) == [f"graphs-{KEY}"]


def test_another_key_finds_nothing(tmp_path: Path) -> None:
    start(tmp_path)
    assert start(tmp_path, key="decaf") == ([False] * 3, 0)
    assert kept(tmp_path) == [f"graphs-{KEY}", "graphs-decaf"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([NAMES[1], NAMES[0], NAMES[2]], [False, False, False]),
        ([NAMES[0], NAMES[2], NAMES[1]], [True, False, False]),
        ([NAMES[0], "Step((1, 8), 2)", NAMES[2]], [True, False, False]),
        ([*NAMES, "Decoder((1, 4),)"], [True, True, True, False]),
        (NAMES[:2], [True, True]),
    ],
)
def test_the_first_graph_that_is_not_the_expected_one_and_all_after_it_are_compiled(
    names: list[str], found: list[bool], tmp_path: Path
) -> None:
    start(tmp_path)
    assert start(tmp_path, names) == (found, sum(found))


def test_graphs_that_are_not_the_expected_ones_make_room_for_those_that_are(tmp_path: Path) -> None:
    start(tmp_path)
    others = [NAMES[0], NAMES[2], NAMES[1]]
    start(tmp_path, others)
    assert start(tmp_path, others) == ([False] * 3, 0)
    assert start(tmp_path, others) == ([True] * 3, 3)


def test_a_start_that_needs_fewer_graphs_leaves_the_others(tmp_path: Path) -> None:
    start(tmp_path)
    start(tmp_path, NAMES[:2])
    assert start(tmp_path) == ([True] * 3, 3)


def test_graphs_that_mindspore_cannot_load_are_made_anew(tmp_path: Path) -> None:
    start(tmp_path)
    file = tmp_path / f"graphs-{KEY}" / "rank_0" / "graph_cache" / "compile_cache_1.mindir"
    write_whole(file, "of another MindSpore")
    seal = tmp_path / f"graphs-{KEY}" / "seal.json"
    sealed = json.loads(seal.read_text())
    sealed["files"]["rank_0/graph_cache/compile_cache_1.mindir"] = hashlib.sha256(file.read_bytes()).hexdigest()
    seal.write_text(json.dumps(sealed))
    assert start(tmp_path) == ([True, False, True], 0)
    assert start(tmp_path) == ([False] * 3, 0)
    assert start(tmp_path) == ([True] * 3, 3)


def cut(file: Path) -> None:
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [cut, Path.unlink, lambda file: file.with_name("another").write_text("more")])
@pytest.mark.parametrize("name", ["seal.json", "rank_0/graph_cache/compile_cache_1.mindir"])
def test_a_folder_that_is_not_as_it_was_sealed_is_made_anew(
    damage: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    start(tmp_path)
    damage(tmp_path / f"graphs-{KEY}" / name)
    assert start(tmp_path) == ([False] * 3, 0)
    assert start(tmp_path) == ([True] * 3, 3)


@pytest.mark.parametrize("seal", ["", "[]", "{}", '{"graphs": 1, "files": {}}', "null"])
def test_a_seal_that_says_something_else_is_none(seal: str, tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / f"graphs-{KEY}" / "seal.json").write_text(seal, encoding="utf-8")
    assert start(tmp_path) == ([False] * 3, 0)


def test_a_start_that_does_not_end_leaves_nothing_to_find(tmp_path: Path) -> None:
    killed = GraphCache()
    killed.open(tmp_path, KEY)
    with killed.compiling(NAMES[0]):
        compile_as_mindspore(0)
    assert start(tmp_path) == ([False] * 3, 0)


def test_of_two_starts_at_once_one_keeps_its_graphs(tmp_path: Path) -> None:
    first, second = GraphCache(), GraphCache()
    for cache in (first, second):
        cache.open(tmp_path, KEY)
        with cache.compiling(NAMES[0]):
            assert not compile_as_mindspore(0)
    first.close()
    second.close()
    assert kept(tmp_path) == [f"graphs-{KEY}"]
    assert start(tmp_path, NAMES[:1]) == ([True], 1)


def test_what_mindspore_did_not_write_is_not_sealed(tmp_path: Path) -> None:
    cache = GraphCache()
    cache.open(tmp_path, KEY)
    for number, name in enumerate(NAMES):
        with cache.compiling(name):
            if number != 1:  # no room on the disk for a moment
                compile_as_mindspore(number)
    cache.close()
    assert kept(tmp_path) == []


@pytest.mark.parametrize("file", ["compile_cache_1.mindir", "compile_dependency.hash"])
@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.chmod(0o600)])
def test_what_mindspore_did_not_write_to_the_end_is_not_sealed(
    harm: Callable[[Path], object], file: str, tmp_path: Path
) -> None:
    cache = GraphCache()
    cache.open(tmp_path, KEY)
    for number, name in enumerate(NAMES):
        with cache.compiling(name):
            compile_as_mindspore(number)
    (path,) = tmp_path.rglob(file)
    harm(path)
    cache.close()
    assert kept(tmp_path) == []


def test_without_a_place_to_write_to_everything_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert start(tmp_path / "file") == ([False] * 3, 0)


def test_before_opening_and_after_closing_graphs_are_compiled(tmp_path: Path) -> None:
    cache = GraphCache()
    with cache.compiling(NAMES[0]):
        assert os.environ.get("MS_COMPILER_CACHE_ENABLE") != "1"
    cache.open(tmp_path, KEY)
    cache.close()
    with cache.compiling(NAMES[0]):
        assert os.environ.get("MS_COMPILER_CACHE_ENABLE") != "1"


@pytest.mark.parametrize("finds_graphs", [False, True])
def test_what_killed_starts_left_goes_after_an_hour_and_what_nobody_asks_for_after_a_month(
    finds_graphs: bool, tmp_path: Path
) -> None:
    if finds_graphs:
        start(tmp_path)
    hours = 60 * 60
    ages = {"graphs-used": 29 * 24 * hours, "graphs-old": 31 * 24 * hours}
    for name, age in ages.items():
        start(tmp_path, key=name.removeprefix("graphs-"))
        os.utime(tmp_path / name, times=(0, time.time() - age))
    for name, age in {"graphs-killed.x": 2 * hours, "graphs-starting.x": 0}.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, times=(0, time.time() - age))
    (tmp_path / "cpu-kernels.so").touch()
    os.utime(tmp_path / "cpu-kernels.so", times=(0, 0))
    start(tmp_path)
    assert kept(tmp_path) == ["cpu-kernels.so", f"graphs-{KEY}", "graphs-starting.x", "graphs-used"]


def test_a_start_that_finds_graphs_keeps_them_for_another_month(tmp_path: Path) -> None:
    start(tmp_path)
    os.utime(tmp_path / f"graphs-{KEY}", times=(0, 0))
    start(tmp_path)
    assert time.time() - (tmp_path / f"graphs-{KEY}").stat().st_mtime < 60


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [("run", b"#!/usr/bin/python\nimport sys\n", True), ("run", b"\x7fELF\xff", False), ("run", b"import (", False)],
)
def test_graphs_are_kept_of_programs_that_mindspore_can_read(
    name: str, content: bytes, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr("sys.argv", [str(tmp_path / name)])
    assert program_is_python() is expected
    monkeypatch.setattr("sys.argv", ["-c"])
    assert not program_is_python()


def test_a_key_changes_with_its_parts_the_sources_the_versions_and_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"model": "a", "flags": [("dtype", "float32")]}
    (tmp_path / "networks").mkdir()
    source = tmp_path / "networks" / "unet.py"
    source.write_text("1", encoding="utf-8")
    monkeypatch.setattr(graph_cache, "_SOURCES", tmp_path)
    keys = [
        graphs_key(parts),
        graphs_key({**parts, "model": "b"}),
        graphs_key({**parts, "flags": [("dtype", "float16")]}),
    ]
    source.write_text("2", encoding="utf-8")
    keys.append(graphs_key(parts))
    for version in ("mindspore.__version__", "numpy.__version__", "sys.version"):
        monkeypatch.setattr(version, "0.0.0")
        keys.append(graphs_key(parts))
    program = tmp_path / "another.txt"
    for content in ("1", "2"):
        program.write_text(content, encoding="utf-8")
        monkeypatch.setattr("sys.argv", [str(program)])
        keys.append(graphs_key(parts))
    assert len(set(keys)) == len(keys)
    assert graphs_key(parts) == keys[-1]
