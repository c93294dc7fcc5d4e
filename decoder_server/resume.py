"""The latent checkpoints that a request goes on from, checked."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decoder_server.actions import Resumption
from imagegen.v1.common_pb2 import Tensor
from imagegen.v1.decoder_pb2 import LatentCheckpoint
from kandinsky.decoder_model import DecoderModel
from kandinsky.img2img import Img2ImgRequest, working_size_px
from kandinsky.schedulers.img2img import decoder_schedule
from serving.errors import CheckpointOfAnotherModelError, InvalidFieldError
from serving.tensors import to_array


def parse_resumptions(
    checkpoints: Sequence[LatentCheckpoint], request: Img2ImgRequest, model: DecoderModel, model_digest: str
) -> dict[int, Resumption]:
    """Where to go on, by the image's number.

    Raises:
        CheckpointOfAnotherModelError: a checkpoint was made with other weights.
        InvalidFieldError: it does not fit the request; says what would.
    """
    resumptions: dict[int, Resumption] = {}
    for place, checkpoint in enumerate(checkpoints):
        field = f"resume_from[{place}]"
        if checkpoint.model_digest != model_digest:
            raise CheckpointOfAnotherModelError(checkpoint.model_digest, model_digest)
        index = checkpoint.image_index
        if index >= request.num_images or index in resumptions:
            raise InvalidFieldError(f"{field}.image_index", f"{index} is not the index of an image, once each")
        resumptions[index] = _resumption(checkpoint, field, request, model)
    return resumptions


def _resumption(checkpoint: LatentCheckpoint, field: str, request: Img2ImgRequest, model: DecoderModel) -> Resumption:
    schedule = decoder_schedule(model.scheduler, request.scheduler, request.steps, request.strength)
    done = checkpoint.steps_done
    if done > len(schedule):
        raise InvalidFieldError(f"{field}.steps_done", f"{done} is more than the {len(schedule)} steps of the request")
    draws = 1 + int(schedule.draws[:done].sum())
    if checkpoint.noise_draws != draws:
        raise InvalidFieldError(f"{field}.noise_draws", f"{checkpoint.noise_draws} is not the {draws} of {done} steps")
    scale = model.movq.config.scale
    width, height = working_size_px(model, request.width, request.height)
    shape = (model.unet.config.in_channels, height // scale, width // scale)
    has_previous = checkpoint.HasField("previous_prediction")
    previous = _latents(checkpoint.previous_prediction, f"{field}.previous_prediction", shape) if has_previous else None
    return Resumption(done, _latents(checkpoint.latents, f"{field}.latents", shape), previous)


def _latents(tensor: Tensor, field: str, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    return to_array(tensor, field, shape).astype(np.float32)[None]
