"""A loaded decoder: the networks, tokenizer and scheduler of a kandinsky-2-1 folder, and its steps.

Everything here runs on the device and so belongs on one thread; loops and policy are the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import Tensor

from kandinsky.checkpoint import Component, open_settings
from kandinsky.defaults import DecoderDefaults, read_decoder_defaults
from kandinsky.errors import ConfigError, NonFiniteError
from kandinsky.graph import Graph
from kandinsky.loading import ComponentKind, Loaded, Runtime, check_fit, check_tokens
from kandinsky.networks.movq import Movq, MovqConfig
from kandinsky.networks.unet import UNet
from kandinsky.networks.unet_config import UNetConfig
from kandinsky.networks.xlm_roberta import MultilingualClip, XlmRobertaConfig
from kandinsky.sampling import Conditioner, DecoderStep, Joiner, PictureDecoder, PictureEncoder
from kandinsky.schedulers.config import DECODER_CLASSES, SchedulerConfig
from kandinsky.schedulers.img2img import SchedulerType
from kandinsky.tokenizers import PromptTokenizer, open_xlm_roberta_tokenizer

DECODER_COMPONENTS = ("movq", "scheduler", "text_encoder", "tokenizer", "unet")

# Rows of the text encoder, fixed in the pipeline whatever the tokenizer's own limit.
PROMPT_TOKENS = 77

_TEXT_ENCODER: ComponentKind[MultilingualClip, XlmRobertaConfig] = ComponentKind(
    "text_encoder",
    "MultilingualCLIP",
    XlmRobertaConfig,
    MultilingualClip,
    # A head that nothing reads, and a constant that old releases of transformers saved.
    ignore=("transformer.pooler.", "transformer.embeddings.position_ids"),
)
_UNET: ComponentKind[UNet, UNetConfig] = ComponentKind("unet", "UNet2DConditionModel", UNetConfig, UNet)
_MOVQ: ComponentKind[Movq, MovqConfig] = ComponentKind("movq", "VQModel", MovqConfig, Movq)
_SCHEDULER_TYPES = {
    "DDIMScheduler": SchedulerType.DDIM,
    "DDPMScheduler": SchedulerType.DDPM,
    "DPMSolverMultistepScheduler": SchedulerType.DPM_SOLVER_PP_2M,
}


@dataclass(frozen=True)
class DecoderTexts:
    """Encoded texts.

    Attributes:
        embeds: (b, dim).
        hidden_states: (b, 77, width).
        truncated: the end of each text that did not fit, '' where all of it did.
    """

    embeds: Tensor
    hidden_states: Tensor
    truncated: tuple[str, ...]

    def take(self, index: Sequence[int]) -> "DecoderTexts":
        """The texts at these places, in this order."""
        rows = list(index)
        return DecoderTexts(self.embeds[rows], self.hidden_states[rows], tuple(self.truncated[row] for row in rows))

    @property
    def size_bytes(self) -> int:
        """What it holds of the device's memory."""
        return sum(tensor.nbytes for tensor in (self.embeds, self.hidden_states))


