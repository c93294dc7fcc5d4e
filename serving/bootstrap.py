"""A server process: flags, log, start, one line when ready, SIGTERM or SIGINT, exit code."""

import asyncio
import gc
import ipaddress
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from prometheus_client import disable_created_metrics

from serving import flags, logs
from serving.config import ServerConfig, StartupError
from serving.server import Application, Server

ConfigT = TypeVar("ConfigT", bound=ServerConfig)

_log = logging.getLogger("serving.bootstrap")


def run_server(
    name: str,
    description: str,
    config_class: type[ConfigT],
    build: Callable[[ConfigT], Application],
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Serves until SIGTERM or SIGINT, then exits: 0 after a clean end, 1 after a StartupError, 2 for wrong flags.

    When calls are served, one line goes to stdout: `NAME ready on HOST:PORT`. A second signal ends the process at once.

    Args:
        name: the command's name, for example `kandinsky-decoder`.
        description: what it does, for `--help`.
        config_class: its flags.
        build: makes the application; called in the event loop, before the port is taken. May raise StartupError.
        argv: arguments; None: the process's own.
    """
    config = flags.parse(config_class, name, description, argv)
    gc.disable()  # until it is ready: what importing and compiling make mostly stays
    logs.configure(config.log_level)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series
    try:
        asyncio.run(_serve(name, config, build))
    except StartupError as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(1)
    sys.exit(0)


async def _serve(name: str, config: ConfigT, build: Callable[[ConfigT], Application]) -> None:
    stopping = _stop_on_signals()
    application = build(config)
    try:
        server = Server(application, config)
        address = await server.start()
    except StartupError:
        await application.close()
        raise
    try:
        warn_if_exposed(config)
        if await _finished_first(server.warm_up(), stopping):
            _keep_what_is_loaded()
            sys.stdout.write(f"{name} ready on {address}\n")
            sys.stdout.flush()
            await stopping.wait()
        _log.info("stopping", extra={"server": repr(server)})
    finally:
        await server.stop()


def _keep_what_is_loaded() -> None:
    """Let the garbage collector leave alone all there is: a look at MindSpore alone would stop calls for 50 ms."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; after the first, both signals kill, as they do by default."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        stopping.set()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in signals:
        loop.add_signal_handler(number, stop)
    return stopping


async def _finished_first(work: "asyncio._CoroutineLike[None]", stopping: asyncio.Event) -> bool:
    """Whether the work finished before the event was set; else it is cancelled."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    finished = working.done()
    for task in (working, waiting):
        task.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    if finished:
        working.result()
    else:
        await asyncio.gather(working, return_exceptions=True)
    return finished


def warn_if_exposed(config: ServerConfig) -> None:
    """Warns where others than this machine can reach the server, and what they could do."""
    if _is_loopback(config.host):
        return
    host = {"host": config.host}
    if config.tls_cert is None:
        _log.warning("listening without TLS: requests and tokens can be read and changed on their way", extra=host)
    if config.tls_client_ca is None and not config.asks_for_tokens:
        _log.warning("listening without credentials: whoever reaches this port can use the server", extra=host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
