"""Four variations at the same time, with asyncio: `python variations.py sketch.png folder`."""

import asyncio
import os
import sys
from pathlib import Path

from kandinsky_client import AsyncClient, RetryPolicy


async def main(sketch: str, folder: str) -> None:
    """Ask for four pictures that share one embedding; wait where the server is full."""
    server = os.environ.get("KANDINSKY_SERVER", "127.0.0.1:50050")
    async with AsyncClient(server, retry=RetryPolicy(retry_busy=True)) as client:
        results = await asyncio.gather(
            *(client.img2img(sketch, "a red circle", seed=seed, prior_seed=0) for seed in range(4))
        )
    for number, result in enumerate(results):
        result.image.save(Path(folder) / f"out-{number}.png")
    print(f"{len(results)} pictures")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