@dataclass(frozen=True)
class DecoderModel:
    """A loaded decoder. Build with `load_decoder`."""

    tokenizer: PromptTokenizer
    text_encoder: Loaded[MultilingualClip, XlmRobertaConfig]
    unet: Loaded[UNet, UNetConfig]
    movq: Loaded[Movq, MovqConfig]
    scheduler: SchedulerConfig
    scheduler_type: SchedulerType
    defaults: DecoderDefaults
    runtime: Runtime
    _encode_text: Graph
    _encode_image: Graph
    _decode_image: Graph
    _condition: Graph
    step: Graph
    """(timesteps, guidance_scales, coefficients, draw, added, *latents, *previous x0, *text) → (*latents, *x0), as
    `kandinsky.sampling.DecoderStep`."""
    join: Graph
    """(evaluations, *parts) → joined parts, as `kandinsky.sampling.Joiner`."""

    @property
    def components(self) -> tuple[Component, ...]:
        """The components that hold weights."""
        return (self.movq.component, self.text_encoder.component, self.unet.component)

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
        return (self._encode_text, self._encode_image, self._decode_image, self._condition, self.step, self.join)

    @property
    def embedding_dim(self) -> int:
        """Length of an image embedding."""
        return self.unet.config.cross_attention_dim

    @property
    def granularity_px(self) -> int:
        """The UNet works on pictures whose sides are multiples of this many pixels (64 for Kandinsky 2.1)."""
        scale = self.movq.config.scale
        return scale * max(scale, self.unet.network.size_multiple)

    @property
    def default_size_px(self) -> tuple[int, int]:
        """Width and height of a result that no size was asked for."""
        side = 64 if self.unet.config.sample_size is None else self.unet.config.sample_size
        own = side * self.movq.config.scale
        defaults = self.defaults
        return (
            own if defaults.width is None else defaults.width,
            own if defaults.height is None else defaults.height,
        )

    def encode_texts(self, texts: Sequence[str]) -> DecoderTexts:
        """Encode texts with the multilingual tower; what does not fit is reported."""
        tokens = self.tokenizer.encode(texts, PROMPT_TOKENS)
        check_tokens(tokens, self.text_encoder.config.vocab_size)
        embeds, hidden_states = self._encode_text(Tensor(tokens.input_ids), Tensor(tokens.attention_mask))
        return DecoderTexts(embeds, hidden_states, tokens.truncated)

    def condition(self, text: DecoderTexts, image_embeds: npt.NDArray[np.float32]) -> tuple[Tensor, ...]:
        """What of one evaluation does not depend on the timestep.

        Args:
            text: one text.
            image_embeds: (1, dim).

        Returns:
            `added`, then keys and values, as `UNet.condition` makes them, each (1, …).
        """
        embeds = Tensor(image_embeds).astype(text.embeds.dtype)
        conditioning: tuple[Tensor, ...] = self._condition(text.hidden_states, text.embeds, embeds)
        return conditioning

    def encode_image(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Latents of a picture: (1, 3, h, w) in −1 … 1 → (1, c, h/scale, w/scale)."""
        (latents,) = self._encode_image(Tensor(pixels))
        array: npt.NDArray[np.float32] = latents.asnumpy()
        return array

    def decode_image(self, latents: Tensor) -> npt.NDArray[np.float32]:
        """Picture of latents: (b, c, h, w) → (b, 3, scale·h, scale·w), about −1 … 1.

        Raises:
            NonFiniteError: the UNet or MoVQ produced NaN or infinity.
        """
        (pixels,) = self._decode_image(latents)
        array: npt.NDArray[np.float32] = pixels.asnumpy()
        if not np.isfinite(array).all():
            raise NonFiniteError("the UNet or MoVQ produced NaN or infinity; try --dtype float32")
        return array


def load_decoder(root: Path, runtime: Runtime) -> DecoderModel:
    """Load a decoder checkpoint. MoVQ runs in float32 whatever the runtime's dtype: it runs twice a request only.

    Args:
        root: its folder, from `kandinsky.checkpoint.locate`.
        runtime: how it is to run.

    Raises:
        CheckpointError: the subclass and its text say what is wrong and what to do.
    """
    scheduler = open_settings(root, "scheduler", DECODER_CLASSES, "scheduler_config.json")
    text_encoder = _TEXT_ENCODER.load(root, runtime)
    unet = _UNET.load(root, runtime)
    movq = _MOVQ.load(root, runtime, dtype="float32")
    _check_sizes(text_encoder.config, unet.config, movq.config)
    dtype = ms.float16 if runtime.dtype == "float16" else ms.float32
    return DecoderModel(
        tokenizer=open_xlm_roberta_tokenizer(root / "tokenizer"),
        text_encoder=text_encoder,
        unet=unet,
        movq=movq,
        scheduler=SchedulerConfig.from_dict(scheduler.config, scheduler.class_name),
        scheduler_type=_SCHEDULER_TYPES[scheduler.class_name],
        defaults=read_decoder_defaults(root),
        runtime=runtime,
        _encode_text=runtime.graph(text_encoder.network),
        _encode_image=runtime.graph(PictureEncoder(movq.network)),
        _decode_image=runtime.graph(PictureDecoder(movq.network)),
        _condition=runtime.graph(Conditioner(unet.network)),
        step=runtime.graph(DecoderStep(unet.network, dtype)),
        join=runtime.graph(Joiner()),
    )


def _check_sizes(text: XlmRobertaConfig, unet: UNetConfig, movq: MovqConfig) -> None:
    """Check that the components' outputs fit each other's inputs."""
    check_fit("text_encoder numDims", text.output_dim, "unet cross_attention_dim", unet.cross_attention_dim)
    check_fit("text_encoder hidden_size", text.hidden_size, "unet encoder_hid_dim", unet.encoder_hid_dim)
    check_fit("movq latent channels", movq.embed_dim, "unet in_channels", unet.in_channels)
    positions = PROMPT_TOKENS + text.pad_token_id + 1
    if text.max_position_embeddings < positions:
        # MindSpore reads beyond a table without an error.
        raise ConfigError(
            f"text_encoder: config max_position_embeddings={text.max_position_embeddings} is too small; {positions} "
            f"are needed for {PROMPT_TOKENS} tokens"
        )
