"""What a tokenizer's folder says beside its vocabulary: tokenizer_config.json and special_tokens_map.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from kandinsky.checkpoint.json_file import read_json
from kandinsky.errors import ConfigError, CorruptFileError, MissingFileError

_LONGEST_LENGTH = 1_000_000


@dataclass(frozen=True)
class TokenizerConfig:
    """The settings of a tokenizer that decide about token ids.

    Attributes:
        special_tokens: the text of each special token by its name, such as pad_token.
        added_tokens: the tokens that are looked for before anything else, in the order of their ids.
        max_length: the longest row that the model takes.
    """

    special_tokens: Mapping[str, str]
    added_tokens: tuple[AddedToken, ...]
    max_length: int


def read_tokenizer_config(folder: Path, defaults: Mapping[str, str], default_length: int) -> TokenizerConfig:
    """Reads the folder's settings; both files may be absent.

    Args:
        folder: the tokenizer's folder.
        defaults: the special tokens of this kind of tokenizer, by name.
        default_length: the max_length where the files state none.

    Raises:
        MissingFileError: there is no such folder.
        CorruptFileError: a file is not what it should be.
        ConfigError: a setting is not supported.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder} is missing; download the checkpoint again")
    config = dict(_read_optional(folder / "tokenizer_config.json"))
    if not config.get("added_tokens_decoder"):  # the older way to state the tokens' properties
        config |= _read_optional(folder / "special_tokens_map.json")
    if config.get("padding_side", "right") != "right":
        raise ConfigError(f"{folder}: padding_side is {config['padding_side']!r}; only 'right' is supported")
    try:
        special = {name: _added_token(config.get(name) or default) for name, default in defaults.items()}
        decoder = {token.content: token for token in _decoder_tokens(config)}
        named = {token.content: token for token in (*special.values(), *_extra_tokens(config))}
    except (AttributeError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{folder}: a special token is not stated as text or object ({error})") from None
    return TokenizerConfig(
        special_tokens={name: token.content for name, token in special.items()},
        added_tokens=tuple((decoder | named | decoder).values()),  # their order is the decoder's, and so is its word
        max_length=_max_length(config, default_length),
    )


def _read_optional(path: Path) -> Mapping[str, Any]:
    return read_json(path) if path.exists() else {}


def _decoder_tokens(config: Mapping[str, Any]) -> list[AddedToken]:
    listed = config.get("added_tokens_decoder") or {}
    return [AddedToken(**token) for _, token in sorted(listed.items(), key=lambda item: int(item[0]))]


def _extra_tokens(config: Mapping[str, Any]) -> list[AddedToken]:
    tokens = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    return [_added_token(token) for token in tokens]


def _added_token(stated: Any) -> AddedToken:
    """A special token as the files state it: its text, or an object with its properties."""
    if isinstance(stated, str):
        return AddedToken(stated, special=True)
    return AddedToken(**{key: value for key, value in stated.items() if key not in ("__type", "special")}, special=True)


def _max_length(config: Mapping[str, Any], default: int) -> int:
    """The stated length, unless it is the 10^30 that transformers writes where it knows none."""
    match config.get("model_max_length"):
        case int() | float() as length if 2 <= length <= _LONGEST_LENGTH:
            return int(length)
    return default
