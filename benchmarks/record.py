"""A measurement's record: a line of JSON that says, besides the figures, what they were measured on."""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("mindspore", "numpy", "grpcio")


def record(config: Mapping[str, object], results: object, peers: Mapping[str, str] | None = None) -> str:
    """The record as a line.

    Args:
        config: what was measured and how: models, sizes, rounds, seeds.
        results: the figures, as JSON can hold them.
        peers: versions of what was measured besides this project.
    """
    machine = {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "platform": platform.platform(),
    }
    own = {"python": platform.python_version(), **versions(_PACKAGES)}
    return json.dumps({**machine, "versions": {**own, **(peers or {})}, "config": dict(config), "results": results})


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of packages of this environment."""
    return {name: version(name) for name in packages}


def _processor() -> str:
    """The CPU's own name where the system tells it, as Linux on x86 does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
