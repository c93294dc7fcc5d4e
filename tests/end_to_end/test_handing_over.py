"""A decoder that is told to stop and cannot finish in time says how far it has come, and another one goes on."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from processes import TINY, server

from imagegen.v1.decoder_pb2 import (
    DecoderServiceImg2ImgRequest,
    DecoderServiceStreamImg2ImgRequest,
    DecoderServiceStreamImg2ImgResponse,
)
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.gateway_pb2 import EncodePromptRequest, GetServerInfoRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from tests.errors_on_the_wire import read_error

DECODER = ["decoder_server", "--model", str(TINY / "decoder"), "--port", "0", "--drain-seconds", "0.1"]
STEPS = 100


def collect(
    address: str, request: DecoderServiceStreamImg2ImgRequest, begun: threading.Event
) -> tuple[list[DecoderServiceStreamImg2ImgResponse], grpc.RpcError | None]:
    """What a decoder tells, and the error it ends with."""
    events = []
    with grpc.insecure_channel(address) as channel:
        try:
            for event in DecoderServiceStub(channel).StreamImg2Img(request):
                events.append(event)
                if event.HasField("progress"):
                    begun.set()
        except grpc.RpcError as error:
            return events, error
    return events, None


def test_what_cannot_be_finished_in_time_is_handed_over(images: ImageServiceStub, sketch: bytes) -> None:
    embeddings = images.EncodePrompt(EncodePromptRequest(prompt="a red circle", params={"seed": 3})).embeddings
    params = {"width": 64, "height": 64, "num_inference_steps": STEPS, "strength": 1.0, "seed": 3, "scheduler": 2}
    job = DecoderServiceImg2ImgRequest(prompt="a red circle", image=sketch, embeddings=embeddings, params=params)
    request = DecoderServiceStreamImg2ImgRequest(request=job, checkpoint_every_steps=STEPS)
    begun = threading.Event()
    with ThreadPoolExecutor() as pool:
        with server(DECODER, {"KANDINSKY_WARM_UP": "false"}) as address:
            first = pool.submit(collect, address, request, begun)
            assert begun.wait(60)
        events, error = first.result(60)
    assert error is not None
    assert (read_error(error).code, read_error(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    checkpoint = events[-1].checkpoint
    assert 0 < checkpoint.steps_done < STEPS
    other = next(worker.address for worker in images.GetServerInfo(GetServerInfoRequest()).workers if worker.tier == 2)
    resumed = DecoderServiceStreamImg2ImgRequest(request=job, resume_from=[checkpoint])
    whole, rest = (collect(other, each, threading.Event())[0][-1].result for each in (request, resumed))
    assert rest.images[0].data == whole.images[0].data
    assert rest.receipt.denoising_steps == STEPS - checkpoint.steps_done
