"""Our own servers as a user starts them: gateway, prior and decoder, each a process, and the Python client."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.server_process import ServerProcess, running
from benchmarks.serving.job import Job
from benchmarks.serving.settings import Settings
from kandinsky_client.aio import AsyncClient

_REQUEST_SECONDS = 600.0


class Ours:
    """The three tiers.

    Args:
        settings: the networks, and what is compiled before requests come.
        environment: of the processes.
        logs: folder for their logs.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str], logs: Path) -> None:
        self.name = "kandinsky-serving"
        batches = ["--batch-sizes", ",".join(map(str, settings.batch_sizes)), "--log-level", "warning"]
        sizes = ["--sizes", ",".join(f"{side_px}x{side_px}" for side_px in settings.sides_px)]
        prior = ["prior_server", "--model", str(settings.prior), *batches]
        decoder = ["decoder_server", "--model", str(settings.decoder), *sizes, *batches]
        self._prior = ServerProcess(prior, environment, logs / "prior.log")
        self._decoder = ServerProcess(decoder, environment, logs / "decoder.log")
        self._environment, self._logs = environment, logs
        self._servers = [self._prior, self._decoder]
        self._stack = AsyncExitStack()
        self._client = AsyncClient()

    @property
    def process_ids(self) -> list[int]:
        """Of the three servers."""
        return [server.process.pid for server in self._servers]

    async def start(self) -> None:
        """Start the workers, then the gateway."""
        await self._stack.enter_async_context(running(self._prior, self._decoder))
        upstream = ["--prior", self._prior.address, "--decoder", self._decoder.address, "--log-level", "warning"]
        gateway = ServerProcess(["gateway", *upstream], self._environment, self._logs / "gateway.log")
        await self._stack.enter_async_context(running(gateway))
        self._servers.append(gateway)
        self._client = await self._stack.enter_async_context(
            AsyncClient(gateway.address, timeout_seconds=_REQUEST_SECONDS)
        )

    async def stop(self) -> None:
        """End all three."""
        await self._stack.aclose()

    async def make(self, job: Job) -> bytes:
        """Through the gateway."""
        result = await self._client.img2img(
            job.image,
            job.prompt,
            width=job.side_px,
            height=job.side_px,
            num_inference_steps=job.steps,
            strength=job.strength,
            guidance_scale=job.guidance_scale,
            seed=job.seed,
        )
        return result.pictures[0].data
