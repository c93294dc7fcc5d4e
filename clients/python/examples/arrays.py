"""NumPy in and out, and embeddings that are mixed, kept and used again: `python arrays.py folder`."""

import os
import sys
from pathlib import Path

import numpy as np

from kandinsky_client import Client, Embeddings


def main(folder: str) -> None:
    """Start from an array and from a mix of two prompts."""
    gradient = np.linspace(0, 255, 128 * 128 * 3).reshape(128, 128, 3).astype(np.uint8)
    file = Path(folder) / "mix.bin"
    with Client(os.environ.get("KANDINSKY_SERVER", "127.0.0.1:50050")) as client:
        client.interpolate(["a red circle", "a blue square"], weights=[0.7, 0.3]).embeddings.save(file)
        mix = Embeddings.load(file)
        result = client.img2img(gradient, "a red circle", embeddings=mix, seed=0)
    print(mix.image_embeds.shape, np.asarray(result.image).shape)


if __name__ == "__main__":
    main(*sys.argv[1:])
