"""The `kandinsky` command: finds the subcommand and turns what goes wrong into one line and an exit code."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from kandinsky_client.cli import failures

COMMANDS = {
    "img2img": "make pictures of a picture and a prompt",
    "encode-prompt": "turn a prompt into embeddings, to be used with img2img --embeddings",
    "interpolate": "mix texts and pictures into embeddings",
    "info": "show what a server has loaded, its limits and how busy it is",
    "cancel": "stop a running request",
    "serve": "run a whole server on this machine",
    "token": "make a bearer token for a tenant of a gateway",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code.

    Args:
        argv: arguments without the command's name; None: the process's own.
    """
    arguments = _parser().parse_args(argv)
    prog = f"kandinsky {arguments.command}"
    try:
        module = import_module(f"kandinsky_client.cli.{arguments.command.replace('-', '_')}")
        code = int(module.run(arguments.arguments))
        sys.stdout.flush()  # here, where it may fail
        return code
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return failures.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone; Python must not fail once more while it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failures.OTHER
    except failures.EXPECTED as error:
        print(f"{prog}: {failures.line(error)}", file=sys.stderr)
        return failures.exit_code(error)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="kandinsky",
        usage="kandinsky COMMAND [flags]",
        description="Image-to-image with Kandinsky 2.1: the server's command line.",
        epilog="\n".join(
            [
                "commands (each has --help):",
                *(f"  {name:{width}}  {sentence}" for name, sentence in COMMANDS.items()),
                "",
                "exit codes:",
                *(f"  {code:<{width}}  {sentence}" for code, sentence in failures.MEANINGS.items()),
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kandinsky {_version()}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _version() -> str:
    try:
        return version("kandinsky-serving")
    except PackageNotFoundError:
        return "(not installed)"
