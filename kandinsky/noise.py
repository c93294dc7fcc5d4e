"""Noise: NumPy's generator, so that every device and every library draws the same numbers from a seed.

mindone's convention: `numpy.random.default_rng(seed).standard_normal(shape)`, cast to float32.
"""

import numpy as np
import numpy.typing as npt

from kandinsky.errors import InputError

MAX_SEED = 2**64 - 1


def generators(seed: int, count: int) -> list[np.random.Generator]:
    """A generator for each of `count` images: image i uses seed + i.

    Raises:
        InputError: a seed is outside 0 … 2**64 - 1.
    """
    if seed < 0 or seed + count - 1 > MAX_SEED:
        raise InputError("seed", f"{seed} is outside 0 … {MAX_SEED - count + 1}")
    return [np.random.default_rng(seed + index) for index in range(count)]


def standard_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The generator's next draw of this shape."""
    return generator.standard_normal(shape).astype(np.float32)
