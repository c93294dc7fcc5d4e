"""The CPU's operators keep within their arrays, and their threads out of each other's way."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from kandinsky import cpu_kernels
from kandinsky.cpu_kernels.compilers import find_compilers
from kandinsky.cpu_kernels.library import Library

SOURCES = (*Path(cpu_kernels.__file__).parent.glob("*.cc"), Path(__file__).parent / "drive_operators.cc")


FLAGS = ("-std=c++17", "-O1", "-g", "-march=native", "-pthread", "-fno-sanitize-recover")


def build(sanitizer: str, sources: Sequence[Path], program: Path) -> "subprocess.CompletedProcess[str]":
    command = [find_compilers()[0].path, *FLAGS, f"-fsanitize={sanitizer}", *map(str, sources), "-o", str(program)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_a_sanitizer_finds_nothing_at_random_sizes(sanitizer: str, library: Library, tmp_path: Path) -> None:
    program, nothing = tmp_path / "program", tmp_path / "nothing.cc"
    nothing.write_text("int main() {}")
    if build(sanitizer, [nothing], program).returncode != 0:
        reason = f"this compiler comes without -fsanitize={sanitizer}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    built = build(sanitizer, SOURCES, program)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
