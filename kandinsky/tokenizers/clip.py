"""CLIP's tokenizer: lower-cased byte-pair encoding (Radford et al. 2021, https://arxiv.org/abs/2103.00020).

Built as transformers builds CLIPTokenizer: from tokenizer.json, or from vocab.json and merges.txt.
"""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from kandinsky.errors import MissingFileError
from kandinsky.tokenizers.backend import corrupt_unless_read, read_tokenizer_json, token_id
from kandinsky.tokenizers.prompt_tokenizer import PromptTokenizer
from kandinsky.tokenizers.tokenizer_config import TokenizerConfig, read_tokenizer_config

_SPECIAL_TOKENS = {
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
}
_MAX_LENGTH = 77
_WORD_END = "</w>"
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def open_clip_tokenizer(folder: Path) -> PromptTokenizer:
    """The CLIP tokenizer in a folder; its rows are 77 tokens where the files state no other length.

    Raises:
        MissingFileError: neither form of the files is complete.
        CorruptFileError: a file is not what its name says.
        ConfigError: a setting is not supported.
    """
    config = read_tokenizer_config(folder, _SPECIAL_TOKENS, _MAX_LENGTH)
    whole, vocabulary, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    if whole.exists():
        backend = read_tokenizer_json(whole)
    elif vocabulary.exists() and merges.exists():
        backend = _from_vocabulary(vocabulary, merges, config)
    else:
        raise MissingFileError(f"{folder} has neither tokenizer.json nor vocab.json and merges.txt; download it again")
    return PromptTokenizer(backend, config.special_tokens["pad_token"], config.max_length, _WORD_END)


def _from_vocabulary(vocabulary: Path, merges: Path, config: TokenizerConfig) -> Tokenizer:
    special = config.special_tokens
    with corrupt_unless_read(vocabulary, merges):
        model = BPE.from_file(
            str(vocabulary),
            str(merges),
            unk_token=special["unk_token"],
            continuing_subword_prefix="",
            end_of_word_suffix=_WORD_END,
        )
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(list(config.added_tokens))
    backend.post_processor = processors.RobertaProcessing(
        (special["eos_token"], token_id(backend, special["eos_token"], "eos_token")),
        (special["bos_token"], token_id(backend, special["bos_token"], "bos_token")),
        trim_offsets=False,
        add_prefix_space=False,
    )
    return backend
