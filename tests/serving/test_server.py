"""A server's life as its clients see it: loading, serving, draining; health and reflection."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from imagegen.v1.prior_pb2 import (
    PriorServiceCancelRequest,
    PriorServiceEncodePromptRequest,
    PriorServiceGetModelRequest,
    PriorServiceWatchStatusRequest,
)
from serving.config import ServerConfig, StartupError
from serving.server import Server
from tests.errors_on_the_wire import read_error
from tests.serving.fakes import ObedientPrior, Served, start

SERVICE = "imagegen.v1.PriorService"
WAIT = PriorServiceEncodePromptRequest(request_id="r", prompt="wait")


async def health(served: Served, service: str) -> str:
    stub = health_pb2_grpc.HealthStub(served.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def all_health(served: Served) -> list[str]:
    return [await health(served, service) for service in ("", "readiness", SERVICE)]


async def refusal(call: grpc.aio.UnaryUnaryCall) -> str:  # type: ignore[type-arg]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = read_error(caught.value)
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.retry_after_seconds == 1
    return str(error.reason)


async def test_while_loading_only_liveness_serves_and_calls_are_told_to_come_back() -> None:
    async with start(ready=False) as served:
        warming = asyncio.create_task(served.server.warm_up())
        assert await all_health(served) == ["SERVING", "NOT_SERVING", "NOT_SERVING"]
        assert await refusal(served.stub.EncodePrompt(PriorServiceEncodePromptRequest())) == "NO_WORKER"
        assert await refusal(served.stub.GetModel(PriorServiceGetModelRequest())) == "NO_WORKER"
        served.prior.warmed_up.set()
        await warming
        assert await all_health(served) == ["SERVING", "SERVING", "SERVING"]
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest())


async def test_draining_lets_work_finish_and_takes_nothing_new() -> None:
    async with start(drain_seconds=60) as served:
        call = served.stub.EncodePrompt(WAIT)
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        stopping = asyncio.create_task(served.server.stop())
        await asyncio.sleep(0)
        assert await all_health(served) == ["SERVING", "NOT_SERVING", "NOT_SERVING"]
        assert await refusal(served.stub.EncodePrompt(PriorServiceEncodePromptRequest())) == "DRAINING"
        assert not (await served.stub.Cancel(PriorServiceCancelRequest(request_id="other"))).found
        assert not stopping.done()
        served.prior.released.set()
        assert (await call).request_id == "r"
        await asyncio.wait_for(stopping, 10)
        assert served.prior.closed == 1


async def test_work_that_outstays_the_drain_is_cut_off() -> None:
    async with start(drain_seconds=0.05) as served:
        call = served.stub.EncodePrompt(WAIT)
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        await asyncio.wait_for(served.server.stop(), 10)
        assert isinstance(served.prior.ended, asyncio.CancelledError)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_watchers_do_not_hold_a_server_up() -> None:
    async with start(drain_seconds=60) as served:
        stub = health_pb2_grpc.HealthStub(served.channel)
        health_watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        status_watch = served.stub.WatchStatus(PriorServiceWatchStatusRequest())
        assert (await health_watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await status_watch.read()
        stopping = asyncio.create_task(served.server.stop())
        assert (await health_watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await asyncio.wait_for(stopping, 10)


async def test_reflection_lists_the_services_and_describes_them() -> None:
    async with start() as served:
        stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        ]
        listed, described = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]
    assert {service.name for service in listed.list_services_response.service} == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert described.file_descriptor_response.file_descriptor_proto


async def test_a_taken_port_says_so() -> None:
    async with start() as served:
        port = int(served.address.rpartition(":")[2])
        other = Server(ObedientPrior().application(), ServerConfig(port=port))
        with pytest.raises(StartupError) as caught:
            await other.start()
    assert str(caught.value) == f"port {port} on 127.0.0.1 is in use; choose another with --port"


async def test_a_port_that_is_taken_at_the_last_moment_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.server.check_free", lambda *_: None)
    async with start() as served:
        port = int(served.address.rpartition(":")[2])
        other = Server(ObedientPrior().application(), ServerConfig(port=port))
        with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port}"):
            await other.start()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "256.0.0.1"])
async def test_a_host_that_is_not_here_says_so(host: str) -> None:
    server = Server(ObedientPrior().application(), ServerConfig(host=host))
    with pytest.raises(StartupError) as caught:
        await server.start()
    assert str(caught.value) == f"{host} is not an address of this machine; choose another with --host"


async def test_an_ipv6_address_is_served() -> None:
    async with start(host="::1") as served:
        assert served.address.startswith("[::1]:")
        await served.stub.GetModel(PriorServiceGetModelRequest())


async def test_a_failed_warm_up_leaves_the_server_unready() -> None:
    async with start(ready=False) as served:

        async def fail() -> None:
            raise StartupError("no model")

        object.__setattr__(served.server._application, "warm_up", fail)
        with pytest.raises(StartupError):
            await served.server.warm_up()
        assert await health(served, "readiness") == "NOT_SERVING"


def test_states_are_told_in_one_line() -> None:
    async def shown() -> str:
        return repr(Server(ObedientPrior().application(), ServerConfig()))

    assert asyncio.run(shown()) == "Server(imagegen.v1.PriorService, Gate(loading, 0 calls open))"
