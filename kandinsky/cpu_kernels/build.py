"""The operators of this folder's C++ files, compiled once a machine and kept in the user's cache."""

import fcntl
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from kandinsky.cpu_kernels.compilers import NAMES, Compiler, find_compilers
from kandinsky.cpu_kernels.library import Library, load, seal
from kandinsky.user_cache import user_cache_folder

_log = logging.getLogger("kandinsky.cpu_kernels")


class NotBuiltError(Exception):
    """There are no operators; says why and what to do."""


def find_or_build() -> Library:
    """The operators, loaded: from the user's cache, or built there now. Says nothing, whatever comes of it.

    What is kept but does not load is built once more.

    Raises:
        NotBuiltError: there is no compiler that can, or no place to keep them.
    """
    places = _places()
    if (kept := _kept(places.values())) is not None:
        return kept
    folder = next(iter(places.values())).parent
    with _turn(folder):
        # Whoever had the turn before has built it, mostly.
        kept = _kept(places.values())
        return _built(places) if kept is None else kept


def build_library(find: Callable[[], Library] = find_or_build) -> Library | None:
    """The operators, loaded; None, with a warning, where there are none.

    Args:
        find: as `find_or_build`; for who has begun earlier.
    """
    try:
        library = find()
    except NotBuiltError as error:
        _log.warning("the CPU's fast paths are off, and the plain operators serve: %s", error)
        return None
    if library.build_seconds > 0:
        _log.info("built the CPU's operators", extra={"path": str(library.path), "seconds": library.build_seconds})
    return library


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One builder of all processes at a time, so that none does what another does.

    Where a folder cannot be locked several may build, each of which renames a finished file into place.
    """
    with ExitStack() as held:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _places() -> Mapping[Compiler, Path]:
    """Where each compiler's library is kept, or would be."""
    compilers = find_compilers()
    if not compilers:
        raise NotBuiltError(
            f"there is no C++ compiler ({', '.join(NAMES)}); install GCC 12 or newer, or a recent Clang"
        )
    try:
        folder = user_cache_folder()
        return {compiler: folder / f"cpu-kernels-{compiler.key()}.so" for compiler in compilers}
    except (OSError, RuntimeError) as error:
        raise NotBuiltError(
            f"there is no place to keep them ({error}); set XDG_CACHE_HOME to a folder that can be written to"
        ) from error


def _kept(libraries: Iterable[Path]) -> Library | None:
    for library in libraries:
        with suppress(OSError):
            return load(library)
    return None


def _built(places: Mapping[Compiler, Path]) -> Library:
    """By the first compiler whose library loads."""
    failures = []
    began = time.perf_counter()
    for compiler, library in places.items():
        try:
            _build(compiler, library)
            return replace(load(library), build_seconds=round(time.perf_counter() - began, 3))
        except (OSError, subprocess.SubprocessError) as error:
            failures.append(f"{compiler.path}: {error}")
    raise NotBuiltError(
        f"they cannot be built ({'; '.join(failures)}); install GCC 12 or newer, or a recent Clang, and see that "
        "libraries may be loaded from the cache folder, or set XDG_CACHE_HOME to one of which that is true"
    )


def _build(compiler: Compiler, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / library.name
        compiler.compile(built)
        seal(built)
        built.rename(library)
