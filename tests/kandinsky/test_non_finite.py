"""A network that computes NaN or infinity is an error, never a black picture."""

from collections.abc import Callable

import numpy as np
import pytest
from mindspore import Tensor, nn

from kandinsky.decoder_model import load_decoder
from kandinsky.errors import KandinskyError, NonFiniteError
from kandinsky.loading import Runtime
from kandinsky.ops import use_device
from kandinsky.pipeline import ImageEmbeddings, img2img, interpolate, prior
from kandinsky.prior_model import load_prior
from tests.kandinsky.models import Models, Reference, request

TINY = Reference("tiny")


def poison(network: nn.Cell, parameter: str, value: float) -> None:
    """One weight of a loaded network becomes this value; loading itself would refuse it."""
    weights = dict(network.parameters_and_names())[parameter]
    values = weights.asnumpy().copy()
    values.flat[0] = value
    weights.set_data(Tensor(values))


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(KandinskyError) as caught:
        action()
    assert type(caught.value) is NonFiniteError
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(use_device("CPU"), compiled=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("component", "parameter"),
    [
        ("unet", "conv_out.bias"),
        ("unet", "time_embedding.linear_1.weight"),
        ("text_encoder", "transformer.embeddings.LayerNorm.bias"),
        ("movq", "encoder.conv_in.bias"),
        ("movq", "decoder.conv_out.bias"),
    ],
)
def test_a_picture_of_a_decoder_that_overflows_is_refused(
    component: str, parameter: str, value: float, tiny: Models, runtime: Runtime
) -> None:
    model = load_decoder(TINY.folder / "decoder", runtime)
    poison(getattr(model, component).network, parameter, value)
    values = request(model)
    embeds = ImageEmbeddings(values.image_embeds, values.negative_image_embeds, {})
    picture = TINY.picture()
    message = refusal(
        lambda: img2img(model, picture, embeds, "a cat", seed=0, width=16, height=16, steps=2, strength=0.5)
    )
    assert "--dtype float32" in message


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    ("component", "parameter"),
    [
        ("prior", "proj_to_clip_embeddings.bias"),
        ("text_encoder", "text_projection.weight"),
        ("image_encoder", "visual_projection.weight"),
    ],
)
def test_an_embedding_of_a_prior_that_overflows_is_refused(component: str, parameter: str, compiled: bool) -> None:
    model = load_prior(TINY.folder / "prior", Runtime(use_device("CPU"), compiled=compiled))
    poison(getattr(model, component).network, parameter, np.inf)
    refusal(lambda: prior(model, "a cat", seed=0, steps=2))


def test_a_mix_with_a_picture_that_overflows_is_refused(runtime: Runtime) -> None:
    model = load_prior(TINY.folder / "prior", runtime)
    poison(model.image_encoder.network, "visual_projection.weight", np.nan)
    refusal(lambda: interpolate(model, [(TINY.picture(), 1.0)], seed=0, negative_prompt="a dog", steps=2))
