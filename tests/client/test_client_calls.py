"""Both clients against the fake gateway: what comes back from each call."""

import numpy as np
import pytest

from imagegen.v1 import common_pb2, gateway_pb2
from kandinsky_client import (
    Embeddings,
    Img2ImgResult,
    InternalError,
    Progress,
    PromptEncoded,
    Queued,
)
from tests.client.conftest import Caller
from tests.client.fake_service import FakeImageService, picture_file, queued


def test_img2img_gives_pillow_images_seed_and_receipt(call: Caller, service: FakeImageService) -> None:
    service.num_results = 2
    result = call("img2img", picture_file(), "a red circle", width=40, height=20, seed=0)
    assert [image.size for image in result.images] == [(40, 20), (40, 20)]
    assert result.image.getpixel((0, 0)) == (255, 0, 0)
    assert (result.seed, result.request_id, result.receipt.total_seconds) == (0, "r1", 3.5)
    assert result.pictures[0].data == picture_file("red", 40, 20)
    assert "x89PNG" not in repr(result)


def test_a_stream_gives_typed_events_and_the_result_last(call: Caller) -> None:
    events = call("stream_img2img", picture_file(), "a red circle", preview_every_steps=1)
    assert events[0] == Queued("r1", "decoder", 2, 12.5)
    assert events[1] == PromptEncoded(cache_hit=True, truncations=())
    assert [(event.step, event.total_steps) for event in events[2:4] if isinstance(event, Progress)] == [(1, 4), (4, 4)]
    assert events[2].preview.to_pillow().size == (8, 6)
    assert events[3].preview is None
    assert isinstance(events[4], Img2ImgResult)
    assert len(events) == 5


def test_an_event_of_a_newer_server_is_skipped(call: Caller, service: FakeImageService) -> None:
    service.news = [gateway_pb2.StreamImg2ImgResponse(), queued()]
    events = call("stream_img2img", picture_file(), "p")
    assert [type(event) for event in events] == [Queued, Img2ImgResult]


def test_a_stream_that_ends_without_a_result_is_an_error(call: Caller, service: FakeImageService) -> None:
    service.ends_with_result = False
    with pytest.raises(InternalError, match="without a result"):
        call("stream_img2img", picture_file(), "p")


def test_encode_prompt_gives_embeddings_that_can_be_sent_back(call: Caller, service: FakeImageService) -> None:
    result = call("encode_prompt", "a red circle", seed=0)
    assert (len(result.embeddings), result.embeddings.prior_digest, result.seed) == (1, "abc", 0)
    call("img2img", picture_file(), "a red circle", embeddings=result.embeddings)
    assert service.requests[-1].embeddings == service.embeddings


def test_interpolate_gives_embeddings(call: Caller) -> None:
    assert len(call("interpolate", ["a", "b"], weights=[0.3, 0.7]).embeddings) == 1


def test_embeddings_from_arrays_arrive_as_they_are(call: Caller, service: FakeImageService) -> None:
    values = np.arange(4, dtype=np.float32).reshape(1, 4)
    call("img2img", picture_file(), "p", embeddings=Embeddings.from_arrays(values, -values))
    sent = service.requests[-1].embeddings
    assert sent.image_embeds.data == values.tobytes()
    assert sent.negative_image_embeds.data == (-values).tobytes()


def test_cancel_tells_what_it_stopped(call: Caller, service: FakeImageService) -> None:
    stopped = call("cancel", "r1")
    assert (stopped.found, stopped.phase) == (True, "denoising")
    assert service.requests == [gateway_pb2.CancelRequest(request_id="r1")]


def test_info_is_the_contracts_own_message(call: Caller, service: FakeImageService) -> None:
    service.server_info.workers.add(tier="TIER_PRIOR", address="127.0.0.1:1")
    assert call("info") == service.server_info


def test_a_picture_of_many_megabytes_passes_both_ways(call: Caller, service: FakeImageService) -> None:
    megabytes = picture_file() + bytes(20 * 2**20)
    service.receipt.truncations.add(tier=common_pb2.TIER_PRIOR, removed_text="x" * (20 * 2**20))
    call("img2img", megabytes, "p")
    assert service.requests[0].image == megabytes
