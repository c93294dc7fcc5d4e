"""Real servers in processes of their own, started as a user starts them."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

TINY = Path(__file__).parent.parent / "reference" / "tiny"
_READY = re.compile(r"(?:ready|serving) on (\S+)")
_START_SECONDS = 120


@contextmanager
def server(
    command: Sequence[str], environment: Mapping[str, str] | None = None, log: list[str] | None = None
) -> Iterator[str]:
    """Run a server until the body ends; yields its address.

    Args:
        command: a module and its arguments, for `python -m`.
        environment: variables on top of the process's own.
        log: gets the lines of its log.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **({} if environment is None else environment)},
    )
    log = [] if log is None else log
    reader = threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True)
    reader.start()
    watchdog = threading.Timer(_START_SECONDS, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
        watchdog.cancel()
        ready = _READY.search(line)
        if ready is None:
            process.wait()
            reader.join()
            pytest.fail(f"{command[0]} did not become ready: {line}{''.join(log)}")
        yield ready.group(1)
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(timeout=60)
        reader.join()
        if process.stdout:
            process.stdout.close()
        if process.stderr:
            process.stderr.close()
