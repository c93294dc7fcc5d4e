"""A loaded prior: the networks, tokenizer and scheduler of a kandinsky-2-1-prior folder, and its steps.

Everything here runs on the device and so belongs on one thread; loops and policy are the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import Tensor
from PIL import Image

from kandinsky.checkpoint import Component, open_settings
from kandinsky.clip_image import ClipImageConfig, clip_pixels
from kandinsky.defaults import PriorDefaults, read_prior_defaults
from kandinsky.errors import NonFiniteError
from kandinsky.graph import Graph
from kandinsky.loading import ComponentKind, Loaded, Runtime, check_fit, check_tokens
from kandinsky.networks.clip_text import ClipTextConfig, ClipTextEncoder
from kandinsky.networks.clip_vision import ClipVisionConfig, ClipVisionEncoder
from kandinsky.networks.prior_transformer import PriorConfig, PriorTransformer
from kandinsky.sampling import Joiner, PictureEmbedder, PriorStep
from kandinsky.schedulers.config import PRIOR_CLASSES, SchedulerConfig
from kandinsky.tokenizers import PromptTokenizer, open_clip_tokenizer

PRIOR_COMPONENTS = ("image_encoder", "image_processor", "prior", "scheduler", "text_encoder", "tokenizer")

_TEXT_ENCODER: ComponentKind[ClipTextEncoder, ClipTextConfig] = ComponentKind(
    "text_encoder",
    "CLIPTextModelWithProjection",
    ClipTextConfig,
    ClipTextEncoder,
    # A constant that old releases of transformers saved.
    ignore=("text_model.embeddings.position_ids",),
)
_IMAGE_ENCODER: ComponentKind[ClipVisionEncoder, ClipVisionConfig] = ComponentKind(
    "image_encoder",
    "CLIPVisionModelWithProjection",
    ClipVisionConfig,
    ClipVisionEncoder,
    ignore=("vision_model.embeddings.position_ids",),
)
_PRIOR: ComponentKind[PriorTransformer, PriorConfig] = ComponentKind(
    "prior", "PriorTransformer", PriorConfig, PriorTransformer
)
# Names that releases of transformers have given to the same steps.
_IMAGE_PROCESSORS = ("CLIPImageProcessor", "CLIPImageProcessorPil", "CLIPFeatureExtractor")


@dataclass(frozen=True)
class PriorTexts:
    """Encoded texts.

    Attributes:
        embeds: (b, dim).
        hidden_states: (b, n, dim).
        mask: (b, n) int32, 1 for tokens.
        truncated: the end of each text that did not fit, '' where all of it did.
    """

    embeds: Tensor
    hidden_states: Tensor
    mask: Tensor
    truncated: tuple[str, ...]

    def take(self, index: Sequence[int]) -> "PriorTexts":
        """The texts at these places, in this order, repeats allowed."""
        rows = list(index)
        return PriorTexts(
            self.embeds[rows], self.hidden_states[rows], self.mask[rows], tuple(self.truncated[row] for row in rows)
        )

    @property
    def size_bytes(self) -> int:
        """What it holds of the device's memory."""
        return sum(tensor.nbytes for tensor in (self.embeds, self.hidden_states, self.mask))


