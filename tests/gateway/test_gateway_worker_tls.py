"""TLS towards workers: names found by DNS, and a certificate that is replaced while the gateway runs."""

from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from imagegen.v1.gateway_pb2 import GetServerInfoRequest, Img2ImgRequest, WorkerState
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from tests.certificates import Authority
from tests.gateway.fakes import FakeDecoder, embeddings, eventually, fake, gateway, serve

REQUEST = Img2ImgRequest(image=b"picture", embeddings=embeddings(1))


async def test_a_workers_certificate_has_the_name_it_was_found_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = Authority(tmp_path)
    cert, key = ca.write("worker", "decoders.test")
    async with serve(fake(FakeDecoder()), tls_cert=cert, tls_key=key) as worker:

        async def lookup(name: str, port: int) -> frozenset[str]:
            return frozenset({worker.address})

        monkeypatch.setattr("gateway.__main__.lookup", lookup)
        for name, ready in (("decoders.test", True), ("others.test", False)):
            application = gateway([worker.address], [f"dns:///{name}:1"], worker_ca=ca.path)
            async with serve(application) as server:
                assert await is_ready(ImageServiceStub(server.channel)) is ready


async def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    cert, key = ca.write("worker", "127.0.0.1")
    own_cert, own_key = ca.write("gateway", "gateway.test", expired=True)
    async with serve(fake(FakeDecoder()), tls_cert=cert, tls_key=key, tls_client_ca=ca.path) as worker:
        flags = {"worker_ca": ca.path, "worker_cert": own_cert, "worker_key": own_key}
        async with serve(gateway([worker.address], [worker.address], **flags)) as server:
            stub: Any = ImageServiceStub(server.channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Img2Img(REQUEST)
            ca.write("gateway", "gateway.test")
            await eventually(partial(is_ready, stub))
            await stub.Img2Img(REQUEST)


async def is_ready(stub: Any) -> bool:
    """Whether the decoder gets work."""
    info = await stub.GetServerInfo(GetServerInfoRequest())
    return bool(info.workers[1].state == WorkerState.WORKER_STATE_READY)
