"""Component configs: what is not supported is an error that names key and value, and nothing is ignored."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kandinsky.decoder_model import load_decoder
from kandinsky.defaults import DecoderDefaults, PriorDefaults, read_decoder_defaults, read_prior_defaults
from kandinsky.errors import ComponentClassError, ConfigError
from kandinsky.loading import Runtime
from kandinsky.networks.clip_text import ClipTextConfig
from kandinsky.networks.clip_vision import ClipVisionConfig
from kandinsky.networks.movq import MovqConfig
from kandinsky.networks.prior_transformer import PriorConfig
from kandinsky.networks.unet_config import UNetConfig
from kandinsky.networks.xlm_roberta import XlmRobertaConfig
from kandinsky.ops import use_device
from kandinsky.prior_model import load_prior
from kandinsky.schedulers.config import SchedulerConfig
from tests.kandinsky.models import CHECKPOINTS, REFERENCE, Reference

Raw = dict[str, Any]
Read = Callable[[Raw], object]

# Where each config lies in a reference checkpoint, and what reads it.
CONFIGS: dict[str, Read] = {
    "prior/text_encoder/config.json": ClipTextConfig.from_dict,
    "prior/image_encoder/config.json": ClipVisionConfig.from_dict,
    "prior/prior/config.json": PriorConfig.from_dict,
    "prior/scheduler/scheduler_config.json": lambda raw: SchedulerConfig.from_dict(raw, "UnCLIPScheduler"),
    "decoder/text_encoder/config.json": XlmRobertaConfig.from_dict,
    "decoder/unet/config.json": UNetConfig.from_dict,
    "decoder/movq/config.json": MovqConfig.from_dict,
    "decoder/scheduler/scheduler_config.json": lambda raw: SchedulerConfig.from_dict(raw, "DDIMScheduler"),
}
CLIP_TEXT, CLIP_VISION, PRIOR, UNCLIP, XLM_ROBERTA, UNET, MOVQ, DDIM = CONFIGS


def refusal(path: str, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        CONFIGS[path](Reference("tiny").json(path) | changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", CONFIGS)
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_the_references_configs_are_read(checkpoint: str, path: str) -> None:
    CONFIGS[path](Reference(checkpoint).json(path))


@pytest.mark.parametrize("path", CONFIGS)
def test_an_unknown_key_is_refused(path: str) -> None:
    message = refusal(path, novel_trick=0.25)
    assert "novel_trick" in message
    assert "0.25" in message
    assert message.startswith(path.split("/")[1])


@pytest.mark.parametrize("path", CONFIGS)
def test_diffusers_own_notes_are_no_keys(path: str) -> None:
    CONFIGS[path](Reference("tiny").json(path) | {"_novel_note": 1})


@pytest.mark.parametrize(
    ("path", "key", "value", "supported"),
    [
        (CLIP_TEXT, "hidden_act", "gelu_new", "quick_gelu"),
        (CLIP_VISION, "hidden_act", "tanh", "quick_gelu"),
        (PRIOR, "encoder_hid_proj_type", None, "linear"),
        (PRIOR, "added_emb_type", None, "prd"),
        (PRIOR, "time_embed_act_fn", "mish", "silu"),
        (PRIOR, "norm_in_type", "batch", "layer"),
        (PRIOR, "embedding_proj_norm_type", "batch", "layer"),
        (PRIOR, "additional_embeddings", 3, "4"),
        (UNCLIP, "variance_type", "learned_range", "fixed_small_log"),
        (UNCLIP, "prediction_type", "v_prediction", "epsilon, sample"),
        (UNCLIP, "beta_schedule", "linear", "squaredcos_cap_v2"),
        (XLM_ROBERTA, "hidden_act", "mish", "gelu"),
        (XLM_ROBERTA, "position_embedding_type", "relative_key", "absolute"),
        (XLM_ROBERTA, "is_decoder", True, "False"),
        (UNET, "addition_embed_type", "text", "text_image"),
        (UNET, "encoder_hid_dim_type", "image_proj", "text_image_proj"),
        (UNET, "mid_block_type", "UNetMidBlock2DCrossAttn", "UNetMidBlock2DSimpleCrossAttn"),
        (UNET, "time_embedding_type", "fourier", "positional"),
        (UNET, "class_embed_type", "timestep", "None"),
        (UNET, "center_input_sample", True, "False"),
        (UNET, "cross_attention_norm", "group_norm", "None"),
        (UNET, "act_fn", "mish", "silu"),
        (UNET, "resnet_time_scale_shift", "spatial", "scale_shift"),
        (UNET, "down_block_types", ["DownBlock2D", "SimpleCrossAttnDownBlock2D"], "ResnetDownsampleBlock2D"),
        (UNET, "up_block_types", ["SimpleCrossAttnUpBlock2D", "UpBlock2D"], "ResnetUpsampleBlock2D"),
        (UNET, "out_channels", 5, "4, 8"),
        (MOVQ, "lookup_from_codebook", True, "False"),
        (MOVQ, "norm_type", "layer", "group, spatial"),
        (MOVQ, "act_fn", "mish", "silu"),
        (MOVQ, "down_block_types", ["DownBlock2D", "DownEncoderBlock2D"], "AttnDownEncoderBlock2D"),
        (MOVQ, "up_block_types", ["UpDecoderBlock2D", "UpBlock2D"], "AttnUpDecoderBlock2D"),
        (DDIM, "thresholding", True, "False"),
        (DDIM, "rescale_betas_zero_snr", True, "False"),
        (DDIM, "trained_betas", [0.1], "None"),
        (DDIM, "beta_schedule", "sigmoid", "scaled_linear"),
        (DDIM, "prediction_type", "flow", "v_prediction"),
        (DDIM, "timestep_spacing", "random", "trailing"),
        (DDIM, "variance_type", "fixed_large", "learned_range"),
        (DDIM, "algorithm_type", "sde-dpmsolver++", "dpmsolver++"),
        (DDIM, "solver_order", 3, "2"),
        (DDIM, "num_train_timesteps", 2000, "1 … 1000"),
        (DDIM, "num_train_timesteps", 0, "1 or more"),
    ],
)
def test_an_unsupported_value_is_refused_with_those_that_are(path: str, key: str, value: Any, supported: str) -> None:
    message = refusal(path, **{key: value})
    assert key in message
    shown = value if isinstance(value, list) else [value]
    assert any(repr(item) in message for item in shown)
    assert supported in message.split("supported: ")[1]


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (CLIP_TEXT, "hidden_size", "32"),
        (CLIP_TEXT, "hidden_act", 1),
        (CLIP_VISION, "num_hidden_layers", 2.0),
        (PRIOR, "num_layers", True),
        (PRIOR, "clip_embed_dim", [32]),
        (UNCLIP, "clip_sample", 1),
        (UNCLIP, "clip_sample_range", "5"),
        (XLM_ROBERTA, "numDims", "32"),
        (UNET, "block_out_channels", 32),
        (UNET, "block_out_channels", [32, "64"]),
        (UNET, "cross_attention_dim", None),
        (UNET, "only_cross_attention", [True, False]),
        (MOVQ, "vq_embed_dim", 4.0),
        (DDIM, "beta_start", None),
        (DDIM, "steps_offset", 0.5),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(path: str, key: str, value: Any) -> None:
    message = refusal(path, **{key: value})
    assert key in message
    assert repr(value[1] if value == [32, "64"] else value) in message
    assert "must be" in message


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (UNET, "attention_head_dim", 0),
        (UNET, "attention_head_dim", [8, 0]),
        (UNET, "block_out_channels", []),
        (UNET, "conv_in_kernel", -1),
        (UNET, "sample_size", 0),
        (MOVQ, "num_vq_embeddings", 0),
        (XLM_ROBERTA, "vocab_size", 0),
        (XLM_ROBERTA, "pad_token_id", -1),
        (CLIP_TEXT, "max_position_embeddings", 0),
        (CLIP_VISION, "num_hidden_layers", -2),
        (PRIOR, "num_layers", 0),
        (DDIM, "steps_offset", -1),
    ],
)
def test_a_size_that_is_none_is_refused(path: str, key: str, value: Any) -> None:
    assert f"config {key}=" in refusal(path, **{key: value})


@pytest.mark.parametrize(
    ("path", "key"), [(CLIP_TEXT, "eos_token_id"), (XLM_ROBERTA, "pad_token_id"), (DDIM, "steps_offset")]
)
def test_what_counts_from_zero_may_be_zero(path: str, key: str) -> None:
    CONFIGS[path](Reference("tiny").json(path) | {key: 0})


def test_a_whole_number_is_a_number() -> None:
    config = UNetConfig.from_dict(Reference("tiny").json(UNET) | {"norm_eps": 1, "freq_shift": 0})
    assert isinstance(config.norm_eps, float)


@pytest.mark.parametrize(
    "key",
    """
    block_out_channels cross_attention_dim down_block_types up_block_types encoder_hid_dim addition_embed_type
    encoder_hid_dim_type mid_block_type
    """.split(),
)
def test_a_key_that_the_unet_cannot_do_without_is_named(key: str) -> None:
    raw = Reference("tiny").json(UNET)
    del raw[key]
    with pytest.raises(ConfigError, match=f"unet: config lacks {key}"):
        UNetConfig.from_dict(raw)


@pytest.mark.parametrize(
    ("path", "changes", "words"),
    [
        (UNET, {"down_block_types": ["ResnetDownsampleBlock2D"]}, "down_block_types 1 entries for 2 blocks"),
        (UNET, {"up_block_types": ["ResnetUpsampleBlock2D"] * 3}, "up_block_types 3 entries for 2 blocks"),
        (UNET, {"norm_num_groups": 12}, "norm_num_groups=12 does not divide block_out_channels 32"),
        (UNET, {"norm_num_groups": 0}, "norm_num_groups=0"),
        (MOVQ, {"norm_num_groups": 64}, "norm_num_groups=64 does not divide block_out_channels 32"),
        (MOVQ, {"block_out_channels": [32, 48]}, "block_out_channels=[32, 48] multiples of 32 spatial"),
        (CLIP_TEXT, {"num_attention_heads": 5}, "num_attention_heads=5 does not divide hidden_size 32"),
        (CLIP_VISION, {"num_attention_heads": 5}, "num_attention_heads=5 does not divide hidden_size 32"),
        (XLM_ROBERTA, {"num_attention_heads": 5}, "num_attention_heads=5 does not divide hidden_size 32"),
        (CLIP_TEXT, {"num_attention_heads": 0}, "num_attention_heads=0"),
        (PRIOR, {"num_attention_heads": 0}, "num_attention_heads=0"),
        (PRIOR, {"attention_head_dim": 0}, "attention_head_dim=0"),
        (MOVQ, {"up_block_types": ["UpDecoderBlock2D"]}, "up_block_types 1 entries for 2 blocks"),
        (MOVQ, {"vq_embed_dim": 3}, "vq_embed_dim=3 latent_channels=4"),
        (XLM_ROBERTA, {"transformerDimensions": 64}, "transformerDimensions=64 32"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(path: str, changes: Raw, words: str) -> None:
    message = refusal(path, **changes)
    assert all(word in message for word in words.split())


def test_a_group_norm_has_the_groups_that_its_config_says() -> None:
    raw = Reference("tiny").json(MOVQ) | {"norm_type": "group", "block_out_channels": [16, 24]}
    assert MovqConfig.from_dict(raw).block_out_channels == (16, 24)


@pytest.mark.parametrize("key", ["layers_per_block", "attention_head_dim"])
def test_values_a_block_must_be_as_many_as_blocks(key: str) -> None:
    config = UNetConfig.from_dict(Reference("tiny").json(UNET) | {key: [1, 2, 3]})
    with pytest.raises(ConfigError, match=key):
        _ = config.layers, config.head_dims


def test_a_scheduler_of_another_class_is_refused() -> None:
    with pytest.raises(ComponentClassError, match=r"EulerDiscreteScheduler.*DDIMScheduler"):
        SchedulerConfig.from_dict({}, "EulerDiscreteScheduler")


def test_a_left_out_key_has_its_class_default() -> None:
    assert SchedulerConfig.from_dict({}, "UnCLIPScheduler").beta_schedule == "squaredcos_cap_v2"
    assert SchedulerConfig.from_dict({}, "DPMSolverMultistepScheduler").timestep_spacing == "linspace"
    ddim = SchedulerConfig.from_dict({}, "DDIMScheduler")
    assert (ddim.beta_schedule, ddim.clip_sample, ddim.timestep_spacing) == ("linear", True, "leading")
    assert PriorConfig.from_dict({}).width == 2048
    assert ClipTextConfig.from_dict({}).eos_token_id == 49407


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """A tier of the tiny checkpoint with changes to one of its JSON files."""

    def changed(path: str, **changes: Any) -> Path:
        tier, rest = path.split("/", 1)
        shutil.copytree(REFERENCE / "tiny" / tier, tmp_path / tier)
        file = tmp_path / tier / rest
        raw = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(raw | changes))
        return tmp_path / tier

    return changed


@pytest.mark.parametrize(
    ("path", "changes", "words"),
    [
        ("decoder/text_encoder/config.json", {"numDims": 40}, "numDims=40 cross_attention_dim=32"),
        ("decoder/text_encoder/config.json", {"max_position_embeddings": 78}, "max_position_embeddings=78 79"),
        ("decoder/unet/config.json", {"in_channels": 8}, "latent channels=4 in_channels=8"),
        ("prior/text_encoder/config.json", {"projection_dim": 40}, "projection_dim=40 embedding_proj_dim=32"),
        ("prior/image_encoder/config.json", {"projection_dim": 40}, "projection_dim=40 clip_embed_dim=32"),
        ("prior/prior/config.json", {"clip_embed_dim": 40}, "clip_embed_dim=40"),
        ("prior/prior/config.json", {"num_embeddings": 60}, "model_max_length=77 num_embeddings=60"),
        ("prior/image_processor/preprocessor_config.json", {"crop_size": 24}, "crop_size=24 image_size=32"),
    ],
)
def test_components_that_do_not_fit_each_other_are_refused(
    path: str, changes: Raw, words: str, copy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tensors would not fit, either; that is another test's matter.
    monkeypatch.setattr("kandinsky.loading.load_weights", lambda *_, **__: None)
    root = copy(path, **changes)
    load = load_prior if path.startswith("prior") else load_decoder
    with pytest.raises(ConfigError) as caught:
        load(root, Runtime(use_device("CPU"), compiled=False))
    assert all(word in str(caught.value) for word in words.split())
    assert "\n" not in str(caught.value)


def test_a_checkpoints_own_defaults_are_read(copy: Callable[..., Path]) -> None:
    root = copy("decoder/serving_defaults.json", num_inference_steps=20, width=96, prior_guidance_scale=1.0)
    assert read_decoder_defaults(root) == DecoderDefaults(num_inference_steps=20, width=96)
    assert read_prior_defaults(root) == PriorDefaults(prior_guidance_scale=1.0)


def test_without_its_own_defaults_a_checkpoint_has_the_pipelines() -> None:
    root = REFERENCE / "tiny" / "decoder"
    assert read_prior_defaults(root) == PriorDefaults(25, 4.0)
    assert read_decoder_defaults(root) == DecoderDefaults(100, 0.3, 7.0, None, None)


def test_an_unknown_default_is_refused(copy: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"nmu_inference_steps.*20"):
        read_decoder_defaults(copy("decoder/serving_defaults.json", nmu_inference_steps=20))
