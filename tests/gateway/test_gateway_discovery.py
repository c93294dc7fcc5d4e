"""Workers that come and go with what DNS says."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import grpc
import pytest

from gateway.channels import open_channel
from gateway.discovery import Discovery, lookup
from gateway.tiers import DECODER
from gateway.workers import WorkerPool
from imagegen.v1.gateway_pb2 import GetServerInfoRequest, Img2ImgRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from serving.metrics import GatewayMetrics
from tests.gateway.fakes import FakeDecoder, FakePrior, eventually, fake, gateway, serve, until


class Dns:
    """Answers with what a test put in."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: frozenset[str] | None = frozenset(addresses)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, name: str, port: int) -> frozenset[str]:
        self.asked.append((name, port))
        if self.addresses is None:
            raise OSError("no answer")
        return self.addresses


async def test_fixed_addresses_need_no_dns() -> None:
    dns = Dns()
    discovery = Discovery(["a:1", "[::1]:2"], 0.01, dns)
    await discovery.refresh()
    await discovery.follow(lambda _: None)
    assert discovery.addresses() == {"a:1": None, "[::1]:2": None}
    assert dns.asked == []


async def test_a_name_stands_for_all_its_addresses_and_gives_them_its_name() -> None:
    dns = Dns("10.0.0.1:9", "10.0.0.2:9")
    discovery = Discovery(["a:1", "dns:///workers.svc:9"], 10, dns)
    await discovery.refresh()
    assert dns.asked == [("workers.svc", 9)]
    assert discovery.addresses() == {"a:1": None, "10.0.0.1:9": "workers.svc", "10.0.0.2:9": "workers.svc"}


async def test_what_dns_says_is_refreshed_and_survives_its_silence() -> None:
    dns, told = Dns("10.0.0.1:9"), list[Mapping[str, str | None]]()
    discovery = Discovery(["dns:///w:9"], 0.001, dns)
    following = asyncio.create_task(discovery.follow(told.append))
    await until(lambda: bool(told) and set(told[-1]) == {"10.0.0.1:9"})
    dns.addresses = None
    seen = len(told)
    await until(lambda: len(told) > seen + 2)
    assert set(told[-1]) == {"10.0.0.1:9"}
    dns.addresses = frozenset({"10.0.0.2:9"})
    await until(lambda: set(told[-1]) == {"10.0.0.2:9"})
    following.cancel()


async def test_the_systems_resolver_is_asked() -> None:
    assert "127.0.0.1:80" in await lookup("localhost", 80)
    with pytest.raises(OSError, match=r"not known|No address|failure"):
        await lookup("no.such.name.invalid", 80)


async def test_a_worker_that_leaves_dns_finishes_what_it_has_and_gets_nothing_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaving, coming = FakeDecoder("leaving"), FakeDecoder("coming")
    leaving.hold_at = "denoising"
    dns = Dns()
    monkeypatch.setattr("gateway.__main__.lookup", dns)
    async with (
        serve(fake(FakePrior())) as prior,
        serve(fake(leaving)) as first,
        serve(fake(coming)) as second,
    ):
        dns.addresses = frozenset({first.address})
        application = gateway([prior.address], ["dns:///decoders:1"], dns_refresh_seconds=0.1)
        async with serve(application) as server:
            stub: Any = ImageServiceStub(server.channel)
            running = asyncio.create_task(_done(stub.Img2Img(Img2ImgRequest(image=b"picture"))))
            await asyncio.wait_for(leaving.reached.wait(), 10)
            dns.addresses = frozenset({second.address})
            await eventually(partial(has_decoder, stub, second.address))
            await stub.Img2Img(Img2ImgRequest(image=b"picture"))
            assert (len(leaving.requests), len(coming.requests)) == (1, 1)
            assert not running.done()
            leaving.release()
            await running


async def test_the_work_of_a_worker_that_has_left_is_told_no_more_and_that_of_one_that_is_back_is() -> None:
    decoder, dns, metrics = FakeDecoder(), Dns(), GatewayMetrics()
    async with serve(fake(decoder)) as server:
        labels = {"tier": "DECODER", "worker": server.address}
        told = partial(metrics.registry.get_sample_value, "kandinsky_worker_queued_work_seconds", labels)
        dns.addresses = frozenset({server.address})
        pool = WorkerPool(DECODER, Discovery(["dns:///decoders:1"], 0.01, dns), _channel_to, 60.0, metrics)
        await pool.start()
        (leaving,) = pool.workers
        with leaving.working(1.0):
            dns.addresses = frozenset()
            await until(lambda: not pool.workers)
            decoder.report(queued_work_seconds=5)
            await until(lambda: leaving.status is not None and leaving.status.queued_work_seconds == 5)
            assert told() is None
            dns.addresses = frozenset({server.address})
            await until(lambda: told() == 5)
        await until(lambda: not pool._leaving)
        assert told() == 5
        await pool.close()
        assert told() is None


def _channel_to(address: str, name: str | None) -> grpc.aio.Channel:
    return open_channel(address, 2**20, None)


async def _done(call: Any) -> Any:
    return await call


async def has_decoder(stub: Any, address: str) -> bool:
    """Whether the gateway knows one decoder, at this address."""
    workers = (await stub.GetServerInfo(GetServerInfoRequest())).workers
    return [worker.address for worker in workers[1:]] == [address]
