"""Time of each network against torch and diffusers, on random weights; outputs are compared as well.

Both sides are processes that take turns, case by case and round by round. Needs torch in an interpreter of its own.
"""

import argparse
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.compute.measuring import Row, Side, measure
from benchmarks.compute.sizes import FULL, MIDDLE, TINY, Size
from benchmarks.record import record

_SIZES = {"middle": MIDDLE, "tiny": TINY, "full": FULL}
_TINY_CHECKPOINT = Path("tests/reference/tiny")


def main() -> None:
    """Measures and prints."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Row]] = {}
    versions: dict[str, str] = {}
    for name in arguments.sizes:
        rows[name], versions = _measured(name, arguments)
    results = [{"size": name, **asdict(row)} for name, found in rows.items() for row in found]
    print(record({"sizes": arguments.sizes, "rounds": arguments.rounds}, results, versions))
    print(_result(rows))


def _measured(name: str, arguments: argparse.Namespace) -> tuple[list[Row], dict[str, str]]:
    """A size's rows, and the versions of the peer's packages."""
    size = _SIZES[name]
    checkpoint = _checkpoint(name, size, arguments)
    python = {"torch": arguments.torch_python, "fast": sys.executable}
    if size.plain:
        python["plain"] = sys.executable
    rows: list[Row] = []
    versions: dict[str, str] = {}
    print(f"{name} size, seconds")
    for cases in size.groups:
        sides = {side: Side(python[side], side, checkpoint, arguments.folder) for side in python}
        versions = sides["torch"].versions
        for case in cases:
            rows.append(measure(sides, case, arguments.rounds))
            print(_line(rows[-1]), flush=True)
        for side in sides.values():
            side.close()
    return rows, versions


def _checkpoint(name: str, size: Size, arguments: argparse.Namespace) -> Path:
    """The size's checkpoint, written if it is not there."""
    if size is TINY:
        return _TINY_CHECKPOINT
    checkpoint: Path = arguments.folder / name
    if (checkpoint / "decoder" / "unet").exists():
        return checkpoint
    if size.configs is None:
        command = [sys.executable, "-m", "scripts.full_size", "--stage", "write", "--folder", str(checkpoint)]
    else:
        command = [arguments.torch_python, "-m", "scripts.reference", "checkpoint", str(size.configs), str(checkpoint)]
        command += ["--tokenizers", str(_TINY_CHECKPOINT)]
    subprocess.run(command, check=True)
    return checkpoint


def _line(row: Row) -> str:
    plain = "" if row.plain_seconds is None else f"without fast paths {row.plain_seconds:8.4f}  "
    return (
        f"{row.case!s:22} torch {row.torch_seconds:8.4f}  ours {row.fast_seconds:8.4f} ({row.ratio:.2f})  "
        f"{plain}outputs {row.difference:.1e} apart"
    )


def _result(rows: dict[str, list[Row]]) -> str:
    ratios = []
    for name, found in rows.items():
        of_case = {row.case: row.ratio for row in found}
        ratios += [f"{key}={of_case[case]:.3f}" for key, case in _SIZES[name].results.items()]
    return f"RESULT {'bench-compute-full' if list(rows) == ['full'] else 'bench-compute'} {' '.join(ratios)}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compute", description=__doc__)
    parser.add_argument("--torch-python", required=True, help="an interpreter with the extra [reference]")
    parser.add_argument("--folder", type=Path, default=Path("out/compute"), help="for checkpoints and outputs")
    parser.add_argument(
        "--sizes",
        nargs="+",
        choices=_SIZES,
        default=["middle", "tiny"],
        help="full is Kandinsky 2.1's own: 7 GB of disk, 20 of memory",
    )
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
