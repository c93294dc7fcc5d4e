"""The servers of one trial: workers of the demo checkpoint at addresses of their own, and gateways before them."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.server_process import ServerProcess, running
from imagegen.v1.common_pb2 import Tier

_CHECKPOINT = Path(__file__).resolve().parents[2] / "demo" / "checkpoint"

# A gateway hears of a worker that is back within this time.
_HEARD_OF_SECONDS = 3.0


class Worker(ServerProcess):
    """A worker, and when it was there.

    Attributes:
        tier: which one it is of.
        kills: how often it was killed.
    """

    def __init__(self, tier: Tier.ValueType, flags: Sequence[str], log: Path) -> None:
        name = "prior" if tier == Tier.TIER_PRIOR else "decoder"
        model = ["--model", str(_CHECKPOINT / name), "--log-level", "warning"]
        super().__init__([f"{name}_server", *model, *flags], log=log)
        self.tier = tier
        self.kills = 0
        self._there: list[tuple[float, float | None]] = []

    @property
    def is_there(self) -> bool:
        """Whether it is ready."""
        return bool(self._there) and self._there[-1][1] is None

    def was_there_for_sure(self, at_seconds: float) -> bool:
        """Whether gateways could know it as ready at a time (monotonic)."""
        return any(
            begin + _HEARD_OF_SECONDS <= at_seconds and (end is None or at_seconds <= end) for begin, end in self._there
        )

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        await super().start()
        self._there.append((time.monotonic(), None))

    def leave(self) -> None:
        """It is about to be killed."""
        self.kills += 1
        self._there[-1] = (self._there[-1][0], time.monotonic())


class Deployment:
    """Workers and gateways that run."""

    def __init__(self, priors: list[Worker], decoders: list[Worker], gateways: list[ServerProcess]) -> None:
        self.priors = priors
        self.decoders = decoders
        self.gateways = gateways

    @property
    def workers(self) -> list[Worker]:
        """All workers."""
        return [*self.priors, *self.decoders]

    @property
    def servers(self) -> list[ServerProcess]:
        """All processes."""
        return [*self.workers, *self.gateways]

    @property
    def target(self) -> str:
        """What a client connects to: all gateways."""
        return "ipv4:" + ",".join(gateway.address for gateway in self.gateways)

    def had_worker(self, tier: str, at_seconds: float) -> bool:
        """Whether a tier (PRIOR or DECODER) had a worker that gateways could know, at a time (monotonic)."""
        workers = self.priors if tier == "PRIOR" else self.decoders
        return any(worker.was_there_for_sure(at_seconds) for worker in workers)


@asynccontextmanager
async def deployed(
    *,
    priors: int,
    decoders: int,
    gateways: int,
    logs: Path,
    worker_flags: Sequence[str] = (),
    gateway_flags: Sequence[str] = (),
) -> AsyncIterator[Deployment]:
    """A deployment for the length of the body."""
    deployment = Deployment(
        [Worker(Tier.TIER_PRIOR, worker_flags, logs / f"prior-{index}.log") for index in range(priors)],
        [Worker(Tier.TIER_DECODER, worker_flags, logs / f"decoder-{index}.log") for index in range(decoders)],
        [],
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(*deployment.workers))
        addresses = [",".join(worker.address for worker in tier) for tier in (deployment.priors, deployment.decoders)]
        flags = ["--prior", addresses[0], "--decoder", addresses[1], "--log-level", "warning", *gateway_flags]
        deployment.gateways += [
            ServerProcess(["gateway", *flags], log=logs / f"gateway-{index}.log") for index in range(gateways)
        ]
        await stack.enter_async_context(running(*deployment.gateways))
        yield deployment


async def restart(server: ServerProcess) -> int:
    """End a server as an orchestrator does, and start it again; the exit code."""
    code = await server.end()
    await server.start()
    return code
