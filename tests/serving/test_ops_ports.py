"""Health and metrics on ports of their own, in every state of the server."""

import asyncio
import urllib.request
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from imagegen.v1.common_pb2 import CacheStatus, Phase, Tier, WorkerStatus
from imagegen.v1.prior_pb2 import PriorServiceCancelRequest, PriorServiceEncodePromptRequest
from serving.config import ServerConfig, StartupError
from serving.errors import InvalidFieldError
from serving.metrics import GatewayMetrics, Metrics, WorkerMetrics
from serving.server import Server
from tests.serving.fakes import ObedientPrior, Served, start

WAIT = PriorServiceEncodePromptRequest(request_id="r", prompt="wait")


async def health(served: Served, service: str) -> str:
    async with grpc.aio.insecure_channel(str(served.server.ops.health_address)) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def scrape(served: Served) -> dict[str, float]:
    """Each sample as `name{label=value,…}`."""
    url = f"http://{served.server.ops.metrics_address}/metrics"
    return dict(samples(await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())))


def samples(text: str) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            yield f"{sample.name}{{{labels}}}", sample.value


async def test_both_ports_answer_while_the_server_loads_serves_and_drains() -> None:
    async with start(ready=False, health_port=0, metrics_port=0, drain_seconds=60) as served:
        assert (await health(served, ""), await health(served, "readiness")) == ("SERVING", "NOT_SERVING")
        assert (await scrape(served))["kandinsky_ready{tier=PRIOR}"] == 0
        served.prior.warmed_up.set()
        await served.server.warm_up()
        assert await health(served, "readiness") == "SERVING"
        assert (await scrape(served))["kandinsky_ready{tier=PRIOR}"] == 1
        call = served.stub.EncodePrompt(WAIT)
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        stopping = asyncio.create_task(served.server.stop())
        await asyncio.sleep(0)
        assert (await health(served, ""), await health(served, "readiness")) == ("SERVING", "NOT_SERVING")
        assert (await scrape(served))["kandinsky_ready{tier=PRIOR}"] == 0
        served.prior.released.set()
        await call
        await asyncio.wait_for(stopping, 10)


async def test_without_the_flags_there_is_no_such_port() -> None:
    async with start() as served:
        assert (served.server.ops.health_address, served.server.ops.metrics_address) == (None, None)


@pytest.mark.parametrize("flag", ["health_port", "metrics_port"])
async def test_a_taken_port_names_its_flag(flag: str) -> None:
    async with start() as served:
        port = int(served.address.rpartition(":")[2])
        other = Server(ObedientPrior().application(), ServerConfig(**{flag: port}))  # type: ignore[arg-type]
        with pytest.raises(StartupError) as caught:
            await other.start()
        await other.stop()
    option = "--" + flag.replace("_", "-")
    assert str(caught.value) == f"port {port} on 127.0.0.1 is in use; choose another with {option}"


async def test_calls_are_counted_by_method_status_and_reason() -> None:
    async with start(metrics_port=0) as served:
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest())
        served.prior.error = InvalidFieldError("prompt", "must be nicer")
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.EncodePrompt(PriorServiceEncodePromptRequest())
        seen = await scrape(served)
    assert seen["kandinsky_requests_total{method=PriorService/EncodePrompt,reason=,status=OK}"] == 1
    assert (
        seen["kandinsky_requests_total{method=PriorService/EncodePrompt,reason=INVALID_FIELD,status=INVALID_ARGUMENT}"]
        == 1
    )
    assert seen["kandinsky_request_seconds_count{method=PriorService/EncodePrompt}"] == 2


@pytest.mark.parametrize("cause", ["id", "client", "deadline"])
async def test_a_stopped_request_is_counted_by_phase_and_cause_and_never_as_a_success(cause: str) -> None:
    async with start(metrics_port=0) as served:
        call = served.stub.EncodePrompt(WAIT, timeout=0.3 if cause == "deadline" else None)
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        if cause == "client":
            call.cancel()
        if cause == "id":
            await served.stub.Cancel(PriorServiceCancelRequest(request_id="r"))
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await call
        async with asyncio.timeout(10):
            while len(served.prior.running):  # noqa: ASYNC110 no event tells
                await asyncio.sleep(0)
        seen = await scrape(served)
    assert seen[f"kandinsky_cancellations_total{{cause={cause},phase=ENCODING}}"] == 1
    assert not any("EncodePrompt" in name and "status=OK" in name for name in seen)


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"kandinsky_{name}", labels)


def test_a_worker_counts_its_device_and_its_rows() -> None:
    metrics = WorkerMetrics()
    metrics.action("step", rows=4, seconds=0.5)
    metrics.status(WorkerStatus(queued_work_seconds=7.5, queued_rows=3, running_rows=4))
    metrics.waited(0.2)
    metrics.recompiled(1)
    metrics.device_memory(1024)
    assert read(metrics, "step_seconds_sum", stage="step") == 0.5
    assert read(metrics, "batch_rows_bucket", stage="step", le="4.0") == 1
    assert read(metrics, "batch_rows_bucket", stage="step", le="3.0") == 0
    assert read(metrics, "device_busy_seconds_total") == 0.5
    assert read(metrics, "queued_work_seconds") == 7.5
    assert (read(metrics, "queued_rows"), read(metrics, "running_rows")) == (3, 4)
    assert read(metrics, "queue_wait_seconds_sum") == 0.2
    assert read(metrics, "recompiles_total") == 1
    assert read(metrics, "device_memory_bytes") == 1024


def test_lookups_are_counted_as_a_worker_tells_them_and_as_they_happen() -> None:
    worker, gateway = WorkerMetrics(), GatewayMetrics()
    for hits in (2, 2, 3):
        worker.status(WorkerStatus(caches=[CacheStatus(name="text", hits=hits, misses=1)]))
    gateway.looked_up("embeddings", hit=True)
    assert (read(worker, "cache_hits_total", cache="text"), read(worker, "cache_misses_total", cache="text")) == (3, 1)
    assert read(gateway, "cache_hits_total", cache="embeddings") == 1


def test_a_gateway_counts_its_workers_and_forgets_those_that_are_gone() -> None:
    metrics = GatewayMetrics()
    metrics.worker_work(Tier.TIER_DECODER, "10.0.0.1:50052", 3.0)
    metrics.retried(Tier.TIER_PRIOR)
    assert read(metrics, "worker_queued_work_seconds", tier="DECODER", worker="10.0.0.1:50052") == 3
    assert read(metrics, "retries_total", tier="PRIOR") == 1
    metrics.worker_gone(Tier.TIER_DECODER, "10.0.0.1:50052")
    assert read(metrics, "worker_queued_work_seconds", tier="DECODER", worker="10.0.0.1:50052") is None


def test_a_phase_is_counted_under_its_name() -> None:
    metrics = Metrics()
    metrics.cancelled(Phase.PHASE_DECODING, "id")
    assert read(metrics, "cancellations_total", phase="DECODING", cause="id") == 1
