"""How busy a server is, as tables: its workers, their queues, all caches. Once, or every second."""

import time
from collections.abc import Iterator, Sequence
from typing import TextIO

from imagegen.v1 import common_pb2, gateway_pb2
from kandinsky_client import enums
from kandinsky_client.cli import failures
from kandinsky_client.client import Client
from kandinsky_client.errors import KandinskyClientError

EVERY_SECONDS = 1.0

_WORKERS = ("TIER", "WORKER", "STATE", "RUNNING", "QUEUED", "WORK")
_CACHES = ("CACHE", "OF", "ENTRIES", "FILLED", "HITS")
_CLEAR = "\x1b[H\x1b[J"


def watch(client: Client, timeout_seconds: float | None, out: TextIO) -> None:
    """Shows them until Ctrl-C; a server that does not answer is asked again. On a terminal in place, else as a log."""
    try:
        while True:
            out.write((_CLEAR if out.isatty() else "") + "\n".join(_now(client, timeout_seconds)) + "\n")
            out.flush()
            time.sleep(EVERY_SECONDS)
    except KeyboardInterrupt:
        out.write("\n")


def busy_lines(server: gateway_pb2.GetServerInfoResponse) -> Iterator[str]:
    """The tables of workers and caches; no lines for a table without rows."""
    yield from _aligned(_WORKERS, [_worker(worker) for worker in server.workers])
    caches = [("gateway", cache) for cache in server.caches]
    caches += [(worker.address, cache) for worker in server.workers for cache in worker.status.caches]
    yield from _aligned(_CACHES, [_cache(owner, cache) for owner, cache in caches])


def _now(client: Client, timeout_seconds: float | None) -> Iterator[str]:
    try:
        server = client.info(timeout_seconds=timeout_seconds)
    except KandinskyClientError as error:
        yield failures.line(error)
        return
    yield f"{client.server}: a new request waits about {server.estimated_wait_seconds:.1f} s"
    yield from busy_lines(server)


def _worker(worker: gateway_pb2.WorkerInfo) -> Sequence[str]:
    tier = enums.name(common_pb2.Tier.DESCRIPTOR, worker.tier)
    state = enums.name(gateway_pb2.WorkerState.DESCRIPTOR, worker.state)
    if not worker.HasField("status"):
        return tier, worker.address, state, "", "", ""
    status = worker.status
    work = f"{status.queued_work_seconds:.1f} s"
    return tier, worker.address, state, str(status.running_rows), str(status.queued_rows), work


def _cache(owner: str, cache: common_pb2.CacheStatus) -> Sequence[str]:
    lookups = cache.hits + cache.misses
    hits = f"{cache.hits} of {lookups}" + (f" ({cache.hits / lookups:.0%})" if lookups else "")
    filled = f"{cache.size_bytes / 2**20:.1f} of {cache.limit_bytes / 2**20:.0f} MiB"
    return cache.name, owner, str(cache.entries), filled, hits


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
