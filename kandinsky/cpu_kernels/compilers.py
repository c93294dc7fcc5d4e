"""The machine's C++ compilers, and what one of them makes of this folder's files."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kandinsky.cpu_kernels.cores import core_count

NAMES = ("c++", "g++", "clang++")

_FOLDER = Path(__file__).parent
# The arithmetic may be fused and reordered, but NaN and infinity stay what they are.
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-pthread",
    "-fPIC",
)
_BUILD_SECONDS = 120


@dataclass(frozen=True)
class Compiler:
    """A compiler that answers.

    Attributes:
        path: what is run.
        version: what it says of itself, less the name that it was called by.
    """

    path: str
    version: str

    def compile(self, target: Path) -> None:
        """Build the operators, on all cores.

        Raises:
            SubprocessError, OSError: it cannot; in one line.
        """
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            objects = {Path(folder) / f"{source.stem}.o": source for source in sorted(_FOLDER.glob("*.cc"))}
            with ThreadPoolExecutor(core_count()) as cores:
                list(cores.map(self._compile_file, objects.values(), objects))
            _run([self.path, *_FLAGS, "-shared", *map(str, objects), "-o", str(target)])

    def _compile_file(self, source: Path, target: Path) -> None:
        _run([self.path, *_FLAGS, "-c", str(source), "-o", str(target)])

    def key(self) -> str:
        """What its library may be kept under: that of other sources, flags, processors or compilers has another."""
        processor = "".join(
            line
            for line in Path("/proc/cpuinfo").read_text().splitlines(True)
            if line.startswith(("model name", "flags", "Features"))
        )
        sources = b"\0".join(path.read_bytes() for path in sorted((*_FOLDER.glob("*.cc"), *_FOLDER.glob("*.h"))))
        parts = (sources, " ".join(_FLAGS).encode(), self.version.encode(), processor.encode())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def find_compilers() -> list[Compiler]:
    """Those on the PATH, each once: what is called c++ mostly has a second name."""
    found: dict[str, Compiler] = {}
    for name in NAMES:
        path = shutil.which(name)
        try:
            version = "" if path is None else _run([path, "--version"]).removeprefix(name)
        except (OSError, subprocess.SubprocessError):
            continue  # one that does not even say what it is builds nothing
        if path is not None:
            found.setdefault(version, Compiler(path, version))
    return list(found.values())


def complaint(log: str) -> str:
    """What a compiler's log is about: GCC's begins with the files that led to the one where the error is."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it says nothing of why")


def _run(command: list[str]) -> str:
    """A compiler's output."""
    done = subprocess.run(  # noqa: S603 - nothing of it is a user's
        command, capture_output=True, text=True, timeout=_BUILD_SECONDS, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode != 0:
        raise subprocess.SubprocessError(complaint(done.stderr))
    return done.stdout
