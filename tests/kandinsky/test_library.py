"""The operators' library is built once and kept, mended where it is broken, and done without where it cannot be had."""

import errno
import fcntl
import logging
import os
import pwd
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from stand_in_compilers import StandInCompilers

from kandinsky.cpu_kernels import compilers
from kandinsky.cpu_kernels.build import build_library, find_or_build
from kandinsky.cpu_kernels.library import Library
from kandinsky.ops import Kernels, use_device, with_fast_paths

INCLUDED = "In file included from product.h:8:\\nvectors.h:9:9: error: no shuffle was declared\\nvectors.h:9: note: so"


@pytest.fixture(scope="module")
def plain() -> Kernels:
    return use_device("CPU")


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "kandinsky-serving").iterdir())


def test_a_library_is_built_once(library: Library, stand_in_compilers: StandInCompilers, tmp_path: Path) -> None:
    stand_in_compilers.add_copier("c++", library.path)
    first, second = build_library(), build_library()
    assert first is not None
    assert second is not None
    assert kept(tmp_path) == [first.path] == [second.path]
    assert stand_in_compilers.built == ["c++"]


def test_who_asks_while_another_builds_waits_and_builds_nothing(
    library: Library, stand_in_compilers: StandInCompilers, tmp_path: Path
) -> None:
    # Each build reports that it began, and ends when the test says so.
    begun, end = tmp_path / "begun", tmp_path / "end"
    os.mkfifo(end)
    waits = f'[ "${{target%.so}}" = "$target" ] || {{ echo >>{begun}; read line <{end} || :; }}'
    stand_in_compilers.add("c++", f'/bin/cp {library.path} "$target"; {waits}')
    with ThreadPoolExecutor() as threads:
        asked = [threads.submit(find_or_build) for _ in range(3)]
        while not begun.exists():
            assert not any(each.done() for each in asked)
        wait(asked, timeout=0.2)  # time to begin, too, for who does not wait
        end_of_builds = os.open(end, os.O_RDWR)
        os.write(end_of_builds, b"\n" * 3)
        found = [each.result() for each in asked]
        os.close(end_of_builds)
    assert [each.path for each in found] == kept(tmp_path) * 3
    assert sorted(each.build_seconds > 0 for each in found) == [False, False, True]
    assert stand_in_compilers.built == ["c++"]


def test_where_folders_cannot_be_locked_operators_are_built_all_the_same(
    library: Library, stand_in_compilers: StandInCompilers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    stand_in_compilers.add_copier("c++", library.path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    assert find_or_build().build_seconds > 0


def test_building_imports_no_mindspore() -> None:
    program = "import sys, kandinsky.cpu_kernels.build; print('mindspore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("left", [0.0, 0.4, 0.9, 1.0])
def test_a_library_whose_end_is_lost_is_built_again(
    left: float, library: Library, stand_in_compilers: StandInCompilers, tmp_path: Path
) -> None:
    stand_in_compilers.add_copier("c++", library.path)
    build_library()
    (path,) = kept(tmp_path)
    content = path.read_bytes()
    path.unlink()  # this process has it in use
    # As a power loss leaves it: shorter, or with zeros where nothing was written yet.
    whole = int(left * len(content))
    path.write_bytes(content[:whole] if left < 1.0 else content[: whole // 2] + bytes(whole - whole // 2))
    mended = build_library()
    assert mended is not None
    assert mended.functions.Threads() > 0
    assert stand_in_compilers.built == ["c++", "c++"]


def test_what_does_not_load_when_it_is_new_is_done_without(
    plain: Kernels,
    stand_in_compilers: StandInCompilers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stand_in_compilers.add("c++", 'echo "no library" >"$target"')
    with caplog.at_level(logging.WARNING):
        assert with_fast_paths(plain) is plain
    (message,) = caplog.messages
    assert "cannot be built" in message
    assert "XDG_CACHE_HOME" in message
    assert stand_in_compilers.built == ["c++"]


def test_without_a_compiler_the_plain_operators_serve(
    plain: Kernels, stand_in_compilers: StandInCompilers, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in_compilers.add("c++", "exit 1")
    (stand_in_compilers.folder / "c++").write_text("#!/bin/sh\nexit 1")  # one that does not even tell its version
    with caplog.at_level(logging.WARNING):
        assert with_fast_paths(plain) is plain
    (message,) = caplog.messages
    assert "no C++ compiler" in message
    assert "GCC 12" in message


def nobody(uid: int) -> None:
    raise KeyError(uid)


@pytest.mark.parametrize("home", [None, "/proc/nowhere"])
def test_without_a_folder_to_write_to_the_plain_operators_serve(
    home: str | None,
    plain: Kernels,
    library: Library,
    stand_in_compilers: StandInCompilers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stand_in_compilers.add_copier("c++", library.path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    with caplog.at_level(logging.WARNING):
        assert with_fast_paths(plain) is plain
    (message,) = caplog.messages
    assert "no place to keep them" in message
    assert "set XDG_CACHE_HOME" in message


def test_where_one_compiler_fails_the_next_is_asked_and_then_no_more(
    library: Library, stand_in_compilers: StandInCompilers, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in_compilers.add("c++", f"printf '{INCLUDED}' >&2; exit 1", version="c++ (old) 9.1")
    stand_in_compilers.add("g++", "exit 1", version="g++ (old) 9.1")  # the same one
    stand_in_compilers.add_copier("clang++", library.path)
    assert build_library() is not None
    assert build_library() is not None
    assert stand_in_compilers.built == ["c++", "clang++"]
    assert caplog.messages == []


def test_where_all_compilers_fail_the_first_error_of_each_is_told(
    plain: Kernels, stand_in_compilers: StandInCompilers, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in_compilers.add("c++", f"printf '{INCLUDED}' >&2; exit 1")
    stand_in_compilers.add("clang++", "exit 1")
    with caplog.at_level(logging.WARNING):
        assert with_fast_paths(plain) is plain
    (message,) = caplog.messages
    assert "cannot be built" in message
    assert "c++: vectors.h:9:9: error: no shuffle was declared; " in message
    assert "clang++: it says nothing of why" in message
    assert "included" not in message
    assert "\n" not in message


def test_a_source_that_does_not_compile_is_told(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.cc").write_text("no C++")
    monkeypatch.setattr(compilers, "_FOLDER", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert build_library() is None
    assert "broken.cc:1:1: error" in caplog.text


@pytest.mark.parametrize("told", ["3", "", "0", "many"])
def test_the_operators_share_the_threads_they_are_told_or_all_cores(told: str, library: Library) -> None:
    # In a process of its own, for MindSpore sets the variable when it is imported, and the crew is made once.
    program = """
from kandinsky.cpu_kernels.build import build_library
from kandinsky.ops import use_device, with_fast_paths

with_fast_paths(use_device("CPU"))
print(build_library().functions.Threads())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": told}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == (3 if told == "3" else len(os.sched_getaffinity(0)))
