# ruff: noqa: N802 - the methods are named by the proto
"""A FAKE of the gateway: a real gRPC server whose answers a test chooses and which remembers what it was sent."""

import io
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from PIL import Image

from imagegen.v1 import common_pb2, decoder_pb2, gateway_pb2, prior_pb2
from imagegen.v1.gateway_pb2_grpc import ImageServiceServicer, add_ImageServiceServicer_to_server

GIVE_UP_SECONDS = 30.0

Events = Sequence[gateway_pb2.StreamImg2ImgResponse]


def picture_file(color: str = "red", width: int = 64, height: int = 48) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()


def encoded(color: str = "red", width: int = 64, height: int = 48) -> decoder_pb2.EncodedImage:
    data = picture_file(color, width, height)
    return decoder_pb2.EncodedImage(data=data, format="IMAGE_FORMAT_PNG", width=width, height=height)


def queued() -> gateway_pb2.StreamImg2ImgResponse:
    news = common_pb2.Queued(request_id="r1", tier="TIER_DECODER", position=2, estimated_wait_seconds=12.5)
    return gateway_pb2.StreamImg2ImgResponse(queued=news)


def progress(step: int, total: int = 4, image: int = 0, preview: bool = False) -> gateway_pb2.StreamImg2ImgResponse:
    news = decoder_pb2.Progress(image_index=image, step=step, total_steps=total)
    if preview:
        news.preview.CopyFrom(encoded("blue", 8, 6))
    return gateway_pb2.StreamImg2ImgResponse(progress=news)


def failure(
    code: grpc.StatusCode,
    message: str = "no",
    *,
    reason: str = "",
    metadata: dict[str, str] | None = None,
    violations: Sequence[tuple[str, str]] = (),
    retry_after_seconds: float | None = None,
) -> Status:
    """An error as the project's servers send it."""
    status = Status(code=code.value[0], message=message)
    if reason:
        status.details.add().Pack(ErrorInfo(domain="imagegen.v1", reason=reason, metadata=metadata))
    if violations:
        fields = [BadRequest.FieldViolation(field=field, description=text) for field, text in violations]
        status.details.add().Pack(BadRequest(field_violations=fields))
    if retry_after_seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_seconds * 1000))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


