"""Compiled graphs that outlive their process: a start like an earlier one loads them and compiles nothing.

MindSpore's compile cache does the work, but trusts whoever uses it: it knows a graph by its number in the order of
compiling, and gives another model's, or another size's, without a word. So here a folder belongs to a key, which stands
for all that graphs are made of; beside the graphs stand their names, in order, and the first call for another name than
the kept one ends the use of all; and a folder counts only with its seal, which is written last and holds every file's
digest. Graphs whose names do not fit, and those that are not as they were sealed, are made anew by the next start.
"""

import ast
import hashlib
import json
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import mindspore as ms
import numpy as np

_log = logging.getLogger("kandinsky.graph_cache")

# Read by MindSpore at every compilation.
_ENABLED = "MS_COMPILER_CACHE_ENABLE"
# Read by MindSpore once in a process's life.
_FOLDER = "MS_COMPILER_CACHE_PATH"
_SOURCES = Path(__file__).parent
_SEAL = "seal.json"
_PREFIX = "graphs-"
_UNUSED_SECONDS = 30 * 24 * 60 * 60
# A start takes less, so nobody writes there any more.
_UNSEALED_SECONDS = 60 * 60


class GraphCache:
    """The graphs of one process, from `open` to `close`; before and after that, and where there is no folder, none.

    For one process's first graphs: what was compiled before `open` would be missing in the order. Everything happens on
    the device thread.
    """

    def __init__(self) -> None:
        self._place: Path | None = None
        self._folder: Path | None = None
        self._kept: tuple[str, ...] | None = None
        self._names: list[str] = []
        self._misfit = False
        self._declined = False

    def open(self, folder: Path, key: str) -> None:
        """Use the graphs that are kept under this key, or keep those that are compiled from now on.

        Args:
            folder: of all keys; it is there.
            key: letters and digits, for all that graphs depend on.
        """
        self._place = folder / f"{_PREFIX}{key}"
        try:
            self._kept = _sealed_names(self._place)
            if self._kept is None:
                # What is there has no seal that fits: somebody changed it, or the disk did.
                shutil.rmtree(self._place, ignore_errors=True)
                self._folder = Path(tempfile.mkdtemp(prefix=f"{self._place.name}.", dir=folder))
            else:
                self._folder = self._place
                with suppress(OSError):  # what cannot be written to can still be read
                    os.utime(self._place)
        except OSError as error:
            _log.info("graphs are not kept for later starts: %s", error)
        _remove_unused(folder)

    @property
    def found(self) -> int:
        """How many graphs came from an earlier start; after `close`, 0 where MindSpore compiled any of them again."""
        return 0 if self._kept is None or self._declined else len(self._names)

    @contextmanager
    def compiling(self, name: str) -> Iterator[None]:
        """The body compiles a graph, or loads it.

        Args:
            name: what it computes and for which shapes; graphs of one key that differ in anything else come in the
                same order at every start.
        """
        if self._folder is None:
            yield
        elif self._kept is not None and self._kept[len(self._names) : len(self._names) + 1] != (name,):
            _log.info("%s is not what an earlier start compiled here; graphs are compiled from now on", name)
            self._folder = None
            self._misfit = True
            yield
        else:
            self._names.append(name)
            with _environment({_ENABLED: "1", _FOLDER: str(self._folder)}):
                yield

    def close(self) -> None:
        """Keep what was compiled since `open`, where that can be; graphs to come are neither looked for nor kept."""
        folder, self._folder = self._folder, None
        if self._place is None:
            return
        if self._kept is not None:
            self._check(self._place)
        elif folder is not None:
            self._keep(folder, self._place)

    def _check(self, place: Path) -> None:
        # MindSpore writes a graph again that it cannot load, and says nothing; the seal fits no longer then.
        self._declined = _sealed_names(place) != self._kept
        if self._declined:
            _log.info("MindSpore could not load what an earlier start compiled here, and compiled it again")
        if self._misfit:
            shutil.rmtree(place, ignore_errors=True)

    def _keep(self, folder: Path, place: Path) -> None:
        try:
            _seal(folder, self._names)
            folder.rename(place)
        except OSError as error:
            # Mostly another process that had the same graphs to keep and was faster.
            _log.info("graphs are not kept for later starts: %s", error)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name, "") for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.update(before)


def _seal(folder: Path, names: list[str]) -> None:
    # MindSpore takes the right to write from a file that is whole; one that a full disk cut keeps it.
    whole = [path.suffix for path in folder.rglob("*.*") if path.stat().st_mode & stat.S_IWUSR == 0]
    if sorted(whole) != [".hash", *[".mindir"] * len(names)]:
        raise OSError(f"MindSpore kept {whole.count('.mindir')} graphs of {len(names)}")
    (folder / _SEAL).write_text(json.dumps({"graphs": names, "files": _digests(folder)}), encoding="utf-8")


def _sealed_names(folder: Path) -> tuple[str, ...] | None:
    """Names of the graphs in a folder that is as it was sealed."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        seal = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        if seal["files"] == _digests(folder):
            return tuple(seal["graphs"])
    return None


def _digests(folder: Path) -> dict[str, str]:
    """Of every file but the seal, by its path within the folder."""
    return {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _SEAL
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _remove_unused(folder: Path) -> None:
    """Remove what no start has asked for in a month, and what killed starts left."""
    for path in folder.glob(f"{_PREFIX}*"):
        allowed_seconds = _UNUSED_SECONDS if (path / _SEAL).exists() else _UNSEALED_SECONDS
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > allowed_seconds:
                shutil.rmtree(path)


def program_is_python() -> bool:
    """Whether MindSpore can read the program that runs, as its compile cache does: else that would end the process."""
    try:
        ast.parse(_program().read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _program() -> Path:
    return Path(sys.argv[0]).resolve()


def graphs_key(parts: Mapping[str, object]) -> str:
    """The key of graphs for `GraphCache.open`: of this version of the sources, and of MindSpore, Python and NumPy.

    Args:
        parts: whatever else they depend on, each with a `repr` that tells it whole.
    """
    known = {
        "sources": {path.relative_to(_SOURCES).as_posix(): _digest(path) for path in sorted(_SOURCES.rglob("*.py"))},
        "versions": (ms.__version__, np.__version__, sys.version),
        # MindSpore compares it, too, and compiles where it is another.
        "program": (str(_program()), _digest(_program())),
        **parts,
    }
    return hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:32]
