"""A request that waits holds its picture no larger than the networks will see it: hundreds may wait."""

import asyncio
import gc
import io

from PIL import Image

from imagegen.v1.decoder_pb2 import ResizeMode
from imagegen.v1.prior_pb2 import InterpolationItem, PriorServiceInterpolateRequest
from serving.batching.work import Stage
from tests.worker.workers import SIDE_PX, decoder, picture_request, prior

WIDTH_PX = 1999
"""Like no other picture of the process."""


def large_picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (WIDTH_PX, 1500)).save(file, "PNG")
    return file.getvalue()


def large_pictures_held() -> int:
    gc.collect()
    # By type: objects of other tests are proxies of what has gone, which isinstance would ask.
    return sum(type(item) is Image.Image and item.width == WIDTH_PX for item in gc.get_objects())


async def test_a_picture_to_start_from_waits_at_the_working_size() -> None:
    for mode in ResizeMode.values():
        async with decoder() as worker:
            request = picture_request("waiting", width=SIDE_PX, height=SIDE_PX, resize_mode=mode)
            request.image = large_picture()
            call = asyncio.ensure_future(worker.stub.Img2Img(request))
            held = await worker.device.reach(Stage.ENCODE, "waiting")
            assert large_pictures_held() == 0
            held.finish()
            await worker.device.work_off(call)


async def test_a_picture_to_mix_in_waits_at_clips_size() -> None:
    async with prior() as worker:
        items = [InterpolationItem(text="waiting", weight=0.5), InterpolationItem(image=large_picture(), weight=0.5)]
        call = asyncio.ensure_future(worker.stub.Interpolate(PriorServiceInterpolateRequest(items=items)))
        held = await worker.device.reach(Stage.ENCODE, "waiting")
        assert large_pictures_held() == 0
        held.finish()
        await worker.device.work_off(call)
