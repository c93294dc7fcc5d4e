"""Each network alone: inputs drawn or given, outputs computed."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from scripts.reference.arrays import Array, Arrays
from scripts.reference.pipelines import Pipelines
from scripts.reference.tokens import MAX_TOKENS, TEXTS


def draw_inputs(pipelines: Pipelines, prompts: Sequence[str], seed: int) -> Arrays:
    """Inputs of every network: `prompts` (and an empty and an overlong one) as tokens, the rest normal noise."""
    texts = [*prompts, TEXTS[0], TEXTS[-1]]
    random = np.random.default_rng(seed)
    return {
        **_tokens("clip_text", pipelines.prior.tokenizer, texts),
        **_tokens("xlm_roberta", pipelines.decoder.tokenizer, texts),
        **_draw_prior_inputs(pipelines, random),
        **_draw_decoder_inputs(pipelines, random),
    }


def _tokens(name: str, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Arrays:
    tokens = tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="np")
    return {f"{name}.input_ids": tokens.input_ids, f"{name}.attention_mask": tokens.attention_mask}


def _draw_prior_inputs(pipelines: Pipelines, random: np.random.Generator, rows: int = 4) -> Arrays:
    config, vision = pipelines.prior.prior.config, pipelines.prior.image_encoder.config
    lengths = random.integers(2, MAX_TOKENS + 1, (rows, 1))
    return {
        "clip_vision.pixel_values": _normal(random, 2, vision.num_channels, vision.image_size, vision.image_size),
        "prior.hidden_states": _normal(random, rows, config.embedding_dim),
        "prior.proj_embedding": _normal(random, rows, config.embedding_proj_dim or config.embedding_dim),
        "prior.encoder_hidden_states": _normal(random, rows, config.num_embeddings, config.embedding_dim),
        "prior.attention_mask": np.arange(config.num_embeddings) < lengths,
        "prior.timestep": np.array([499]),
    }


def _draw_decoder_inputs(pipelines: Pipelines, random: np.random.Generator, rows: int = 3) -> Arrays:
    unet, movq = pipelines.decoder.unet.config, pipelines.decoder.movq.config
    unit, scale = 2 ** (len(unet.block_out_channels) - 1), pipelines.decoder.movq_scale_factor
    return {
        "unet.sample": _normal(random, rows, unet.in_channels, 4 * unit, 6 * unit),
        "unet.timestep": np.array([999, 500, 3]),
        "unet.encoder_hidden_states": _normal(random, rows, MAX_TOKENS, unet.encoder_hid_dim),
        "unet.text_embeds": _normal(random, rows, unet.cross_attention_dim),
        "unet.image_embeds": _normal(random, rows, unet.cross_attention_dim),
        "movq.image": _normal(random, 2, movq.in_channels, 8 * scale, 12 * scale),
        "movq.z": _normal(random, 2, movq.vq_embed_dim or movq.latent_channels, 8, 12),
    }


def _normal(random: np.random.Generator, *shape: int) -> Array:
    return random.standard_normal(shape).astype(np.float32)


def run_networks(pipelines: Pipelines, inputs: Arrays) -> Arrays:
    """Outputs of every network for `inputs` (named as `draw_inputs` names them; further names are ignored)."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    with torch.no_grad():
        outputs = {
            **_run_clip(pipelines, tensors),
            **_run_prior(pipelines, tensors),
            **_run_xlm_roberta(pipelines, tensors),
            **_run_unet(pipelines, tensors),
            **_run_movq(pipelines, tensors),
        }
    return {name: tensor.numpy() for name, tensor in outputs.items()}


Tensors = dict[str, torch.Tensor]


def _run_clip(pipelines: Pipelines, inputs: Tensors) -> Tensors:
    # no attention mask, as in the pipeline: CLIP's text encoder is causal
    text = pipelines.prior.text_encoder(inputs["clip_text.input_ids"])
    return {
        "clip_text.last_hidden_state": text.last_hidden_state,
        "clip_text.text_embeds": text.text_embeds,
        "clip_vision.image_embeds": pipelines.prior.image_encoder(inputs["clip_vision.pixel_values"]).image_embeds,
        "clip_vision.zero_embed": pipelines.prior.get_zero_embed(),
    }


def _run_prior(pipelines: Pipelines, inputs: Tensors) -> Tensors:
    names = ("hidden_states", "timestep", "proj_embedding", "encoder_hidden_states", "attention_mask")
    prior = pipelines.prior.prior
    return {
        "prior.predicted_image_embedding": prior(
            **{name: inputs[f"prior.{name}"] for name in names}
        ).predicted_image_embedding,
        "prior.post_processed": prior.post_process_latents(inputs["prior.hidden_states"]),
    }


def _run_xlm_roberta(pipelines: Pipelines, inputs: Tensors) -> Tensors:
    embeds, hidden_states = pipelines.decoder.text_encoder(
        input_ids=inputs["xlm_roberta.input_ids"], attention_mask=inputs["xlm_roberta.attention_mask"]
    )
    return {"xlm_roberta.text_embeds": embeds, "xlm_roberta.hidden_states": hidden_states}


def _run_unet(pipelines: Pipelines, inputs: Tensors) -> Tensors:
    output = pipelines.decoder.unet(
        inputs["unet.sample"],
        inputs["unet.timestep"],
        encoder_hidden_states=inputs["unet.encoder_hidden_states"],
        added_cond_kwargs={name: inputs[f"unet.{name}"] for name in ("text_embeds", "image_embeds")},
    ).sample
    return {"unet.output": output}


def _run_movq(pipelines: Pipelines, inputs: Tensors) -> Tensors:
    movq = pipelines.decoder.movq
    return {
        "movq.latents": movq.encode(inputs["movq.image"]).latents,
        "movq.decoded": movq.decode(inputs["movq.z"], force_not_quantize=True).sample,
    }
