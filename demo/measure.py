"""`make demo-quality`: does the demo follow its prompts and keep its sketches? Measured on held-out cases.

The pictures are made by the pipeline in one process, with the checkpoint's own defaults and the seed of each case's
number. At the default strength all cases are measured, at the others the first few.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # before MindSpore is imported, as the servers do

from PIL import Image

from demo.drawing.cases import Case, held_out_cases
from demo.quality import Score, Summary, score, summary
from kandinsky.decoder_model import DecoderModel, load_decoder
from kandinsky.loading import Runtime
from kandinsky.ops import use_device, with_fast_paths
from kandinsky.pipeline import img2img, prior
from kandinsky.prior_model import PriorModel, load_prior

_CHECKPOINT = Path(__file__).resolve().parent / "checkpoint"
_CASES_SEED = 2021
_STRENGTHS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Demo:
    """The demo checkpoint in one process, as the servers run it, or without the CPU's fast paths."""

    def __init__(self, checkpoint: Path = _CHECKPOINT, *, fast_paths: bool = True) -> None:
        plain = use_device("CPU")
        runtime = Runtime(with_fast_paths(plain) if fast_paths else plain)
        self.prior: PriorModel = load_prior(checkpoint / "prior", runtime)
        self.decoder: DecoderModel = load_decoder(checkpoint / "decoder", runtime)

    def picture(self, prompt: str, sketch: Image.Image, seed: int, strength: float | None = None) -> Image.Image:
        """One picture with the checkpoint's defaults; strength None is the default, too."""
        embeddings = prior(self.prior, prompt, seed=seed)
        return img2img(self.decoder, sketch, embeddings, prompt, seed=seed, strength=strength)[0]

    def measure(self, cases: Sequence[Case], strength: float) -> list[Score]:
        """Each case with its number for a seed."""
        return [
            score(self.picture(case.prompt, case.sketch, seed, strength), case.mask, case.foreground, case.background)
            for seed, case in enumerate(cases)
        ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and the result line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=240, help="cases at the default strength")
    parser.add_argument("--table-cases", type=int, default=48, help="cases at each of the other strengths")
    arguments = parser.parse_args(argv)
    demo = Demo()
    default = demo.decoder.defaults.strength
    cases = held_out_cases(arguments.cases, seed=_CASES_SEED)
    print("strength  pictures  foreground  background    IoU  seconds a picture")
    result = _row(demo, cases, default)
    for strength in _STRENGTHS:
        if strength != default:
            _row(demo, cases[: arguments.table_cases], strength)
    first = demo.picture(cases[0].prompt, cases[0].sketch, seed=0).tobytes()
    same = first == demo.picture(cases[0].prompt, cases[0].sketch, seed=0).tobytes()
    other = first != demo.picture(cases[0].prompt, cases[0].sketch, seed=1).tobytes()
    print(f"the same seed gives the same bytes: {same}; another seed gives another picture: {other}")
    print(
        f"RESULT demo-quality foreground={result.foreground:.3f} background={result.background:.3f} "
        f"iou={result.iou:.3f}"
    )
    return 0


def _row(demo: Demo, cases: Sequence[Case], strength: float) -> Summary:
    started = time.perf_counter()
    result = summary(demo.measure(cases, strength))
    seconds = (time.perf_counter() - started) / len(cases)
    print(
        f"{strength:8.2f}  {result.pictures:8}  {result.foreground:10.3f}  {result.background:10.3f}  {result.iou:5.3f}"
        f"  {seconds:17.2f}",
        flush=True,
    )
    return result


if __name__ == "__main__":
    sys.exit(main())
