"""A picture of a picture and a prompt: `python img2img.py sketch.png out.png`."""

import os
import sys

from kandinsky_client import Client


def main(sketch: str, out: str) -> None:
    """Make the picture and say what it cost."""
    with Client(os.environ.get("KANDINSKY_SERVER", "127.0.0.1:50050")) as client:
        result = client.img2img(sketch, "a red circle on a blue background", strength=0.7, seed=1234)
    result.image.save(out)  # a Pillow image
    print(f"seed {result.seed}, {result.receipt.denoising_steps} steps, {result.receipt.total_seconds:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
