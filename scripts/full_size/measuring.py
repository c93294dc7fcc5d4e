"""Seconds and peak memory of a phase of this process."""

import json
import mmap
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

READ = "read the files"
LOAD = "load"

_READ_BYTES = 1 << 24


@dataclass(frozen=True)
class Phase:
    """What one phase took. The peak is the process's largest resident memory while it ran, file mappings included."""

    tier: str
    name: str
    seconds: float
    peak_bytes: int


@contextmanager
def phase(tier: str, name: str) -> Iterator[None]:
    """Measures its body and prints the `Phase` as one line of JSON."""
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM (proc(5))
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    print(json.dumps(asdict(Phase(tier, name, seconds, _peak_bytes()))), flush=True)


def read_files(folder: Path) -> None:
    """Reads every weights file below the folder from beginning to end, as cat does."""
    buffer = bytearray(_READ_BYTES)
    for path in weight_files(folder):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def forget_files(folder: Path) -> None:
    """Drops the files' pages from the system's cache, so that what comes next reads them from the disk."""
    for path in weight_files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def claim_memory(size_bytes: int) -> None:
    """Touches so much memory once and frees it.

    A virtual machine gets memory from its host at the first touch, which may take seconds a gigabyte. It is not what
    is measured here, so it is done before.
    """
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE] = 1


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files below the folder."""
    return sorted(folder.rglob("*.safetensors"))


def _peak_bytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError("/proc/self/status has no VmHWM; this script needs Linux")
    return int(found[1]) * 1024
