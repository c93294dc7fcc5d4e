"""The decoder's requests in the planner's words."""

import math
from typing import TypeAlias

from PIL import Image

from decoder_server.actions import DecoderInput, DecoderState
from imagegen.v1.common_pb2 import Priority
from imagegen.v1.decoder_pb2 import DecoderServiceImg2ImgRequest
from kandinsky.decoder_model import DecoderModel
from kandinsky.img2img import working_size_px
from kandinsky.schedulers.img2img import steps_run
from serving.batching import work
from worker.engine import Engine

DecoderEngine: TypeAlias = Engine[DecoderInput, DecoderState, Image.Image]

_PRIORITIES = {
    Priority.PRIORITY_HIGH: work.Priority.HIGH,
    Priority.PRIORITY_LOW: work.Priority.LOW,
}


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
    request = origin.request
    return work.Request(
        request_id=message.request_id,
        shape=work.Shape(*working_size_px(model, request.width, request.height)),
        evaluations=2 if request.guided else 1,
        arrival_seconds=arrival_seconds,
        deadline_seconds=math.inf if deadline_seconds is None else arrival_seconds + deadline_seconds,
        priority=_PRIORITIES.get(message.priority, work.Priority.NORMAL),
    )


def steps_left(origin: DecoderInput) -> list[int]:
    """Steps that each image still needs."""
    request, resumed = origin.request, origin.resume_from
    done = [resumed[index].steps_done if index in resumed else 0 for index in range(request.num_images)]
    return [steps_run(request.steps, request.strength) - steps for steps in done]
