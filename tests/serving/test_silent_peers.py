"""A peer that says nothing any more has gone: its machine is off, or its network drops all. Pings tell.

Such a peer is played by a process that is stopped: the kernel holds its connections, and nobody answers on them.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from gateway import channels
from imagegen.v1.prior_pb2 import PriorServiceEncodePromptRequest
from imagegen.v1.prior_pb2_grpc import PriorServiceStub
from kandinsky_client import channel as client
from serving import server
from tests.serving.fakes import start

WAIT = PriorServiceEncodePromptRequest(prompt="wait")
WAITING_CLIENT = """
import sys, grpc
from imagegen.v1.prior_pb2 import PriorServiceEncodePromptRequest
from imagegen.v1.prior_pb2_grpc import PriorServiceStub
PriorServiceStub(grpc.insecure_channel(sys.argv[1])).EncodePrompt(PriorServiceEncodePromptRequest(prompt="wait"))
"""
SERVER = """
import asyncio
from tests.serving.fakes import start

async def serve():
    async with start() as served:
        print(served.address, flush=True)
        await served.prior.entered.wait()
        print("a call waits", flush=True)
        await asyncio.Event().wait()

asyncio.run(serve())
"""


@asynccontextmanager
async def process(program: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", program, *arguments)
    child = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        await child.wait()


def ping_at_once(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setattr(module, "_PING_SECONDS", 1)
    monkeypatch.setattr(module, "_PING_TIMEOUT_SECONDS", 1)


async def test_a_client_that_falls_silent_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ping_at_once(monkeypatch, server)
    async with start() as served, process(WAITING_CLIENT, served.address) as silent:
        async with asyncio.timeout(30):
            await served.prior.entered.wait()
        silent.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(30):  # gRPC's own limit is 60 s
            while served.prior.ended is None:  # noqa: ASYNC110 no event tells
                await asyncio.sleep(0.01)
        assert isinstance(served.prior.ended, asyncio.CancelledError)


@pytest.mark.parametrize(
    ("module", "open_channel"),
    [
        (channels, lambda address: channels.open_channel(address, 2**20, None)),
        (client, lambda address: grpc.aio.insecure_channel(address, client.options(address))),
    ],
    ids=["gateway", "client"],
)
async def test_a_server_that_falls_silent_has_gone(
    module: Any, open_channel: Callable[[str], grpc.aio.Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    ping_at_once(monkeypatch, module)
    async with process(SERVER) as silent:
        assert silent.stdout is not None
        address = (await silent.stdout.readline()).decode().strip()
        async with open_channel(address) as channel, asyncio.timeout(30):
            call = PriorServiceStub(channel).EncodePrompt(WAIT)
            assert await silent.stdout.readline() == b"a call waits\n"
            silent.send_signal(signal.SIGSTOP)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
