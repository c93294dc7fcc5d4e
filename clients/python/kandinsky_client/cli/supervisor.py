"""Runs prior, decoder and gateway as child processes: started together, stopped together, dead with their parent.

Knows of them only that each prints `NAME ready on HOST:PORT` to stdout when it serves, says why it could not on stderr,
and ends on SIGTERM.
"""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

_READY = re.compile(r"\S+ ready on (\S+)")
_LINE_BYTES = 2**24
# A server that exits with one of these has said why, in a line of its own.
_EXPLAINED = (1, 2)


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        prior: the prior's program and arguments.
        decoder: the decoder's.
        gateway: the gateway's, given the addresses of prior and decoder.
        announcement: what to print when all are ready, given the gateway's address.
        stop_seconds: how long each may take to end before it is killed.
        worker_environment: variables of prior and decoder; None: this process's own.
        gateway_environment: variables of the gateway, likewise.
    """

    prior: Sequence[str]
    decoder: Sequence[str]
    gateway: Callable[[str, str], Sequence[str]]
    announcement: Callable[[str], str]
    stop_seconds: float
    worker_environment: Mapping[str, str] | None = None
    gateway_environment: Mapping[str, str] | None = None


class ChildStoppedError(Exception):
    """A child ended that nobody had stopped. The message is empty where the child itself has said why."""


def run(plan: Plan) -> int:
    """Run until SIGINT or SIGTERM: exit code 0. If a child ends on its own: a line on stderr, exit code 1."""
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> int:
    children: list[_Child] = []
    _stop_on_signals(children)
    try:
        await _run_children(plan, children)
    except asyncio.CancelledError:
        return 0
    except ExceptionGroup as group:
        stopped, bugs = group.split(ChildStoppedError)
        if stopped is None or bugs is not None:
            raise
        message = str(stopped.exceptions[0])
        if message:
            print(f"kandinsky serve: {message}", file=sys.stderr)
    finally:
        await _stop(children, plan.stop_seconds)
    return 1


async def _run_children(plan: Plan, children: "list[_Child]") -> None:
    """Ends only by an exception: a child's end, or the cancellation of this task."""
    async with asyncio.TaskGroup() as group:

        async def start(name: str, program: Sequence[str], environment: Mapping[str, str] | None) -> _Child:
            child = await _Child.start(name, program, environment)
            children.append(child)
            group.create_task(child.watch())
            return child

        prior = await start("prior", plan.prior, plan.worker_environment)
        decoder = await start("decoder", plan.decoder, plan.worker_environment)
        program = plan.gateway(await prior.address, await decoder.address)
        gateway = await start("gateway", program, plan.gateway_environment)
        print(plan.announcement(await gateway.address), flush=True)


def _stop_on_signals(children: "list[_Child]") -> None:
    """The first signal ends the running task, a second one ends the children at once."""
    task = asyncio.current_task()

    def stop() -> None:
        if task is not None and not task.cancelling():
            task.cancel()
            return
        for child in children:
            child.send(signal.SIGKILL)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _stop(children: "list[_Child]", seconds: float) -> None:
    """The gateway first, so that what it still has in hand finds its workers."""
    for child in reversed(children):
        child.send(signal.SIGTERM)
        await child.ended(within_seconds=seconds)


class _Child:
    """One child process.

    Attributes:
        address: where it serves, once it does.
    """

    def __init__(self, name: str, process: Process) -> None:
        self._name = name
        self._process = process
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(cls, name: str, program: Sequence[str], environment: Mapping[str, str] | None) -> "_Child":
        """Start it in a session of its own, so that Ctrl-C in a terminal reaches only its parent."""
        tied = [sys.executable, "-P", "-m", "kandinsky_client.cli.child", str(os.getpid()), *program]
        process = await asyncio.create_subprocess_exec(
            *tied,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            env=environment,
            start_new_session=True,
            limit=_LINE_BYTES,
        )
        return cls(name, process)

    async def watch(self) -> None:
        """Note its address and pass on whatever else it prints, to stderr, until it ends.

        Raises:
            ChildStoppedError: it has ended.
        """
        if self._process.stdout is not None:
            async for line in self._process.stdout:
                ready = _READY.fullmatch(line.decode(errors="replace").rstrip())
                if ready and not self.address.done():
                    self.address.set_result(ready[1])
                else:
                    sys.stderr.buffer.write(line)
                    sys.stderr.flush()
        raise ChildStoppedError(self._obituary(await self._process.wait()))

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self._process.returncode is None:
            # Not Process.send_signal: it may reap the process before asyncio does, which then loses the exit code.
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def ended(self, within_seconds: float) -> None:
        """Wait for its end, and bring it about when it takes too long."""
        try:
            await asyncio.wait_for(self._process.wait(), within_seconds)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()

    def _obituary(self, code: int) -> str:
        if not self.address.done():
            if code in _EXPLAINED:
                return ""
            return f"the {self._name} could not start: {_ending(code)}"
        return f"the {self._name} stopped: {_ending(code)}"


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
