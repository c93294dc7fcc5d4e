"""Becomes another program that does not outlive the process that started it.

    python -m kandinsky_client.cli.child PARENT_PID PROGRAM [ARGUMENT …]

On Linux the kernel kills it when the parent dies, however that happens: nobody would ever stop it otherwise. Elsewhere
it is stopped only by a parent that ends in good order.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Tie this process to its parent and become the program; does not return."""
    parent, program = int(argv[0]), argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
