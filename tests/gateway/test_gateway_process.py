"""`kandinsky-gateway` as a process: flags, the ready line, signals, exit codes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

WORKERS = ("--prior", "127.0.0.1:1", "--decoder", "127.0.0.1:2")


def environment() -> dict[str, str]:
    """This process's modules, and no settings."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("KANDINSKY_")}
    return settings | {"PYTHONPATH": os.pathsep.join(sys.path)}


def gateway(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "gateway", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment() | environ)


@contextmanager
def running_gateway(*argv: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A ready gateway and its address."""
    command = [sys.executable, "-W", "error", "-m", "gateway", "--port", "0", *WORKERS, *argv]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:-1] == ["kandinsky-gateway", "ready", "on"]
            yield process, words[-1]
        finally:
            process.kill()


def test_help_imports_neither_numpy_nor_mindspore_nor_pillow() -> None:
    code = """
import runpy, sys
sys.argv = ["gateway", "--help"]
try:
    runpy.run_module("gateway", run_name="__main__")
except SystemExit as end:
    print(end.code, sorted({"numpy", "mindspore", "PIL", "kandinsky", "kandinsky_client"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=environment())
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "KANDINSKY_PRIOR" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_ready_without_workers_and_stops_cleanly(number: signal.Signals) -> None:
    with running_gateway() as (process, address):
        with grpc.insecure_channel(address) as channel:
            request = health_pb2.HealthCheckRequest(service="imagegen.v1.ImageService")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)
            listing = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            (listed,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(listing, timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert "imagegen.v1.ImageService" in {service.name for service in listed.list_services_response.service}
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert "Traceback" not in err


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gateway("--port", str(port), *WORKERS)
    assert done.returncode == 1
    assert done.stderr == f"kandinsky-gateway: port {port} on 127.0.0.1 is in use; choose another with --port\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--prior", "host"], "--prior: 'host' is not allowed; it must be HOST:PORT or dns:///NAME:PORT"),
        (["--prior", "host:0"], "--prior: 'host:0' is not allowed"),
        (["--prior", "host:65536"], "--prior: 'host:65536' is not allowed"),
        (["--prior", "http://host:1"], "--prior: 'http://host:1' is not allowed"),
        (["--prior", "a:1,a:1"], "--prior: an address is named twice"),
        (["--prior", "a:1,b_c.d:1,10.0.0.1:1,[::1]:1,dns:///name:1", "--port", "x"], "--port: 'x'"),
        ([], "--prior (or KANDINSKY_PRIOR) is missing"),
    ],
)
def test_wrong_flags_are_one_line(argv: list[str], said: str) -> None:
    done = gateway("--decoder", "127.0.0.1:2", *argv)
    assert done.returncode == 2
    assert done.stderr.startswith(f"kandinsky-gateway: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--tokens", "FILE"], "--tokens: FILE: must be {"),
        (["--tokens", "/missing"], "--tokens: /missing: No such file or directory"),
        (["--worker-ca", "FILE"], "--worker-ca and the like: FILE holds no CA certificate in PEM"),
        (["--tls-cert", "FILE", "--tls-key", "FILE"], "--tls-cert and the like: FILE and FILE are not a certificate"),
    ],
)
def test_files_that_cannot_be_used_are_one_line(tmp_path: Path, argv: list[str], said: str) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    done = gateway(*WORKERS, "--port", "0", *(str(file) if each == "FILE" else each for each in argv))
    assert done.returncode == 1
    assert done.stderr.startswith(f"kandinsky-gateway: {said.replace('FILE', str(file))}")
    assert done.stderr.count("\n") == 1


def test_variables_are_named_when_they_are_wrong() -> None:
    done = gateway(*WORKERS, KANDINSKY_PORT="tcp://10.0.0.1:50050")
    assert done.returncode == 2
    assert done.stderr.startswith("kandinsky-gateway: KANDINSKY_PORT: 'tcp://10.0.0.1:50050' is not allowed")


def test_an_open_port_without_tls_is_warned_of() -> None:
    with running_gateway("--host", "0.0.0.0") as (process, address):  # noqa: S104 the warning is what is tested
        assert address.startswith("0.0.0.0:")
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert "without TLS" in err
