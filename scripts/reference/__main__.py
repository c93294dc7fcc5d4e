"""Command line: `checkpoint` writes random weights, `golden` writes down what diffusers computes with them."""

import argparse
from pathlib import Path

import torch

from scripts.reference.checkpoint import COMPONENTS, Storage, write_checkpoint
from scripts.reference.compare import compare
from scripts.reference.golden import PARTS, write_golden


def main() -> None:
    """Runs the command that the arguments name."""
    torch.set_num_threads(1)  # the order of sums, hence the last bits, must not depend on the machine's cores
    arguments = _parser().parse_args()
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.reference", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add_checkpoint(commands.add_parser("checkpoint", help="a checkpoint with random weights for any configs"))
    _add_golden(commands.add_parser("golden", help="what diffusers computes with a checkpoint"))
    _add_compare(commands.add_parser("compare", help="how far two sets of reference files lie apart"))
    return parser


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configs", type=Path, help="folder with prior/ and decoder/, a config.json in each component")
    parser.add_argument("folder", type=Path, help="where the checkpoint is written; may be the same folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", nargs="+", choices=COMPONENTS, default=COMPONENTS, metavar="COMPONENT", help=", ".join(COMPONENTS)
    )
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of the weights on disk")
    parser.add_argument("--variant", help="such as fp16, goes into the file names")
    parser.add_argument("--max-shard-size", default="10GB", help="such as 500KB; larger weights are sharded")
    parser.add_argument("--tokenizers", type=Path, help="a checkpoint to copy them from; by default they are trained")
    parser.set_defaults(run=_checkpoint)


def _checkpoint(arguments: argparse.Namespace) -> None:
    storage = Storage(getattr(torch, arguments.dtype), arguments.variant, arguments.max_shard_size)
    write_checkpoint(
        arguments.configs,
        arguments.folder,
        seed=arguments.seed,
        components=arguments.only,
        storage=storage,
        tokenizers=arguments.tokenizers,
    )


def _add_golden(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a checkpoint; cases and a picture are made if missing")
    parser.add_argument("--out", type=Path, help="where the numbers are written; by default beside the checkpoint")
    parser.add_argument("--inputs", type=Path, help="safetensors file to take the networks' inputs from; else drawn")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.set_defaults(run=_golden)


def _golden(arguments: argparse.Namespace) -> None:
    write_golden(arguments.folder, arguments.out or arguments.folder, arguments.inputs, arguments.parts)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-5, help="relative to an array's largest magnitude")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    if not compare(arguments.folder, arguments.other, arguments.tolerance):
        raise SystemExit(f"{arguments.folder} and {arguments.other} differ by more than {arguments.tolerance:g}")


if __name__ == "__main__":
    main()
