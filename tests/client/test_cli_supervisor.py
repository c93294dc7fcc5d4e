"""`kandinsky serve` keeps three processes together: real processes that are fake servers, told what to do by the test.

Each fake is connected to the test, which so knows that it lives, and sees it die as the connection's end.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE_SECONDS = 30.0


class FakeChild:
    """The test's end of a fake server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rw")
        self.process_group, self.name, *self.arguments = json.loads(self._file.readline())

    def order(self, order: str) -> None:
        self._file.write(f"{order}\n")
        self._file.flush()

    def do(self, order: str) -> None:
        self.order(order)
        assert self._file.readline() == "done\n"

    def died(self) -> bool:
        try:
            return self._file.readline() == ""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self._connection.close()


@dataclass
class Serving:
    """A supervisor and its children, as they come."""

    process: "subprocess.Popen[str]"
    listener: socket.socket
    children: dict[str, FakeChild]

    def accept(self, *names: str) -> None:
        for _ in names:
            connection, _ = self.listener.accept()
            connection.settimeout(PATIENCE_SECONDS)
            child = FakeChild(connection)
            self.children[child.name] = child
        assert set(names) <= self.children.keys()

    def start_workers(self) -> None:
        self.accept("prior", "decoder")
        self.children["prior"].do("ready 127.0.0.1:1")
        self.children["decoder"].do("ready 127.0.0.1:2")
        self.accept("gateway")

    def start(self) -> None:
        self.start_workers()
        self.children["gateway"].do("ready 127.0.0.1:3")
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "serving on 127.0.0.1:3\n"

    def end(self) -> tuple[int, str, str]:
        """Exit code and the rest of what was printed; every child must be dead."""
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert all(child.died() for child in self.children.values())
        return self.process.returncode, out, err


@pytest.fixture
def serving(environment: dict[str, str]) -> Iterator[Serving]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        control = {"FAKE_CONTROL": f"127.0.0.1:{listener.getsockname()[1]}"}
        command = [sys.executable, str(Path(__file__).with_name("supervise_fakes.py"))]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment | control, **streams) as process:
            running = Serving(process, listener, {})
            yield running
            process.kill()
            for child in running.children.values():
                child.close()


def test_workers_start_together_the_gateway_after_them_and_one_line_says_when_all_are_ready(serving: Serving) -> None:
    serving.accept("prior", "decoder")  # both run before either is ready
    serving.children["decoder"].do("ready 127.0.0.1:2")
    serving.children["prior"].do("ready 127.0.0.1:1")
    serving.accept("gateway")
    assert serving.children["gateway"].arguments == ["127.0.0.1:1", "127.0.0.1:2"]
    serving.children["gateway"].do("ready 127.0.0.1:3")
    assert serving.process.stdout is not None
    assert serving.process.stdout.readline() == "serving on 127.0.0.1:3\n"
    serving.process.send_signal(signal.SIGINT)
    assert serving.end() == (0, "", "")


def test_sigterm_stops_all(serving: Serving) -> None:
    serving.start()
    serving.process.terminate()
    assert serving.end() == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_models_load_stops_all(serving: Serving, number: signal.Signals) -> None:
    serving.accept("prior", "decoder")
    serving.process.send_signal(number)
    assert serving.end() == (0, "", "")


@pytest.mark.parametrize("name", ["prior", "decoder", "gateway"])
def test_a_server_that_cannot_start_says_why_in_its_one_line_and_all_stop(serving: Serving, name: str) -> None:
    if name == "gateway":
        serving.start_workers()
    else:
        serving.accept("prior", "decoder")
    serving.children[name].order(f"exit 1 fake-{name}: no such model")
    assert serving.end() == (1, "", f"fake-{name}: no such model\n")


def test_a_server_that_is_killed_before_it_is_ready_is_named(serving: Serving) -> None:
    serving.accept("prior", "decoder")
    serving.children["decoder"].order("exit 7")
    assert serving.end() == (1, "", "kandinsky serve: the decoder could not start: exit code 7\n")


@pytest.mark.parametrize("name", ["prior", "decoder", "gateway"])
def test_a_server_that_dies_later_stops_all_with_a_message(serving: Serving, name: str) -> None:
    serving.start()
    serving.children[name].order("exit 1")
    assert serving.end() == (1, "", f"kandinsky serve: the {name} stopped: exit code 1\n")


def test_a_worker_that_dies_while_the_gateway_starts_stops_all(serving: Serving) -> None:
    serving.start_workers()
    serving.children["prior"].order("exit 1")
    assert serving.end() == (1, "", "kandinsky serve: the prior stopped: exit code 1\n")


def test_whatever_else_servers_print_goes_to_stderr(serving: Serving) -> None:
    serving.accept("prior", "decoder")
    serving.children["prior"].do("say loading")
    serving.children["prior"].order("exit 1")
    assert serving.end() == (1, "", "loading\n")


def test_the_servers_die_with_a_supervisor_that_is_killed(serving: Serving) -> None:
    serving.start()
    serving.process.kill()
    assert serving.end() == (-signal.SIGKILL, "", "")


def test_ctrl_c_in_a_terminal_reaches_only_the_supervisor(serving: Serving) -> None:
    serving.start()
    groups = {child.process_group for child in serving.children.values()}
    assert os.getpgid(serving.process.pid) not in groups


def test_a_second_signal_ends_servers_that_do_not_stop(serving: Serving) -> None:
    serving.start()
    for child in serving.children.values():
        child.do("stubborn")
    serving.process.send_signal(signal.SIGINT)
    serving.process.send_signal(signal.SIGTERM)
    assert serving.end() == (0, "", "")
