"""The real servers, each a process: one prior, three decoders, and a gateway for each way of using the decoders."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.growth.cases import BASE, BATCH_SIZES, CORES, SIDES_PX, Decoders
from benchmarks.server_process import ServerProcess, running
from kandinsky_client import AsyncClient

# A request that takes longer is lost, not slow.
_REQUEST_SECONDS = 600.0


@asynccontextmanager
async def clients(models: Path, logs: Path) -> AsyncIterator[Mapping[Decoders, AsyncClient]]:
    """A client of each gateway for the length of the body.

    All servers stay up together, so that cases can take turns; a server without requests takes next to no time.

    Args:
        models: folder with prior/ and decoder/.
        logs: folder for the servers' logs.
    """
    prior = _worker("prior", models, logs, threads=1)
    all_cores = _worker("decoder", models, logs, threads=CORES, sides_px=SIDES_PX)
    first, second = (
        _worker("decoder", models, logs, threads=1, sides_px=[BASE.side_px], name=f"decoder-{number}")
        for number in (1, 2)
    )
    async with AsyncExitStack() as stack:
        # By turns: before it is ready a decoder measures what steps take, on its own threads, and plans by that.
        for servers in ([prior, first, second], [all_cores]):
            await stack.enter_async_context(running(*servers))
        behind = {
            Decoders.ONE: [all_cores],
            Decoders.ONE_OF_ONE_THREAD: [first],
            Decoders.TWO_OF_ONE_THREAD: [first, second],
        }
        gateways = {decoders: _gateway(prior, workers, logs) for decoders, workers in behind.items()}
        await stack.enter_async_context(running(*gateways.values()))
        yield {
            decoders: await stack.enter_async_context(AsyncClient(gateway.address, timeout_seconds=_REQUEST_SECONDS))
            for decoders, gateway in gateways.items()
        }


def _worker(
    tier: str, models: Path, logs: Path, *, threads: int, sides_px: Sequence[int] = (), name: str = ""
) -> ServerProcess:
    command = [f"{tier}_server", "--model", str(models / tier), "--log-level", "warning"]
    if sides_px:
        command += ["--batch-sizes", ",".join(map(str, BATCH_SIZES))]
        command += ["--sizes", ",".join(f"{side_px}x{side_px}" for side_px in sides_px)]
    return ServerProcess(command, {"OMP_NUM_THREADS": str(threads)}, logs / f"{name or tier}.log")


def _gateway(prior: ServerProcess, decoders: Sequence[ServerProcess], logs: Path) -> ServerProcess:
    behind = ["--prior", prior.address, "--decoder", ",".join(decoder.address for decoder in decoders)]
    return ServerProcess(["gateway", *behind, "--log-level", "warning"], log=logs / "gateway.log")
