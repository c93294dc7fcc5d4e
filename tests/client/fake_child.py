"""A FAKE server process: connects to a test (FAKE_CONTROL), says who it is, and does what it is told.

Understands a line at a time: `ready ADDRESS`, `say TEXT` (stdout), `exit CODE REASON` (on stderr), `stubborn`.
"""

import json
import os
import signal
import socket
import sys


def obey(command: str, text: str) -> None:
    if command == "ready":
        print(f"fake ready on {text}", flush=True)  # noqa: T201
    elif command == "say":
        print(text, flush=True)  # noqa: T201
    elif command == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif command == "exit":
        code, _, reason = text.partition(" ")
        sys.stderr.write(f"{reason}\n" if reason else "")
        sys.exit(int(code))


host, port = os.environ["FAKE_CONTROL"].split(":")
with socket.create_connection((host, int(port))) as control, control.makefile("rw") as orders:
    orders.write(json.dumps([os.getpgrp(), *sys.argv[1:]]) + "\n")
    orders.flush()
    for order in orders:
        obey(*order.rstrip("\n").partition(" ")[::2])
        orders.write("done\n")
        orders.flush()
    signal.pause()
