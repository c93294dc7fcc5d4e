"""What a request takes by itself, prior and decoder, in one process: the trace's load and every slowdown hang on it.

`python -m benchmarks.serving.alone` measures, in a process of its own: the load comes from one without MindSpore.
"""

import asyncio
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.batching.trace import Arrival
from benchmarks.serving.job import job
from benchmarks.serving.settings import SKETCH, Settings

_FEW_STEPS = 5
_MANY_STEPS = 45
_ROUNDS = 7


@dataclass(frozen=True)
class Alone:
    """What requests take by themselves.

    Attributes:
        seconds: of each side in pixels, all of a request but its UNet steps, and one step.
    """

    seconds: Mapping[int, tuple[float, float]]

    def of(self, arrival: Arrival) -> float:
        """Seconds of a request."""
        rest_seconds, step_seconds = self.seconds[arrival.shape.width_px]
        return rest_seconds + arrival.steps_run * step_seconds

    @classmethod
    def from_medians(cls, medians: Mapping[int, tuple[float, float]]) -> Self:
        """Of each side's seconds with few steps and with many."""
        seconds = {}
        for side_px, (few_seconds, many_seconds) in medians.items():
            step_seconds = (many_seconds - few_seconds) / (_MANY_STEPS - _FEW_STEPS)
            seconds[side_px] = (few_seconds - _FEW_STEPS * step_seconds, step_seconds)
        return cls(seconds)


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
    medians = json.loads(output.splitlines()[-1])
    return Alone.from_medians({int(side_px): tuple(pair) for side_px, pair in medians.items()})


def main() -> None:
    """Prints medians of several rounds over all sides, few steps and many; the first, cold one is left out."""
    from benchmarks.serving.predictor import Predictor

    settings = Settings.from_environment()
    predictor = Predictor(settings)
    image = SKETCH.read_bytes()
    taken: dict[tuple[int, int], list[float]] = {}
    for number in range(_ROUNDS + 1):
        for side_px in settings.sides_px:
            for steps in (_FEW_STEPS, _MANY_STEPS):
                started = time.perf_counter()
                predictor.pictures([job(number, side_px, steps, 1.0, image)])
                taken.setdefault((side_px, steps), []).append(time.perf_counter() - started)
    medians = {
        side_px: [statistics.median(taken[side_px, steps][1:]) for steps in (_FEW_STEPS, _MANY_STEPS)]
        for side_px in settings.sides_px
    }
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
