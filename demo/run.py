"""`make demo`: the three tiers as processes on loopback, one picture through them, and everything stopped again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_OUT = Path("out") / "demo"
_PROMPT = "a red circle on a blue background"
_SEED = "7"


def main() -> int:
    """Make the picture; returns the exit code."""
    _OUT.mkdir(parents=True, exist_ok=True)
    result, grid = _OUT / "result.png", _OUT / "grid.png"
    print("Starting prior, decoder and gateway …", flush=True)
    with _server() as address:
        if address is None:
            return 1
        command = ["img2img", "--server", address, "--prompt", _PROMPT, "--image", str(_sketch()), "--seed", _SEED]
        made = subprocess.run(_kandinsky([*command, "--out", str(result), "--grid", str(grid)]), check=False)
    if made.returncode == 0:
        print(f"The picture: {result}\nThe sketch and the picture side by side: {grid}")
    return made.returncode


@contextmanager
def _server() -> Iterator[str | None]:
    """`kandinsky serve` for the length of the body; yields its address, None if it did not start."""
    process = subprocess.Popen(_kandinsky(["serve", "--port", "0"]), stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        # "kandinsky serving on HOST:PORT (…"; empty if it ended, and then it has said why.
        words = line.split()
        yield words[words.index("on") + 1] if "on" in words else None
    finally:
        process.terminate()
        process.wait()


def _sketch() -> Path:
    own = _ROOT / "demo" / "sketch.png"
    return own if own.exists() else _ROOT / "tests" / "reference" / "tiny" / "sketch.png"


def _kandinsky(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "kandinsky_client.cli", *arguments]


if __name__ == "__main__":
    os.chdir(_ROOT)
    sys.exit(main())
