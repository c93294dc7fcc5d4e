"""Sizes and batches that were compiled at start are not compiled again; others are, so many as may be."""

import asyncio
import io
import re
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from imagegen.v1.common_pb2 import ImageEmbeddings
from imagegen.v1.decoder_pb2 import (
    DecoderServiceGetModelRequest,
    DecoderServiceImg2ImgRequest,
    Img2ImgResult,
    SchedulerType,
)
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from serving.tensors import from_array

MODEL = str(Path(__file__).parents[1] / "reference" / "tiny" / "decoder")


class Running:
    """A decoder in a process of its own, and what it counts."""

    def __init__(self, stub: Any, metrics_url: str) -> None:
        self.stub = stub
        self._metrics_url = metrics_url

    async def recompiles(self) -> float:
        """Graphs compiled since it was ready."""
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(self._metrics_url).read().decode())  # noqa: S310 - our own
        found = re.search(r"^kandinsky_recompiles_total (\S+)$", text, re.MULTILINE)
        assert found is not None
        return float(found[1])

    async def make(self, requests: Sequence[dict[str, Any]]) -> list[Img2ImgResult]:
        """All at once."""
        answers = await asyncio.gather(*(self.stub.Img2Img(_request(**params)) for params in requests))
        return [answer.result for answer in answers]


@asynccontextmanager
async def decoder(*flags: str) -> AsyncIterator[Running]:
    """A decoder that is ready."""
    command = ["-m", "decoder_server", "--model", MODEL, "--port", "0", "--metrics-port", "0", *flags]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        metrics = await _found(process.stderr, r'"metrics": ?"([^"]+)"')
        unread = asyncio.create_task(process.stderr.read())  # so that its log never fills the pipe
        address = await _found(process.stdout, r"ready on (\S+)")
        async with grpc.aio.insecure_channel(address) as channel:
            yield Running(DecoderServiceStub(channel), f"http://{metrics}/metrics")
    finally:
        process.terminate()
        await process.wait()
        await unread


async def _found(lines: asyncio.StreamReader, pattern: str) -> str:
    async with asyncio.timeout(120):
        while line := (await lines.readline()).decode():
            if (found := re.search(pattern, line)) is not None:
                return found[1]
    pytest.fail(f"the decoder ended without {pattern}")


def _request(**params: Any) -> DecoderServiceImg2ImgRequest:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 60), "orange").save(buffer, "PNG")
    embeds = from_array(np.ones((1, 32), np.float32))
    return DecoderServiceImg2ImgRequest(
        prompt="a red circle",
        image=buffer.getvalue(),
        embeddings=ImageEmbeddings(image_embeds=embeds, negative_image_embeds=embeds),
        params={"width": 64, "height": 64, "num_inference_steps": 8, "strength": 0.5, "seed": 1, **params},
    )


def test_what_was_compiled_at_start_is_not_compiled_again() -> None:
    async def run() -> None:
        async with decoder("--sizes", "64x64", "--batch-sizes", "1,2") as running:
            mix: list[dict[str, Any]] = [
                {"num_inference_steps": 20},
                {"guidance_scale": 0.0},
                {"strength": 1.0},
                {"guidance_scale": 7.0, "num_images": 3},
                {"scheduler": SchedulerType.SCHEDULER_TYPE_DPM_SOLVER_PP_2M},
                {"scheduler": SchedulerType.SCHEDULER_TYPE_DDPM, "guidance_scale": 1.0},
            ]
            results = await running.make(mix)
            assert all(result.images for result in results)
            assert await running.recompiles() == 0
            info = await running.stub.GetModel(DecoderServiceGetModelRequest())
            buckets = {(bucket.width, bucket.height, bucket.rows) for bucket in info.decoder.buckets}
            assert buckets == {(64, 64, 1), (64, 64, 2)}
            assert all(bucket.step_seconds > 0 for bucket in info.decoder.buckets)

    asyncio.run(run())


def test_another_size_is_compiled_once_and_counted_and_one_too_many_is_refused() -> None:
    async def run() -> None:
        async with decoder("--sizes", "64x64", "--no-warm-up", "--max-other-sizes", "1") as running:
            await running.make([{}])
            before = await running.recompiles()
            await running.make([{"width": 128, "height": 64}])
            compiled = await running.recompiles()
            assert compiled > before
            await running.make([{"width": 128, "height": 64}])
            assert await running.recompiles() == compiled
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await running.make([{"width": 64, "height": 128}])
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "64×64, 128×64" in str(refused.value.details())

    asyncio.run(run())
