"""Loads a tier and runs one step of it; prints each phase as a line of JSON.

Each tier is a process of its own, so that its memory is not counted with another's.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from mindspore import nn
from PIL import Image

from kandinsky.decoder_model import DecoderModel, load_decoder
from kandinsky.images import ResizeMode, to_pixels
from kandinsky.img2img import Img2ImgRequest, finish, start
from kandinsky.loading import Runtime
from kandinsky.ops import use_device
from kandinsky.prior_model import PriorModel, load_prior
from kandinsky.prior_sampling import condition_prior, finish_prior, start_prior, step_priors
from kandinsky.rows import step_rows
from scripts.full_size.measuring import LOAD, READ, claim_memory, forget_files, phase, read_files, weight_files

_SIDE_PX = 256
_PROMPTS = ["a red circle on a blue background", ""]


def run_prior(folder: Path) -> None:
    """Text tower, one guided prior step, vision tower."""
    runtime = _read("prior", folder)
    with phase("prior", LOAD):
        model = load_prior(folder, runtime)
    _print_weights("prior", (model.text_encoder.network, model.image_encoder.network, model.prior.network))
    _twice("prior", "text encoder", lambda: model.encode_texts(_PROMPTS).embeds.asnumpy())
    pixels = model.image_pixels(Image.new("RGB", (_SIDE_PX, _SIDE_PX), "orange"))
    _twice("prior", "image encoder", lambda: model.encode_image(pixels))
    _step_prior(model)


def run_decoder(folder: Path) -> None:
    """Text tower, MoVQ's encoder, one guided UNet step, MoVQ's decoder."""
    runtime = _read("decoder", folder)
    with phase("decoder", LOAD):
        model = load_decoder(folder, runtime)
    _print_weights("decoder", (model.text_encoder.network, model.unet.network, model.movq.network))
    picture = Image.new("RGB", (_SIDE_PX, _SIDE_PX), "orange")
    _twice("decoder", "text encoder", lambda: model.encode_texts(_PROMPTS).embeds.asnumpy())
    _twice("decoder", "MoVQ encoder", lambda: model.encode_image(to_pixels(picture)))
    _step_decoder(model, picture)


def _step_prior(model: PriorModel) -> None:
    job = start_prior(model, condition_prior(model, _PROMPTS[0], None, 4.0), 2, np.random.default_rng(0))

    def step() -> None:
        nonlocal job
        (job,) = step_priors(model, [job])
        job.latents.asnumpy()

    _twice("prior", "prior step", step)
    finish_prior(model, job)  # refuses what is not finite


def _step_decoder(model: DecoderModel, picture: Image.Image) -> None:
    request = _request(model)
    with phase("decoder", "conditioning, with compilation"):
        rows = list(start(model, request, picture).rows)

    def step() -> None:
        nonlocal rows
        rows = step_rows(model, rows)
        rows[0].latents.asnumpy()

    _twice("decoder", "UNet step", step)
    _twice("decoder", "MoVQ decoder", lambda: finish(model, request, rows[0]))


def _request(model: DecoderModel) -> Img2ImgRequest:
    """Two steps under guidance."""
    embeds = np.random.default_rng(0).standard_normal((2, 1, model.embedding_dim)).astype(np.float32)
    return Img2ImgRequest(
        prompt=_PROMPTS[0],
        negative_prompt=_PROMPTS[1],
        image_embeds=embeds[0],
        negative_image_embeds=embeds[1],
        width=_SIDE_PX,
        height=_SIDE_PX,
        steps=4,
        strength=0.5,
        guidance_scale=7.0,
        seed=0,
        num_images=1,
        scheduler=model.scheduler_type,
        resize_mode=ResizeMode.STRETCH,
    )


def _read(tier: str, folder: Path) -> Runtime:
    """Reads the files once, to compare loading with; both begin with nothing of them in the system's cache."""
    runtime = Runtime(use_device("CPU"))
    # The files in the system's cache, and twice as much, for float16 becomes float32.
    needed_bytes = 3 * sum(path.stat().st_size for path in weight_files(folder))
    forget_files(folder)
    claim_memory(needed_bytes)
    with phase(tier, READ):
        read_files(folder)
    forget_files(folder)
    claim_memory(needed_bytes)
    return runtime


def _twice(tier: str, name: str, action: Callable[[], object]) -> None:
    """The first call compiles."""
    with phase(tier, f"{name}, with compilation"):
        action()
    with phase(tier, name):
        action()


def _print_weights(tier: str, networks: Iterable[nn.Cell]) -> None:
    """What the weights need in the dtype they run in."""
    weights_bytes = sum(p.size * p.itemsize for network in networks for p in network.get_parameters())
    print(json.dumps({"tier": tier, "weights_bytes": weights_bytes}), flush=True)
