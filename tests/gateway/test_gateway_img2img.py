"""An Img2Img request through the gateway, when nothing goes wrong."""

from typing import Any

import pytest

from imagegen.v1.common_pb2 import Priority, Receipt, Tier
from imagegen.v1.decoder_pb2 import Img2ImgParams
from imagegen.v1.gateway_pb2 import Img2ImgRequest, StreamImg2ImgRequest, StreamImg2ImgResponse
from imagegen.v1.prior_pb2 import PriorParams
from tests.gateway.fakes import Deployment, embeddings

IMAGE = bytes(range(256)) * 4096  # 1 MiB that is no picture: the gateway cannot tell


def request(**fields: Any) -> Img2ImgRequest:
    return Img2ImgRequest(**{"request_id": "r", "prompt": "a cat", "image": IMAGE} | fields)


async def stream(deployment: Deployment, message: Img2ImgRequest, **fields: Any) -> list[StreamImg2ImgResponse]:
    return [event async for event in deployment.stub.StreamImg2Img(StreamImg2ImgRequest(request=message, **fields))]


async def test_events_come_in_the_order_of_the_contract(deployment: Deployment) -> None:
    events = await stream(deployment, request())
    assert [event.WhichOneof("event") for event in events] == [
        "queued",
        "prompt_encoded",
        "queued",
        "progress",
        "progress",
        "result",
    ]
    assert (events[0].queued.request_id, events[0].queued.tier) == ("r", Tier.TIER_PRIOR)
    assert events[1].prompt_encoded.truncations == deployment.prior.receipt.truncations
    assert (events[2].queued.tier, events[2].queued.position) == (Tier.TIER_DECODER, 3)
    assert [event.progress.step for event in events[3:5]] == [1, 2]


@pytest.mark.parametrize("hit", [True, False])
async def test_a_client_is_told_whether_a_prior_had_its_embeddings_at_hand(deployment: Deployment, hit: bool) -> None:
    deployment.prior.receipt = Receipt(cache_hit=hit)
    events = await stream(deployment, request())
    assert (events[1].prompt_encoded.cache_hit, events[-1].result.receipt.cache_hit) == (hit, hit)


async def test_a_request_without_an_id_gets_one_that_all_tiers_use(deployment: Deployment) -> None:
    events = await stream(deployment, request(request_id=""))
    drawn = events[0].queued.request_id
    assert len(drawn) == 32
    assert events[-1].result.request_id == drawn
    assert deployment.prior.requests[0].request_id.startswith(f"{drawn}.")
    assert deployment.decoder.requests[0].request.request_id == drawn


async def test_picture_bytes_are_forwarded_as_they_are(deployment: Deployment) -> None:
    events = await stream(deployment, request())
    assert deployment.decoder.requests[0].request.image == IMAGE
    assert events[-1].result.images[0].data == IMAGE[::-1]


async def test_the_unary_call_gives_the_same_result(deployment: Deployment) -> None:
    message = request(params=Img2ImgParams(seed=5))
    unary = (await deployment.stub.Img2Img(message)).result
    streamed = (await stream(deployment, message))[-1].result
    unary.receipt.total_seconds = streamed.receipt.total_seconds
    assert unary == streamed


async def test_the_receipt_counts_both_tiers(deployment: Deployment) -> None:
    receipt = (await deployment.stub.Img2Img(request())).result.receipt
    assert receipt.total_seconds > 0
    receipt.total_seconds = 0
    prior, decoder = deployment.prior.receipt, deployment.decoder.receipt
    assert receipt == Receipt(
        queued_seconds=11,
        encoding_seconds=22,
        denoising_seconds=30,
        decoding_seconds=40,
        prior_steps=25,
        denoising_steps=2,
        steps_by_batch_size={1: 2},
        workers=[*prior.workers, *decoder.workers],
        truncations=[*prior.truncations, *decoder.truncations],
        retries=3,
    )


async def test_own_embeddings_skip_the_prior(deployment: Deployment) -> None:
    mine = embeddings(1)
    mine.prior_digest = "mine"
    events = await stream(deployment, request(embeddings=mine))
    assert deployment.prior.requests == []
    assert deployment.decoder.requests[0].request.embeddings == mine
    assert [event.WhichOneof("event") for event in events][:2] == ["queued", "queued"]
    assert events[0].queued.tier == Tier.TIER_DECODER
    receipt = events[-1].result.receipt
    assert (receipt.prior_steps, receipt.cache_hit, receipt.retries) == (0, False, 2)


@pytest.mark.parametrize(
    ("params", "prior", "seed", "num_embeddings"),
    [
        (Img2ImgParams(seed=0), PriorParams(), 0, 1),
        (Img2ImgParams(seed=7, num_images=3), PriorParams(), 7, 3),
        (Img2ImgParams(seed=7, num_images=3), PriorParams(seed=0), 0, 1),
        (Img2ImgParams(seed=7, num_images=0), PriorParams(), 7, 0),  # refused by the prior, not mistaken for 1
    ],
)
async def test_images_have_embeddings_of_their_own_seeds_unless_the_prior_has_one(
    deployment: Deployment, params: Img2ImgParams, prior: PriorParams, seed: int, num_embeddings: int
) -> None:
    await stream(deployment, request(params=params, prior=prior))
    encode = deployment.prior.requests[0]
    assert (encode.params.seed, encode.num_embeddings) == (seed, num_embeddings)
    assert deployment.decoder.requests[0].request.params == params


async def test_a_seed_is_drawn_once_and_told(deployment: Deployment) -> None:
    results = [(await deployment.stub.Img2Img(request())).result for _ in range(2)]
    priors = [each.params.seed for each in deployment.prior.requests]
    decoders = [each.request.params.seed for each in deployment.decoder.requests]
    assert priors == decoders == [result.seed for result in results]
    assert priors[0] != priors[1]


@pytest.mark.parametrize("negative", [None, "", "fog"])
async def test_everything_else_is_passed_on(deployment: Deployment, negative: str | None) -> None:
    params = Img2ImgParams(width=65, guidance_scale=0.0, seed=1)
    prior = PriorParams(num_inference_steps=5, guidance_scale=0.0, seed=2)
    message = request(negative_prompt=negative, params=params, prior=prior, priority=Priority.PRIORITY_LOW)
    await stream(deployment, message, preview_every_steps=4)
    encode, decode = deployment.prior.requests[0], deployment.decoder.requests[0]
    for part in (encode, decode.request):
        assert part.prompt == "a cat"
        assert part.HasField("negative_prompt") == (negative is not None)
        assert part.negative_prompt == (negative or "")
        assert part.priority == Priority.PRIORITY_LOW
    assert encode.params == prior
    assert decode.request.params == params
    assert decode.request.embeddings == embeddings(1)
    assert decode.preview_every_steps == 4