@dataclass(frozen=True)
class PriorModel:
    """A loaded prior. Build with `load_prior`."""

    tokenizer: PromptTokenizer
    text_encoder: Loaded[ClipTextEncoder, ClipTextConfig]
    image_encoder: Loaded[ClipVisionEncoder, ClipVisionConfig]
    prior: Loaded[PriorTransformer, PriorConfig]
    scheduler: SchedulerConfig
    image_config: ClipImageConfig
    defaults: PriorDefaults
    runtime: Runtime
    _encode_text: Graph
    _encode_image: Graph
    step: Graph
    """(timesteps, guidance_scales, coefficients, draw, text embeds, hidden states, mask, *latents) → latents, as
    `kandinsky.sampling.PriorStep`."""
    join: Graph
    """(evaluations, *parts) → joined parts, as `kandinsky.sampling.Joiner`."""

    @property
    def components(self) -> tuple[Component, ...]:
        """The components that hold weights."""
        return (self.text_encoder.component, self.image_encoder.component, self.prior.component)

    @property
    def compilations(self) -> int:
        """How many graphs have been compiled."""
        return sum(graph.compilations for graph in self._graphs)

    @property
    def compile_seconds(self) -> float:
        """What compiling them took, without their first runs."""
        return sum(graph.compile_seconds for graph in self._graphs)

    @property
    def first_run_seconds(self) -> float:
        """What the first run of each took."""
        return sum(graph.first_run_seconds for graph in self._graphs)

    @property
    def _graphs(self) -> tuple[Graph, ...]:
        return (self._encode_text, self._encode_image, self.step, self.join)

    @property
    def embedding_dim(self) -> int:
        """Length of an image embedding."""
        return self.prior.config.output_dim

    def encode_texts(self, texts: Sequence[str]) -> PriorTexts:
        """Encode texts with CLIP's text tower; what does not fit is reported."""
        tokens = self.tokenizer.encode(texts)
        check_tokens(tokens, self.text_encoder.config.vocab_size)
        embeds, hidden_states = self._encode_text(Tensor(tokens.input_ids))
        return PriorTexts(embeds, hidden_states, Tensor(tokens.attention_mask), tokens.truncated)

    def image_pixels(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """An RGB picture as `encode_image` takes it: (1, 3, h, w)."""
        return clip_pixels(image, self.image_config)

    def encode_image(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Encode a picture, from `image_pixels`, with CLIP's vision tower: (1, dim).

        Raises:
            NonFiniteError: the tower produced NaN or infinity.
        """
        (embeds,) = self._encode_image(Tensor(pixels))
        return _finite(embeds, "CLIP's vision tower")

    @cached_property
    def zero_embedding(self) -> npt.NDArray[np.float32]:
        """The negative embedding where there is no negative prompt: CLIP's of a picture of zeros, (1, dim), read-only.

        Computed when it is first asked for, on the device.

        Raises:
            NonFiniteError: the tower produced NaN or infinity.
        """
        side = self.image_encoder.config.image_size
        shape = (1, self.image_encoder.config.num_channels, side, side)
        embedding = self.encode_image(np.zeros(shape, np.float32))
        embedding.setflags(write=False)
        return embedding

    def denormalise(self, latents: Tensor) -> npt.NDArray[np.float32]:
        """Image embeddings from the last step's latents: (r, dim).

        Raises:
            NonFiniteError: the prior produced NaN or infinity.
        """
        return _finite(self.prior.network.denormalise(latents), "the prior")


def load_prior(root: Path, runtime: Runtime) -> PriorModel:
    """Load a prior checkpoint.

    Args:
        root: its folder, from `kandinsky.checkpoint.locate`.
        runtime: how it is to run.

    Raises:
        CheckpointError: the subclass and its text say what is wrong and what to do.
    """
    scheduler = open_settings(root, "scheduler", PRIOR_CLASSES, "scheduler_config.json")
    image_processor = open_settings(root, "image_processor", _IMAGE_PROCESSORS, "preprocessor_config.json")
    text_encoder = _TEXT_ENCODER.load(root, runtime)
    image_encoder = _IMAGE_ENCODER.load(root, runtime)
    prior = _PRIOR.load(root, runtime)
    image_config = ClipImageConfig.from_dict(image_processor.config)
    _check_sizes(text_encoder.config, image_encoder.config, prior.config, image_config)
    tokenizer = open_clip_tokenizer(root / "tokenizer")
    check_fit("tokenizer model_max_length", tokenizer.max_length, "prior num_embeddings", prior.config.num_embeddings)
    dtype = ms.float16 if runtime.dtype == "float16" else ms.float32
    return PriorModel(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        image_encoder=image_encoder,
        prior=prior,
        scheduler=SchedulerConfig.from_dict(scheduler.config, scheduler.class_name),
        image_config=image_config,
        defaults=read_prior_defaults(root),
        runtime=runtime,
        _encode_text=runtime.graph(text_encoder.network),
        _encode_image=runtime.graph(PictureEmbedder(image_encoder.network)),
        step=runtime.graph(PriorStep(prior.network, dtype)),
        join=runtime.graph(Joiner()),
    )


def _check_sizes(text: ClipTextConfig, vision: ClipVisionConfig, prior: PriorConfig, image: ClipImageConfig) -> None:
    """Check that the components' outputs fit each other's inputs."""
    text_width = prior.embedding_dim if prior.embedding_proj_dim is None else prior.embedding_proj_dim
    check_fit("text_encoder hidden_size", text.hidden_size, "prior embedding_dim", prior.embedding_dim)
    check_fit("text_encoder projection_dim", text.projection_dim, "prior embedding_proj_dim", text_width)
    check_fit("image_encoder projection_dim", vision.projection_dim, "prior clip_embed_dim", prior.output_dim)
    # Its own prediction is the next step's input.
    check_fit("prior embedding_dim", prior.embedding_dim, "prior clip_embed_dim", prior.output_dim)
    for side in image.crop:
        check_fit("image_processor crop_size", side, "image_encoder image_size", vision.image_size)


def _finite(embeds: Tensor, source: str) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = embeds.asnumpy().astype(np.float32)
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{source} produced NaN or infinity; try --dtype float32")
    return array
