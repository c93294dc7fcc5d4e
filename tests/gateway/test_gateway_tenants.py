"""Whose requests they are: workers are told with each call, and share their devices by it."""

from pathlib import Path
from typing import Any

from imagegen.v1.gateway_pb2 import EncodePromptRequest, Img2ImgRequest, InterpolateRequest
from tests.gateway.fakes import FakeWorker, deploy, with_tenants

PICTURE = Img2ImgRequest(image=b"picture")


def told(worker: FakeWorker) -> tuple[Any, Any]:
    """The tenant, and its weight, of the last call."""
    return worker.metadata["x-tenant-id"], worker.metadata["x-tenant-weight"]


async def test_workers_of_both_tiers_are_told_whose_request_it_is(tmp_path: Path) -> None:
    tokens, metadata = with_tenants(tmp_path, studio={"weight": 2.5}, archive={"weight": 0.5})
    async with deploy(tokens=tokens) as deployment:
        for name, weight in (("studio", "2.5"), ("archive", "0.5"), ("studio", "2.5")):
            await deployment.stub.Img2Img(PICTURE, metadata=metadata[name])
            assert told(deployment.prior) == told(deployment.decoder) == (name, weight)


async def test_priors_are_told_whose_embeddings_they_make(tmp_path: Path) -> None:
    tokens, metadata = with_tenants(tmp_path, studio={"weight": 2.5}, archive={})
    async with deploy(tokens=tokens) as deployment:
        for call, request in (
            (deployment.stub.EncodePrompt, EncodePromptRequest()),
            (deployment.stub.Interpolate, InterpolateRequest()),
        ):
            for name, weight in (("studio", "2.5"), ("archive", "1.0")):
                await call(request, metadata=metadata[name])
                assert told(deployment.prior) == (name, weight)


async def test_where_no_tokens_are_asked_for_everybody_is_nobody() -> None:
    async with deploy() as deployment:
        await deployment.stub.Img2Img(PICTURE, metadata=(("x-tenant-id", "studio"), ("x-tenant-weight", "9")))
        assert told(deployment.prior) == told(deployment.decoder) == ("", "1.0")
