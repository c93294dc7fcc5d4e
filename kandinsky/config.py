"""Reading component configs: every key is used, known to be irrelevant, or an error that names it.

A config value decides what is computed. One that this code would silently ignore gives a wrong picture, so nothing is
ignored: a network's config class lists the keys it honours, `fixed` the keys of which it supports one value only, and
`irrelevant` the keys that change nothing at inference.
"""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from kandinsky.errors import ConfigError

Config = TypeVar("Config")


def read_config(
    cls: type[Config],
    raw: Mapping[str, Any],
    component: str,
    *,
    fixed: Mapping[str, Collection[Any]],
    irrelevant: Collection[str] = (),
    from_zero: Collection[str] = (),
) -> Config:
    """Build a config dataclass from a component's config file.

    Args:
        cls: a frozen dataclass; a field without a default is a key that the file must have.
        raw: the file's content. Keys that begin with "_" are diffusers' own notes and are skipped.
        component: name for the error text.
        fixed: keys with the values this code supports; an absent key has the library's default, which must be one.
        irrelevant: keys that change nothing here.
        from_zero: keys of whole numbers that may be 0; all others are sizes, from 1.

    Raises:
        ConfigError: a key is missing, unknown, of the wrong type, or has a value that is not supported.
    """
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]  # every Config is a dataclass
    types = get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key.startswith("_") or key in irrelevant:
            continue
        if key in known:
            values[key] = _coerce(value, types[key], key, component)
            _check_least(values[key], 0 if key in from_zero else 1, key, component)
        elif key not in fixed:
            raise ConfigError(f"{component}: config key {key!r} with value {value!r} is not supported")
        elif value not in fixed[key]:
            allowed = ", ".join(repr(item) for item in fixed[key])
            raise ConfigError(f"{component}: config {key}={value!r} is not supported; supported: {allowed}")
    missing = [name for name, field in known.items() if name not in values and field.default is MISSING]
    if missing:
        raise ConfigError(f"{component}: config lacks {', '.join(missing)}")
    return cls(**values)


def one_of(component: str, key: str, value: Any, allowed: Collection[Any]) -> None:
    """Check a value that must be one of several.

    Raises:
        ConfigError: it is not; the text names key, value and what is allowed.
    """
    if value not in allowed:
        choices = ", ".join(str(item) for item in allowed)
        raise ConfigError(f"{component}: config {key}={value!r} is not supported; supported: {choices}")


def divides(component: str, key: str, parts: int, whole: str, size: int) -> None:
    """Check that a size falls into so many equal parts.

    Args:
        component: name for the error text.
        key: what says how many parts.
        parts: its value.
        whole: what says the size.
        size: its value, or one of them.

    Raises:
        ConfigError: it does not.
    """
    if parts < 1 or size < 1 or size % parts != 0:
        raise ConfigError(
            f"{component}: config {key}={parts} does not divide {whole} ({size}) into equal parts; use the config "
            "and the weights of one and the same model"
        )


def per_block(component: str, key: str, value: int | tuple[int, ...], blocks: int) -> tuple[int, ...]:
    """Spread a value that is given once, or once a block, over the blocks.

    Raises:
        ConfigError: there are not as many values as blocks.
    """
    if isinstance(value, int):
        return (value,) * blocks
    if len(value) != blocks:
        raise ConfigError(f"{component}: config {key}={list(value)} has {len(value)} values for {blocks} blocks")
    return value


def _coerce(value: Any, expected: Any, key: str, component: str) -> Any:
    """Turn JSON into the field's type: lists into tuples, integers into floats; anything else must fit already."""
    options = get_args(expected) if isinstance(expected, UnionType) else (expected,)
    for option in options:
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if get_origin(option) is tuple and isinstance(value, list):
            item_type = get_args(option)[0]
            return tuple(_coerce(item, item_type, key, component) for item in value)
        plain = get_origin(option) or option
        if isinstance(value, plain) and (plain is bool or not isinstance(value, bool)):
            return value
    names = " or ".join(str(getattr(option, "__name__", option)) for option in options)
    raise ConfigError(f"{component}: config {key}={value!r} must be {names}")


def _check_least(value: Any, least: int, key: str, component: str) -> None:
    items = value if isinstance(value, tuple) else (value,)
    whole = [item for item in items if isinstance(item, int) and not isinstance(item, bool)]
    if value == () or any(item < least for item in whole):
        raise ConfigError(f"{component}: config {key}={value!r} is not supported; supported: {least} or more")


# What transformers writes into every config and what concerns training or text generation only.
TRANSFORMERS_IRRELEVANT = frozenset(
    """
    architectures attention_dropout attention_probs_dropout_prob attn_implementation auto_map bad_words_ids
    begin_suppress_tokens bos_token_id chunk_size_feed_forward classifier_dropout cross_attention_hidden_size
    decoder_start_token_id diversity_penalty do_sample dropout dtype early_stopping encoder_no_repeat_ngram_size
    eos_token_id exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id
    gradient_checkpointing hidden_dropout_prob id2label initializer_factor initializer_range label2id length_penalty
    max_length min_length model_type no_repeat_ngram_size num_beam_groups num_beams num_return_sequences
    output_attentions output_hidden_states output_past output_scores pad_token_id prefix problem_type pruned_heads
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens
    task_specific_params temperature tf_legacy_loss tie_encoder_decoder tie_word_embeddings tokenizer_class top_k top_p
    torch_dtype torchscript transformers_version typical_p use_bfloat16 use_cache
    """.split()
)
