"""What a prompt is taken to cost a prior: what the prior has measured, and what its receipts tell."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from imagegen.v1.common_pb2 import Receipt
from imagegen.v1.gateway_pb2 import EncodePromptRequest
from imagegen.v1.prior_pb2 import PriorParams
from tests.errors_on_the_wire import WireError, read_error
from tests.gateway.fakes import Deployment, FakePrior, deploy

# With the prior's defaults, 25 steps.
PROMPT_SECONDS = 25.0


@pytest_asyncio.fixture
async def deployment() -> AsyncIterator[Deployment]:
    async with deploy(FakePrior(step_seconds=1.0), max_queue_seconds=40) as running:
        yield running


async def refusal(deployment: Deployment, timeout_seconds: float | None = None) -> WireError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await deployment.stub.EncodePrompt(EncodePromptRequest(), timeout=timeout_seconds)
    return read_error(caught.value)


async def test_a_prompt_that_cannot_be_encoded_in_time_is_refused_at_once(deployment: Deployment) -> None:
    error = await refusal(deployment, PROMPT_SECONDS - 5)
    assert (error.reason, error.metadata) == ("DEADLINE_UNREACHABLE", {"estimated_seconds": "25.000"})
    assert deployment.prior.requests == []
    few_steps = EncodePromptRequest(params=PriorParams(num_inference_steps=5))
    await deployment.stub.EncodePrompt(few_steps, timeout=PROMPT_SECONDS - 5)


async def test_prompts_that_a_prior_has_not_reported_fill_its_queue(deployment: Deployment) -> None:
    deployment.prior.hold_at = "encoding"
    waiting = asyncio.ensure_future(deployment.stub.EncodePrompt(EncodePromptRequest()))
    await asyncio.wait_for(deployment.prior.reached.wait(), 10)
    assert (await refusal(deployment)).reason == "QUEUE_FULL"
    waiting.cancel()


async def test_what_a_prior_took_is_learnt(deployment: Deployment) -> None:
    deployment.prior.receipt = Receipt(encoding_seconds=2, prior_steps=25)
    await deployment.stub.EncodePrompt(EncodePromptRequest())
    await deployment.stub.EncodePrompt(EncodePromptRequest(), timeout=PROMPT_SECONDS - 5)


async def test_a_computation_that_a_prompt_joined_says_nothing_of_the_priors_pace(deployment: Deployment) -> None:
    deployment.prior.receipt = Receipt(encoding_seconds=0.001, cache_hit=True)
    await deployment.stub.EncodePrompt(EncodePromptRequest())
    assert (await refusal(deployment, PROMPT_SECONDS - 5)).reason == "DEADLINE_UNREACHABLE"
