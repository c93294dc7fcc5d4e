"""Real servers in processes of their own, started as a user starts them, on ports that the system chose."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from imagegen.v1.gateway_pb2_grpc import ImageServiceStub

TINY = Path(__file__).parent.parent / "reference" / "tiny"
_READY = re.compile(r"(?:ready|serving) on (\S+)")
_START_SECONDS = 120


@contextmanager
def server(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server until the body ends; yields its address.

    Args:
        command: a module and its arguments, for `python -m`.
        environment: variables on top of the process's own.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **({} if environment is None else environment)},
    )
    log: list[str] = []
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


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """All three tiers on the tiny reference checkpoint; the gateway's address. Shapes are compiled on first use."""
    command = ["kandinsky_client.cli", "serve", "--port", "0"]
    models = ["--prior-model", str(TINY / "prior"), "--decoder-model", str(TINY / "decoder")]
    with server([*command, *models], {"KANDINSKY_WARM_UP": "false"}) as gateway:
        yield gateway


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    """A plain channel to the gateway, without any limit of the client's own."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options) as plain:
        yield plain


@pytest.fixture
def images(channel: grpc.Channel) -> ImageServiceStub:
    """The gateway's service through the bare stub."""
    return ImageServiceStub(channel)


@pytest.fixture(scope="session")
def sketch() -> bytes:
    """The reference's picture, as a file."""
    return (TINY / "sketch.png").read_bytes()
