"""What a picture costs as work grows: size, steps, images of one request, requests at once, decoder workers.

One thing at a time is varied around a base: 128 × 128 px, 25 UNet steps under guidance, one picture, one request, one
decoder on all cores. Pictures go through the real servers, and requests come from the Python client. All share one
prompt and one embedding, which is in the gateway's cache after the first, and each picture has noise of its own: what
grows is the decoder's work.
"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from benchmarks.growth.cases import cases, rows
from benchmarks.growth.measuring import measure
from benchmarks.growth.report import record_line, result_line, table
from benchmarks.growth.servers import clients

_ROOT = Path(__file__).resolve().parents[2]
_MODELS = Path("demo/checkpoint")
_SKETCH = Path("demo/sketch.png")
_LOGS = Path("out/bench-growth")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is measured")
    rounds = parser.parse_args().rounds
    os.chdir(_ROOT)
    _LOGS.mkdir(parents=True, exist_ok=True)
    asyncio.run(_until_told(rounds, _SKETCH.read_bytes()))


async def _until_told(rounds: int, image: bytes) -> None:
    """The run; SIGTERM ends it as Ctrl-C does, with everything stopped."""
    running = asyncio.create_task(_run(rounds, image))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await running


async def _run(rounds: int, image: bytes) -> None:
    async with clients(_MODELS, _LOGS) as by_decoders:
        figures = await measure(cases(), by_decoders, image, rounds)
    print(table(rows(), figures))
    print(record_line(rows(), figures, rounds))
    print(result_line(figures))


if __name__ == "__main__":
    main()
