"""`run_server` when warm-up does not get through: a signal in its midst, an error, a bug."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
from serving.bootstrap import run_server
from serving.config import ServerConfig, StartupError
from tests.serving.fakes import ObedientPrior

class Prior(ObedientPrior):
    async def _warm_up(self):
        print("warming up", flush=True)
        {warm_up}
    async def close(self):
        print("closed", flush=True)

def build(config):
    return Prior().application()

run_server("kandinsky-prior", "Serves a prior.", ServerConfig, build, {argv})
"""


def start(warm_up: str, *argv: str) -> "subprocess.Popen[str]":
    root = str(Path(__file__).parents[2])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KANDINSKY_")}
    environment["PYTHONPATH"] = os.pathsep.join([root, *sys.path])
    command = [sys.executable, "-W", "error", "-c", PROGRAM.format(warm_up=warm_up, argv=list(argv))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_warm_up_ends_it_cleanly(number: signal.Signals) -> None:
    with start("await asyncio.Event().wait()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "warming up\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "closed\n")
    assert "Traceback" not in err


def test_a_second_signal_kills() -> None:
    ignore_cancellation = "import time; time.sleep(600)"  # a load that does not listen
    warm_up = f"await asyncio.to_thread(exec, {ignore_cancellation!r})"
    with start(warm_up) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "warming up\n"
        process.terminate()
        assert process.stdout.readline() == "closed\n"
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


def test_a_start_up_error_is_one_line() -> None:
    with start('raise StartupError("no model in x; choose another with --model")') as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "warming up\nclosed\n")
    assert err == "kandinsky-prior: no model in x; choose another with --model\n"


def test_a_taken_port_closes_what_was_built() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start("pass", "--port", str(port)) as process:
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "closed\n")
    assert err == f"kandinsky-prior: port {port} on 127.0.0.1 is in use; choose another with --port\n"


def test_a_bug_at_the_start_keeps_its_trace() -> None:
    with start("1 / 0") as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "warming up\nclosed\n")
    assert "ZeroDivisionError" in err


def test_the_garbage_collector_comes_back_when_the_server_is_ready_and_leaves_alone_what_was_loaded() -> None:
    tell = "print(gc.isenabled(), gc.get_freeze_count() > 0, flush=True)"
    with start(f"import atexit, gc; {tell}; atexit.register(lambda: {tell})", "--port", "0") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert lines[:2] == ["warming up\n", "False False\n"]
    assert lines[2].startswith("kandinsky-prior ready on ")
    assert (process.returncode, out) == (0, "closed\nTrue True\n"), err
