"""A general model server in a process tree of its own, asked over HTTP."""

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil

from benchmarks.serving.job import Job
from benchmarks.serving.memory import tree
from benchmarks.serving.peer_apis import PeerApi

_START_SECONDS = 300.0
_END_SECONDS = 30.0
_REQUEST_SECONDS = 600.0
_POLL_SECONDS = 0.5


class HttpPeer:
    """One peer.

    Args:
        name: of the peer.
        api: how it is started and asked.
        environment: of its processes.
        log: where all of them write.
        probe: the picture that tells that it is ready.
    """

    def __init__(self, name: str, api: PeerApi, environment: Mapping[str, str], log: Path, probe: Job) -> None:
        self.name = name
        self._api, self._environment, self._log, self._probe = api, environment, log, probe
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._url = ""

    @property
    def process_ids(self) -> list[int]:
        """Of the process that was started."""
        return [] if self._process is None else [self._process.pid]

    async def start(self) -> None:
        """Start it and ask until it answers."""
        port = _free_port()
        self._url = f"http://127.0.0.1:{port}{self._api.path}"
        timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *[sys.executable, *self._api.command(port)],
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours; it is ended in order
            )
        await self._ready(self._process)

    async def stop(self) -> None:
        """End it, and by force whatever it leaves behind."""
        if self._session is not None:
            await self._session.close()
        if self._process is None:
            return
        processes = tree(self.process_ids)
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # also where its number is another's by now
                process.kill()
        with suppress(ProcessLookupError):  # what it started and left before it ended itself
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def make(self, job: Job) -> bytes:
        """By one POST."""
        if self._session is None:
            raise RuntimeError(f"{self.name} has not been started")
        async with self._session.post(self._url, json=self._api.body(job)) as response:
            answer = await response.read()
            if response.status != 200:
                raise RuntimeError(f"HTTP status {response.status}: {answer[:200]!r}")
        return self._api.picture(answer)

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        give_up_at = time.monotonic() + _START_SECONDS
        while True:
            try:
                await self.make(self._probe)
            except (aiohttp.ClientError, RuntimeError) as error:
                if process.returncode is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"{self.name} did not start; its log: {self._log}") from error
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return


def _free_port() -> int:
    """A port that the system chooses; nothing else is told of it until the peer listens there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
