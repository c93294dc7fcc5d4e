"""XLM-RoBERTa's tokenizer: a SentencePiece unigram vocabulary of 100 languages (https://arxiv.org/abs/1911.02116).

Built as transformers builds XLMRobertaTokenizer: from tokenizer.json, or from sentencepiece.bpe.model, which is a
unigram model in spite of its name.
"""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from kandinsky.errors import MissingFileError
from kandinsky.tokenizers.backend import corrupt_unless_read, read_tokenizer_json, token_id
from kandinsky.tokenizers.prompt_tokenizer import PromptTokenizer
from kandinsky.tokenizers.sentencepiece_model import PieceType, SentencePieceModel, read_sentencepiece_model
from kandinsky.tokenizers.tokenizer_config import TokenizerConfig, read_tokenizer_config

_SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_MAX_LENGTH = 512
# fairseq put these four where SentencePiece has its own first three, and its mask after all pieces.
_FIRST_TOKENS = ("bos_token", "pad_token", "eos_token", "unk_token")
_SENTENCEPIECE_FIRST = 3
_SPACE = "▁"


def open_xlm_roberta_tokenizer(folder: Path) -> PromptTokenizer:
    """The XLM-RoBERTa tokenizer in a folder; the Kandinsky pipeline encodes with it to rows of 77 tokens.

    Raises:
        MissingFileError: there is neither form of the files.
        CorruptFileError: a file is not what its name says.
        ConfigError: a setting is not supported.
    """
    config = read_tokenizer_config(folder, _SPECIAL_TOKENS, _MAX_LENGTH)
    whole, model = folder / "tokenizer.json", folder / "sentencepiece.bpe.model"
    if whole.exists():
        backend = read_tokenizer_json(whole)
    elif model.exists():
        backend = _from_sentencepiece(model, config)
    else:
        raise MissingFileError(f"{folder} has neither tokenizer.json nor sentencepiece.bpe.model; download it again")
    return PromptTokenizer(backend, config.special_tokens["pad_token"], config.max_length)


def _from_sentencepiece(path: Path, config: TokenizerConfig) -> Tokenizer:
    model = read_sentencepiece_model(path)
    special = config.special_tokens
    vocabulary = [
        *((special[name], 0.0) for name in _FIRST_TOKENS),
        *((piece.text, piece.score) for piece in model.pieces[_SENTENCEPIECE_FIRST:]),
        (special["mask_token"], 0.0),
    ]
    backend = Tokenizer(Unigram(vocabulary, unk_id=_FIRST_TOKENS.index("unk_token")))
    if model.precompiled_charsmap:
        with corrupt_unless_read(path):
            backend.normalizer = normalizers.Precompiled(model.precompiled_charsmap)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(_SPACE, prepend_scheme="always")]
    )
    backend.decoder = decoders.Metaspace(_SPACE, prepend_scheme="always")
    backend.add_tokens([*config.added_tokens, *_added_pieces(model)])
    frame = ("bos_token", "eos_token")
    backend.post_processor = processors.TemplateProcessing(
        single=[special["bos_token"], "$A", special["eos_token"]],
        special_tokens=[(special[role], token_id(backend, special[role], role)) for role in frame],
    )
    return backend


def _added_pieces(model: SentencePieceModel) -> list[AddedToken]:
    return [
        AddedToken(piece.text, normalized=False, special=True)
        for piece in model.pieces
        if piece.type in (PieceType.CONTROL, PieceType.USER_DEFINED)
    ]
