"""Who is let in: pure, by tables; and over the wire, where it matters that it happens at once."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import Admission, Demand, Load
from imagegen.v1.common_pb2 import Bucket, Priority, Queued, Tier
from imagegen.v1.decoder_pb2 import Img2ImgParams
from imagegen.v1.gateway_pb2 import EncodePromptRequest, GetServerInfoRequest, Img2ImgRequest, StreamImg2ImgRequest
from imagegen.v1.prior_pb2 import PriorParams
from serving.errors import DeadlineUnreachableError, QueueFullError, ServiceError, TenantLimitError
from serving.tenants import NOBODY, Tenant
from tests.errors_on_the_wire import read_error
from tests.gateway.fakes import Deployment, Metadata, deploy, embeddings, eventually, until, with_tenants

DECODER, PRIOR = Tier.TIER_DECODER, Tier.TIER_PRIOR
NORMAL, HIGH, LOW = Priority.PRIORITY_NORMAL, Priority.PRIORITY_HIGH, Priority.PRIORITY_LOW


def demand(seconds: float, tenant: Tenant = NOBODY, priority: Priority.ValueType = HIGH, **more: Any) -> Demand:
    return Demand(tenant, priority, {DECODER: seconds}, **more)


def load(queued_seconds: float, workers: int = 1) -> dict[Tier.ValueType, Load]:
    return {DECODER: Load(queued_seconds, workers)}


def refusal(admission: Admission, wanted: Demand, loads: dict[Tier.ValueType, Load]) -> ServiceError:
    with pytest.raises(ServiceError) as caught, admission.admit(wanted, loads):
        pass
    return caught.value


def test_the_queue_is_bounded_by_seconds_for_each_worker() -> None:
    admission = Admission(10, 100)
    with admission.admit(demand(2), load(17, workers=2)):
        pass
    error = refusal(admission, demand(4), load(17, workers=2))
    assert isinstance(error, QueueFullError)
    assert error.retry_after_seconds == pytest.approx((17 + 4 - 20) / 2)
    assert error.metadata == {"estimated_wait_seconds": "8.500"}


def test_an_idle_tier_takes_any_request() -> None:
    with Admission(10, 100).admit(demand(1000), load(0)):
        pass


def test_work_that_was_let_in_counts_until_a_worker_has_it() -> None:
    admission = Admission(10, 100)
    with admission.admit(demand(9), load(0)) as ticket:
        assert isinstance(refusal(admission, demand(2), load(0)), QueueFullError)
        assert admission.wait_seconds(load(0)) == 9
        ticket.sent(DECODER)
        with admission.admit(demand(2), load(0)):
            pass
        assert isinstance(refusal(admission, demand(2), load(9)), QueueFullError)


@pytest.mark.parametrize(("priority", "limit_seconds"), [(HIGH, 10), (NORMAL, 9), (LOW, 5)])
def test_the_urgent_find_room_that_others_do_not(priority: Priority.ValueType, limit_seconds: float) -> None:
    admission = Admission(10, 100)
    with admission.admit(demand(1, priority=priority), load(limit_seconds - 1)):
        pass
    assert isinstance(refusal(admission, demand(1.1, priority=priority), load(limit_seconds - 1)), QueueFullError)


def test_a_tenant_with_less_than_its_share_is_let_into_a_full_queue() -> None:
    admission, greedy, modest = Admission(10, 100), Tenant("greedy", weight=1), Tenant("modest", weight=3)
    with admission.admit(demand(10, greedy), load(0)) as ticket:
        ticket.sent(DECODER)
        assert isinstance(refusal(admission, demand(1, greedy), load(10)), QueueFullError)
        with admission.admit(demand(7, modest), load(10)):
            assert isinstance(refusal(admission, demand(1, modest), load(10)), QueueFullError)


def test_a_tenants_requests_at_once_are_bounded() -> None:
    admission, tenant = Admission(10, 100), Tenant("t", max_concurrent=1)
    with admission.admit(demand(3, tenant), load(0)):
        error = refusal(admission, demand(1, tenant), load(0))
        with admission.admit(demand(1, Tenant("other")), load(0)):
            pass
    assert isinstance(error, TenantLimitError)
    assert (error.metadata, error.retry_after_seconds) == ({"tenant": "t"}, 3)


def test_a_tenants_work_at_once_is_bounded_but_one_request_is_always_let_in() -> None:
    admission, tenant = Admission(100, 100), Tenant("t", max_queued_seconds=5)
    with admission.admit(demand(7, tenant), load(0, workers=2)):
        error = refusal(admission, demand(2, tenant), load(0, workers=2))
    assert isinstance(error, TenantLimitError)
    assert error.retry_after_seconds == pytest.approx((7 + 2 - 5) / 2)


def test_what_cannot_be_done_in_time_is_refused() -> None:
    admission = Admission(100, 100)
    error = refusal(admission, demand(5, remaining_seconds=4.0), load(30, workers=3))
    assert isinstance(error, DeadlineUnreachableError)
    assert (error.metadata, error.retry_after_seconds) == ({"estimated_seconds": "5.000"}, 10)
    with admission.admit(demand(5, remaining_seconds=6.0), load(30, workers=3)):
        pass


def test_requests_are_bounded_where_their_work_is_not_known() -> None:
    admission = Admission(10, 2)
    with admission.admit(demand(0), load(0)), admission.admit(demand(0), load(0)):
        assert isinstance(refusal(admission, demand(0), load(0)), QueueFullError)


def test_what_needs_no_device_is_let_in_beside_all_the_work_a_tenant_may_have() -> None:
    admission, tenant = Admission(100, 100), Tenant("t", max_queued_seconds=5)
    with admission.admit(demand(7, tenant), load(0)), admission.admit(Demand(tenant, LOW, {}), {}):
        assert isinstance(refusal(admission, demand(0, tenant), load(0)), TenantLimitError)


def test_what_needs_no_device_counts_as_a_request_all_the_same() -> None:
    admission = Admission(10, 2)
    with admission.admit(Demand(NOBODY, HIGH, {}), {}), admission.admit(demand(1), load(0)):
        assert isinstance(refusal(admission, Demand(NOBODY, HIGH, {}), {}), QueueFullError)


def test_where_there_are_too_many_requests_the_next_is_told_to_come_when_one_of_them_may_be_done() -> None:
    admission, loads = Admission(100, 2), {PRIOR: Load(2, 1), DECODER: Load(12, 2)}
    with admission.admit(demand(0), loads), admission.admit(demand(0), loads):
        error = refusal(admission, demand(0), loads)
    assert error.retry_after_seconds == pytest.approx((2 + 12 / 2) / 2)


def test_both_tiers_have_to_have_room() -> None:
    wanted = Demand(NOBODY, HIGH, {PRIOR: 1.0, DECODER: 1.0})
    loads = {PRIOR: Load(9.5, 1), DECODER: Load(1, 1)}
    assert isinstance(refusal(Admission(10, 9), wanted, loads), QueueFullError)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 5), st.sampled_from([1.0, 2.0])), max_size=80))
def test_no_tenants_can_overfill_a_queue_by_more_than_its_size(arrivals: list[tuple[str, float, float]]) -> None:
    admission, retries_seconds = Admission(10, 1000), list[float | None]()
    with ExitStack() as let_in:
        for name, seconds, weight in arrivals:
            try:
                let_in.enter_context(admission.admit(demand(seconds, Tenant(name, weight=weight)), load(0)))
            except QueueFullError as error:
                retries_seconds.append(error.retry_after_seconds)
        # Each tenant has its share of the queue, or got in while the queue had room.
        assert admission.wait_seconds(load(0)) <= 20 + 5
    assert all(seconds is not None and seconds > 0 for seconds in retries_seconds)


async def test_a_full_queue_is_told_at_once_and_needs_no_worker() -> None:
    async with deploy(max_queue_seconds=10) as deployment:
        deployment.decoder.buckets = [Bucket(rows=1, width=64, height=64, step_seconds=1.0)]
        await reconnected(deployment)
        deployment.decoder.report(queued_work_seconds=9)
        await eventually(lambda: waits(deployment, 9))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await deployment.stub.StreamImg2Img(StreamImg2ImgRequest(request=picture(steps=10))).read()
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert error.retry_after_seconds == pytest.approx(9 + 10 - 9, abs=1.1)
    assert deployment.prior.requests == deployment.decoder.requests == []


async def test_a_prior_gets_the_time_that_the_decoder_does_not_need() -> None:
    async with deploy() as deployment:
        deployment.decoder.buckets = [Bucket(rows=1, width=64, height=64, step_seconds=1.0)]
        await reconnected(deployment)
        await deployment.stub.Img2Img(picture(steps=20), timeout=60)
    assert 30 < deployment.prior.remaining_seconds < 41
    assert 50 < deployment.decoder.remaining_seconds < 61


async def test_a_cached_prompt_is_answered_whatever_else_its_tenant_waits_for(tmp_path: Path) -> None:
    tokens, metadata = with_tenants(tmp_path, studio={"max_queued_seconds": 1})
    as_tenant = metadata["studio"]
    prompt = EncodePromptRequest(prompt="cat", params=PriorParams(seed=1))
    async with deploy(cache_bytes=2**20, tokens=tokens) as deployment:
        await deployment.stub.EncodePrompt(prompt, metadata=as_tenant)
        deployment.decoder.buckets = [Bucket(rows=1, width=64, height=64, step_seconds=1.0)]
        await reconnected(deployment, as_tenant)
        deployment.decoder.hold_at = "queue"
        waiting = asyncio.ensure_future(deployment.stub.Img2Img(picture(steps=20), metadata=as_tenant))
        await asyncio.wait_for(deployment.decoder.reached.wait(), 10)
        assert (await deployment.stub.EncodePrompt(prompt, metadata=as_tenant)).receipt.cache_hit
        waiting.cancel()


async def test_embeddings_are_let_in_by_the_priors_queue_only() -> None:
    async with deploy(max_queue_seconds=10) as deployment:
        deployment.decoder.report(queued_work_seconds=1000)
        await eventually(lambda: waits(deployment, 1000))
        await deployment.stub.EncodePrompt(EncodePromptRequest(params=PriorParams(seed=1)))
        deployment.prior.hold_at = "encoding"
        call = asyncio.ensure_future(deployment.stub.EncodePrompt(EncodePromptRequest()))
        deployment.prior.report(queued_work_seconds=12)
        await eventually(lambda: waits(deployment, 1012))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await deployment.stub.EncodePrompt(EncodePromptRequest())
        call.cancel()
    assert read_error(caught.value).reason == "QUEUE_FULL"


async def test_an_idle_tier_is_waited_for_no_second_however_long_the_request_itself_is() -> None:
    async with deploy() as deployment:
        deployment.decoder.buckets = [Bucket(rows=1, width=64, height=64, step_seconds=1.0)]
        await reconnected(deployment)
        for embeds in (None, embeddings(1)):
            request = picture(steps=8)
            if embeds is not None:
                request.embeddings.CopyFrom(embeds)
            assert (await queued(deployment, request)).estimated_wait_seconds == 0


async def test_a_request_is_told_of_the_tier_that_begins_it() -> None:
    async with deploy(cache_bytes=2**20) as deployment:
        deployment.decoder.report(queued_work_seconds=9)
        await eventually(lambda: waits(deployment, 9))
        request = picture(steps=8)
        request.prior.seed = 1
        first, again = [await queued(deployment, request) for _ in range(2)]
    assert (first.tier, first.estimated_wait_seconds) == (PRIOR, 0)
    assert (again.tier, again.estimated_wait_seconds) == (DECODER, pytest.approx(9, abs=1.1))  # the prompt is cached


async def queued(deployment: Deployment, request: Img2ImgRequest) -> Queued:
    """The first that a request is told."""
    events = [event async for event in deployment.stub.StreamImg2Img(StreamImg2ImgRequest(request=request))]
    told: Queued = events[0].queued
    return told


def picture(steps: int) -> Img2ImgRequest:
    params = Img2ImgParams(width=64, height=64, num_inference_steps=steps, strength=1, guidance_scale=7, num_images=1)
    return Img2ImgRequest(image=b"picture", params=params)


async def waits(deployment: Deployment, seconds: float, metadata: Metadata = ()) -> bool:
    info = await deployment.stub.GetServerInfo(GetServerInfoRequest(), metadata=metadata)
    return bool(seconds - 1.1 <= info.estimated_wait_seconds <= seconds)  # a worker is taken to get on


async def reconnected(deployment: Deployment, metadata: Metadata = ()) -> None:
    """Waits until the gateway has asked the decoder anew what it is."""
    asked = deployment.decoder.asked
    deployment.decoder.hang_up()
    await until(lambda: deployment.decoder.asked > asked)
    deployment.decoder.report(queued_work_seconds=9)
    await eventually(lambda: waits(deployment, 9, metadata))
    deployment.decoder.report(queued_work_seconds=0)
    await eventually(lambda: waits(deployment, 0, metadata))
