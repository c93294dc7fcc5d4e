"""Turns prompts into the token ids of a text encoder, and tells what did not fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from kandinsky.errors import ConfigError, InputError
from kandinsky.tokenizers.backend import token_id


@dataclass(frozen=True)
class Tokens:
    """Prompts as a text encoder takes them.

    Attributes:
        input_ids: (b, n) int32.
        attention_mask: (b, n) int32, 1 for tokens and 0 for padding.
        truncated: for each prompt the part that did not fit, '' where all of it did.
    """

    input_ids: npt.NDArray[np.int32]
    attention_mask: npt.NDArray[np.int32]
    truncated: tuple[str, ...]


class PromptTokenizer:
    """A tokenizer that frames every prompt in a beginning and an end token and pads it on the right.

    Args:
        backend: the `tokenizers` tokenizer; its own padding and truncation are switched off.
        pad_token: what to pad with; must be in the vocabulary.
        max_length: the longest row that the model takes, as its files state it.
        word_end: what decoding leaves where the vocabulary marks the end of a word, or ''.

    Attributes:
        max_length: as given.
        vocabulary_size: one more than the largest id; the text encoder must have as many embeddings at least.

    Raises:
        ConfigError: the pad token is not in the vocabulary, or prompts are not framed.
    """

    def __init__(self, backend: Tokenizer, pad_token: str, max_length: int, word_end: str = "") -> None:
        backend.no_padding()
        backend.no_truncation()
        if len(backend.encode("").ids) != 2:
            raise ConfigError("the tokenizer's post_processor does not add one beginning and one end token")
        self.max_length = max_length
        self.vocabulary_size = 1 + max(backend.get_vocab(with_added_tokens=True).values())
        self._backend = backend
        self._pad_id = token_id(backend, pad_token, "pad_token")
        self._word_end = word_end

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> Tokens:
        """Encodes prompts into rows of one length.

        Args:
            texts: the prompts; '' is a prompt.
            max_length: n, the length of every row; None takes the model's own.

        Raises:
            InputError: max_length leaves no room for the two tokens that frame a prompt, or a text is no valid Unicode.
        """
        length = self.max_length if max_length is None else max_length
        if length < 2:
            raise InputError("max_length", f"is {length}; must be at least 2, for the tokens around the prompt")
        try:
            encodings = self._backend.encode_batch(list(texts))
        except TypeError:
            raise InputError(
                "prompt", "is not Unicode text; a surrogate without its other half cannot be encoded"
            ) from None
        input_ids = np.full((len(encodings), length), self._pad_id, np.int32)
        attention_mask = np.zeros_like(input_ids)
        for row, encoding in enumerate(encodings):
            kept = _fit(encoding.ids, length)
            input_ids[row, : len(kept)] = kept
            attention_mask[row, : len(kept)] = 1
        return Tokens(input_ids, attention_mask, tuple(self._removed(encoding, length) for encoding in encodings))

    def _removed(self, encoding: Encoding, length: int) -> str:
        if len(encoding.ids) <= length:
            return ""
        text = self._backend.decode(encoding.ids[length - 1 : -1], skip_special_tokens=False)
        return text.replace(self._word_end, " ").strip() if self._word_end else text


def _fit(ids: list[int], length: int) -> list[int]:
    """The first tokens, and always the one that ends the prompt."""
    return ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]
