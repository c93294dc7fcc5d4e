"""Each network alone against diffusers and transformers, on the same inputs, eager and compiled."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from kandinsky.sampling import Conditioner, PictureDecoder, PictureEncoder
from tests.kandinsky.models import Array, Load, Models, Reference, check

# Of an output's largest magnitude; embeddings are compared absolutely as well.
TOLERANCE = 1e-4

Given = Mapping[str, Tensor]
Network = Callable[[Models, Given], dict[str, Tensor]]


def clip_text(models: Models, given: Given) -> dict[str, Tensor]:
    embeds, hidden_states = _run(models, models.prior.text_encoder.network)(given["input_ids"])
    return {"text_embeds": embeds, "last_hidden_state": hidden_states}


def clip_vision(models: Models, given: Given) -> dict[str, Tensor]:
    return {"image_embeds": _run(models, models.prior.image_encoder.network)(given["pixel_values"])}


def prior(models: Models, given: Given) -> dict[str, Tensor]:
    network, rows = models.prior.prior.network, given["hidden_states"].shape[0]
    predicted = _run(models, network)(
        given["hidden_states"],
        Tensor(np.repeat(given["timestep"].asnumpy(), rows).astype(np.float32)),
        given["proj_embedding"],
        given["encoder_hidden_states"],
        given["attention_mask"],
    )
    return {"predicted_image_embedding": predicted, "post_processed": network.denormalise(given["hidden_states"])}


def xlm_roberta(models: Models, given: Given) -> dict[str, Tensor]:
    run = _run(models, models.decoder.text_encoder.network)
    embeds, hidden_states = run(given["input_ids"], given["attention_mask"])
    return {"text_embeds": embeds, "hidden_states": hidden_states}


def unet(models: Models, given: Given) -> dict[str, Tensor]:
    network = models.decoder.unet.network
    texts = (given["encoder_hidden_states"], given["text_embeds"], given["image_embeds"])
    added, *text = _run(models, Conditioner(network))(*texts)
    timesteps = given["timestep"].astype(np.float32)
    return {"output": _run(models, network)(given["sample"], timesteps, added, tuple(text))}


def movq(models: Models, given: Given) -> dict[str, Tensor]:
    network = models.decoder.movq.network
    (latents,) = _run(models, PictureEncoder(network))(given["image"])
    (decoded,) = _run(models, PictureDecoder(network))(given["z"])
    return {"latents": latents, "decoded": decoded}


def _run(models: Models, network: nn.Cell) -> Callable[..., Any]:
    return models.runtime.graph(network)


NETWORKS: dict[str, Network] = {
    "clip_text": clip_text,
    "clip_vision": clip_vision,
    "prior": prior,
    "xlm_roberta": xlm_roberta,
    "unet": unet,
    "movq": movq,
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_what_diffusers_does(name: str, compiled: bool, reference: Reference, load: Load) -> None:
    arrays = _of(reference, name)
    given = {
        key: Tensor(value.astype(np.int32) if value.dtype.kind in "ib" else value) for key, value in arrays.items()
    }
    for output, result in NETWORKS[name](load(reference.name, compiled), given).items():
        check(f"{reference.name} {name}.{output}", result.asnumpy(), arrays[output], relative=TOLERANCE)
        if output.endswith("embeds"):
            check(f"{reference.name} {name}.{output}", result.asnumpy(), arrays[output], absolute=TOLERANCE)


def test_the_embedding_of_a_picture_of_zeros_is_transformers(reference: Reference, load: Load) -> None:
    expected = reference.arrays("networks")["clip_vision.zero_embed"]
    check("zero embedding", load(reference.name, False).prior.zero_embedding, expected, absolute=1e-4)


def test_the_quantiser_takes_the_nearest_vector_of_the_codebook(reference: Reference, load: Load) -> None:
    movq_network = load(reference.name, False).decoder.movq.network
    codebook = movq_network.quantize.embedding.weight.asnumpy()
    latents = np.random.default_rng(4).standard_normal((2, codebook.shape[1], 3, 5)).astype(np.float32)
    latents *= np.abs(codebook).max()
    rows = latents.transpose(0, 2, 3, 1).reshape(-1, 1, codebook.shape[1])
    nearest = codebook[np.argmin(((rows - codebook) ** 2).sum(-1), 1)]
    expected = nearest.reshape(2, 3, 5, -1).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(movq_network.quantise(Tensor(latents)).asnumpy(), expected)


def _of(reference: Reference, name: str) -> dict[str, Array]:
    arrays = reference.arrays("networks")
    return {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
