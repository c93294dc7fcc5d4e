"""The decoder's requests in the planner's words."""

import math
from typing import TypeAlias

from PIL import Image

from decoder_server.actions import DecoderInput, DecoderState
from imagegen.v1.decoder_pb2 import DecoderServiceImg2ImgRequest
from kandinsky.decoder_model import DecoderModel
from kandinsky.img2img import Img2ImgRequest, working_size_px
from kandinsky.schedulers.img2img import steps_run
from serving.batching import work
from serving.tenants import current_tenant
from worker.engine import Engine
from worker.service import PRIORITIES

DecoderEngine: TypeAlias = Engine[DecoderInput, DecoderState, Image.Image]


def planned(
    message: DecoderServiceImg2ImgRequest,
    origin: DecoderInput,
    model: DecoderModel,
    arrival_seconds: float,
    deadline_seconds: float | None,
) -> work.Request:
    """What the planner knows of a request.

    Args:
        message: the request as it came.
        origin: the same, parsed.
        model: the decoder.
        arrival_seconds: when it came, by the engine's clock.
        deadline_seconds: how long after that it must be done; None for no limit.
    """
    request, tenant = origin.request, current_tenant.get()
    return work.Request(
        request_id=message.request_id,
        shape=shape_of(request, model),
        evaluations=2 if request.guided else 1,
        arrival_seconds=arrival_seconds,
        deadline_seconds=math.inf if deadline_seconds is None else arrival_seconds + deadline_seconds,
        tenant=tenant.id,
        weight=tenant.weight,
        priority=PRIORITIES.get(message.priority, work.Priority.NORMAL),
    )


def shape_of(request: Img2ImgRequest, model: DecoderModel) -> work.Shape:
    """The size that a request's rows work at."""
    return work.Shape(*working_size_px(model, request.width, request.height))


def steps_left(origin: DecoderInput) -> list[int]:
    """Steps that each image still needs."""
    request, resumed = origin.request, origin.resume_from
    done = [resumed[index].steps_done if index in resumed else 0 for index in range(request.num_images)]
    return [steps_run(request.steps, request.strength) - steps for steps in done]
