"""What files hold, read again when they change: keys and tokens are replaced while a server runs."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

Value = TypeVar("Value")

# The times of the last change of content and of access, size and number.
_Stamp = tuple[int, int, int, int] | None

_log = logging.getLogger("serving.watched")


class Watched(Generic[Value]):
    """The value that some files make; the last good one while they hold nothing usable, as in the midst of a change.

    Args:
        paths: the files; a change of any, also by a link's new target, is a change.
        read: makes the value of them. Raises OSError or ValueError if it cannot, which the constructor passes on.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], Value]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._stamps = self._look()
        self._value = read()

    def current(self) -> Value:
        """The value now; the same object until the files change. May be called from any thread."""
        stamps = self._look()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._value = self._read()
            except (OSError, ValueError) as error:
                _log.error("kept the last good version", extra={"files": self._names(), "error": why_unusable(error)})
            else:
                _log.info("read again", extra={"files": self._names()})
        return self._value

    def _look(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._paths]

    def _names(self) -> list[str]:
        return [str(path) for path in self._paths]


def why_unusable(error: OSError | ValueError) -> str:
    """What a user is told of an error of `read`: which file, and what is wrong with it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _stamp(path: Path) -> _Stamp:
    try:
        seen = os.stat(path)  # noqa: PTH116 - on every call and handshake, so without the detour
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino
