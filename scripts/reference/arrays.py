"""Named arrays, and the safetensors files that hold them."""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


def number(results: Iterable[Arrays]) -> Arrays:
    """The arrays of case 0 named `0.<name>`, those of case 1 `1.<name>`, and so on."""
    return {f"{index}.{name}": array for index, result in enumerate(results) for name, array in result.items()}


def save(file: Path, arrays: Arrays) -> None:
    """Writes `arrays` with a note of the library versions that made them; the same numbers give the same bytes."""
    # one entry of metadata: safetensors writes several in random order
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "transformers", "pillow"))
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(contiguous, file, metadata={"made_with": versions})