class FakeImageService(ImageServiceServicer):
    """Answers at once with red pictures, unless told otherwise.

    Attributes:
        requests: what came, in order.
        authorization: what the last call came with.
        failures: the first calls fail with these, one each.
        admits: whether a failing call is answered with x-request-id first, as an admitted one is.
        news: what streams say before the result; None: one of each kind.
        ends_with_result: whether streams do.
        breaks_with: how streams end instead, after their news.
        holds: calls never finish: streams stop before the result, others say nothing.
        held: set when a call is being held.
        left: set when a client has left a held call.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.authorization: str | None = None
        self.failures: deque[Status] = deque()
        self.admits = False
        self.news: Events | None = None
        self.ends_with_result = True
        self.breaks_with: Status | None = None
        self.holds = False
        self.held = threading.Event()
        self.left = threading.Event()
        self.receipt = common_pb2.Receipt(total_seconds=3.5, denoising_seconds=2.0, denoising_steps=4)
        self.num_results = 1
        self.server_info = gateway_pb2.GetServerInfoResponse(version="0.1.0")
        self.cancel_answer = gateway_pb2.CancelResponse(found=True, phase="PHASE_DENOISING")
        self.embeddings = common_pb2.ImageEmbeddings(
            image_embeds=common_pb2.Tensor(dtype="DATA_TYPE_FLOAT32", shape=[1, 2], data=bytes(8)), prior_digest="abc"
        )

    def Img2Img(self, request: gateway_pb2.Img2ImgRequest, context: Any) -> gateway_pb2.Img2ImgResponse:
        self._begin(request, context)
        return gateway_pb2.Img2ImgResponse(result=self._result(request))

    def StreamImg2Img(
        self, request: gateway_pb2.StreamImg2ImgRequest, context: Any
    ) -> Iterator[gateway_pb2.StreamImg2ImgResponse]:
        holds, self.holds = self.holds, False
        self._begin(request, context)
        encoded_prompt = gateway_pb2.StreamImg2ImgResponse(prompt_encoded=gateway_pb2.PromptEncoded(cache_hit=True))
        yield from (
            self.news if self.news is not None else [queued(), encoded_prompt, progress(1, preview=True), progress(4)]
        )
        if holds:
            self._hold(context)
        if self.breaks_with is not None:
            context.abort_with_status(rpc_status.to_status(self.breaks_with))
        if self.ends_with_result:
            yield gateway_pb2.StreamImg2ImgResponse(result=self._result(request.request))

    def EncodePrompt(self, request: gateway_pb2.EncodePromptRequest, context: Any) -> gateway_pb2.EncodePromptResponse:
        self._begin(request, context)
        return gateway_pb2.EncodePromptResponse(
            request_id="r2", embeddings=self.embeddings, seed=request.params.seed, receipt=self.receipt
        )

    def Interpolate(self, request: gateway_pb2.InterpolateRequest, context: Any) -> gateway_pb2.InterpolateResponse:
        self._begin(request, context)
        return gateway_pb2.InterpolateResponse(
            request_id="r3", embeddings=self.embeddings, seed=request.params.seed, receipt=self.receipt
        )

    def Cancel(self, request: gateway_pb2.CancelRequest, context: Any) -> gateway_pb2.CancelResponse:
        self._begin(request, context)
        return self.cancel_answer

    def GetServerInfo(
        self, request: gateway_pb2.GetServerInfoRequest, context: Any
    ) -> gateway_pb2.GetServerInfoResponse:
        self._begin(request, context)
        return self.server_info

    def _begin(self, request: Message, context: Any) -> None:
        self.requests.append(request)
        self.authorization = dict(context.invocation_metadata()).get("authorization")
        if self.failures:
            if self.admits:
                context.send_initial_metadata((("x-request-id", "r1"),))
            context.abort_with_status(rpc_status.to_status(self.failures.popleft()))
        if self.holds:
            self._hold(context)

    def _hold(self, context: Any) -> None:
        """Work until the client leaves."""
        over = threading.Event()
        if not context.add_callback(over.set):
            over.set()
        self.held.set()
        if over.wait(GIVE_UP_SECONDS):
            self.left.set()

    def _result(self, request: gateway_pb2.Img2ImgRequest) -> decoder_pb2.Img2ImgResult:
        width, height = request.params.width or 64, request.params.height or 48
        images = [encoded("red", width, height) for _ in range(self.num_results)]
        seed = request.params.seed if request.params.HasField("seed") else 1234
        return decoder_pb2.Img2ImgResult(request_id="r1", images=images, seed=seed, receipt=self.receipt)


class FakeServer:
    """The fake, served at `address` while the context lasts."""

    def __init__(self, service: FakeImageService, credentials: grpc.ServerCredentials | None = None) -> None:
        self._threads = ThreadPoolExecutor(max_workers=8)
        options = [("grpc.max_receive_message_length", 64 * 2**20)]
        self._server = grpc.server(self._threads, options=options)
        add_ImageServiceServicer_to_server(service, self._server)
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(grace=None).wait(GIVE_UP_SECONDS)
        self._threads.shutdown()


def prior_info() -> prior_pb2.PriorInfo:
    model = common_pb2.ModelInfo(id="a/prior", revision="abc", digest="0123456789abcdef", dtype="DATA_TYPE_FLOAT32")
    model.device = "CPU"
    return prior_pb2.PriorInfo(
        model=model,
        defaults=prior_pb2.PriorParams(num_inference_steps=25, guidance_scale=4.0),
        limits=prior_pb2.PriorLimits(max_num_inference_steps=1000, max_num_embeddings=8, max_items=16),
    )
