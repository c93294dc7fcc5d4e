"""Line 2: a rolling restart of all three tiers under load."""

import asyncio
from pathlib import Path

from imagegen.v1.gateway_pb2 import Img2ImgRequest
from kandinsky_client import AsyncClient, KandinskyClientError
from scripts.faults.deployment import Deployment, deployed, restart
from scripts.faults.pictures import DEADLINE_SECONDS, requests


async def trial(logs: Path) -> int:
    """Restart every server in turn while clients keep asking; how many of their requests failed."""
    async with deployed(
        priors=2,
        decoders=2,
        gateways=2,
        logs=logs,
        # So short that decoders cannot finish what they have: the rest is handed over.
        worker_flags=["--drain-seconds", "1"],
        gateway_flags=["--cache-bytes", "0", "--checkpoint-every-steps", "1"],
    ) as deployment:
        async with AsyncClient(deployment.target, timeout_seconds=DEADLINE_SECONDS) as client:
            load = _Load(client)
            right = [await load.ask(request) for request in load.requests]
            asking = [asyncio.create_task(load.keep_asking(right)) for _ in range(4)]
            await _restart_all(deployment)
            load.stop()
            await asyncio.gather(*asking)
        print(f"rolling restart: {load.done} requests, {load.moves} moves, {len(load.failures)} failed")
        for failure in load.failures[:5]:
            print(f"rolling restart: {failure}")
        return len(load.failures)


async def _restart_all(deployment: Deployment) -> None:
    """One server at a time, as an orchestrator does: the next one when this one is ready."""
    for server in deployment.servers:
        code = await restart(server)
        if code != 0:
            raise RuntimeError(f"{server!r} ended with exit code {code}")
        await asyncio.sleep(2)


class _Load:
    """Clients that ask for pictures until they are told to stop."""

    def __init__(self, client: AsyncClient) -> None:
        self.requests = requests(6, steps=4)
        self.done = 0
        self.moves = 0
        self.failures: list[str] = []
        self._client = client
        self._stopped = False

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True

    async def keep_asking(self, right: list[bytes]) -> None:
        """Ask for one picture after the other, and compare."""
        while not self._stopped:
            number = self.done % len(self.requests)
            self.done += 1
            try:
                if await self.ask(self.requests[number]) != right[number]:
                    self.failures.append("a wrong picture")
            except KandinskyClientError as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    async def ask(self, request: Img2ImgRequest) -> bytes:
        """One picture, as a client gets it."""
        result = await self._client.img2img(
            request.image,
            request.prompt,
            num_inference_steps=request.params.num_inference_steps,
            strength=request.params.strength,
            seed=request.params.seed,
            prior_num_inference_steps=2,
        )
        self.moves += result.receipt.retries
        return result.pictures[0].data
