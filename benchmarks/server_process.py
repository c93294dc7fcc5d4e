"""Servers in processes of their own, started as a user starts them; they can be killed, held, and started again."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

_READY = re.compile(rb"\S+ ready on (\S+)")
_START_SECONDS = 240.0
_END_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ServerProcess:
    """One server. After `start` it can be started again, at the address that it got first.

    Args:
        command: a module and its arguments, for `python -m`, without --port.
        environment: variables besides this process's own.
        log: where its log goes; None: nowhere.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        self.address = ""
        self._command = command
        self._environment = {**os.environ, **({} if environment is None else environment)}
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"ServerProcess({self._command[0]} on {self.address or 'no port yet'})"

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process as it was started last."""
        if self._process is None:
            raise RuntimeError(f"{self!r} has not been started")
        return self._process

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            RuntimeError: it has ended instead.
        """
        port = self.address.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", *self._command, "--port", port]
        # Threads of a numerical library that wait by spinning would take the processor from all others.
        environment = {"OMP_NUM_THREADS": "1", **self._environment}
        with self._open_log() as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE, stderr=log, env=environment
            )
        if self._process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        async with asyncio.timeout(_START_SECONDS):
            line = await self._process.stdout.readline()
        ready = _READY.match(line)
        if ready is None:
            raise RuntimeError(f"{self._command[0]} did not start; its log: {self._log}")
        self.address = ready[1].decode()

    def _open_log(self) -> IO[bytes]:
        return Path(os.devnull if self._log is None else self._log).open("ab")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            if self.process.returncode is None:
                os.kill(self.process.pid, number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Make it end and wait for that; its exit code."""
        self.send(number)
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await self.process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self.process.wait()

    def cpu_seconds(self) -> float:
        """Processor time it has used, of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_bytes(self) -> int:
        """Memory it has resident."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@asynccontextmanager
async def running(*servers: ServerProcess) -> AsyncIterator[None]:
    """Servers for the length of the body: started together, ended together."""
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield
    finally:
        await asyncio.gather(*(server.end() for server in servers), return_exceptions=True)
