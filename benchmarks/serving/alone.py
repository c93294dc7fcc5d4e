"""What a request takes by itself, prior and decoder, in one process: the trace's load and every slowdown hang on it.

`python -m benchmarks.serving.alone` measures, in a process of its own: the load comes from one without MindSpore.
"""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path

from benchmarks.alone import FEW_STEPS, MANY_STEPS, ROUNDS, Alone
from benchmarks.serving.job import job
from benchmarks.serving.settings import SKETCH, Settings
from serving.batching.work import Shape


async def measure_alone(environment: Mapping[str, str], log: Path) -> Alone:
    """Have another process measure it.

    Raises:
        RuntimeError: it has failed.
    """
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.serving.alone", stdout=PIPE, stderr=errors, env=environment
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        raise RuntimeError(f"requests alone could not be measured; the log: {log}")
    taken = json.loads(output.splitlines()[-1])
    return Alone.from_rounds({Shape(int(side_px), int(side_px)): rounds for side_px, rounds in taken.items()})


def main() -> None:
    """Prints the seconds of all rounds: of each side, with few steps and with many."""
    from benchmarks.serving.predictor import Predictor

    settings = Settings.from_environment()
    predictor = Predictor(settings)
    image = SKETCH.read_bytes()
    taken: dict[int, tuple[list[float], list[float]]] = {side_px: ([], []) for side_px in settings.sides_px}
    for number in range(ROUNDS):
        for side_px, rounds in taken.items():
            for steps, seconds in zip((FEW_STEPS, MANY_STEPS), rounds, strict=True):
                started = time.perf_counter()
                predictor.pictures([job(number, side_px, steps, 1.0, image)])
                seconds.append(time.perf_counter() - started)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
