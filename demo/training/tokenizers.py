"""Trains both tokenizers on the captions and writes each in both of its file forms."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

_CLIP_START, _CLIP_END = "<|startoftext|>", "<|endoftext|>"
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_MAX_TOKENS = 77


def train_clip_tokenizer(captions: Iterable[str], folder: Path, vocabulary_size: int) -> None:
    """CLIP's byte-level BPE: tokenizer.json, and vocab.json + merges.txt."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_CLIP_END))
    tokenizer.normalizer = _clip_normalizer()
    tokenizer.pre_tokenizer = _clip_pre_tokenizer()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size - len(alphabet) - 2,  # room for the bytes that end a word, added below
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    trained = json.loads(tokenizer.to_str())["model"]
    vocab = _clip_vocabulary(trained["vocab"], alphabet)
    _write_clip(vocab, [tuple(pair) for pair in trained["merges"]], folder)


def _clip_vocabulary(trained: dict[str, int], alphabet: list[str]) -> dict[str, int]:
    """Every byte, every byte that ends a word, then the merged tokens, then start and end: no text is unknown."""
    single = sorted(alphabet) + [byte + "</w>" for byte in sorted(alphabet)]
    merged = [token for token in sorted(trained, key=lambda token: trained[token]) if token not in set(single)]
    return {token: i for i, token in enumerate([*single, *merged, _CLIP_START, _CLIP_END])}


def _clip_normalizer() -> normalizers.Normalizer:
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    return normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])


def _clip_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    words = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def _write_clip(vocab: dict[str, int], merges: Sequence[tuple[str, str]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(
        models.BPE(vocab, list(merges), continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=_CLIP_END)
    )
    tokenizer.normalizer = _clip_normalizer()
    tokenizer.pre_tokenizer = _clip_pre_tokenizer()
    start, end = (_CLIP_START, vocab[_CLIP_START]), (_CLIP_END, vocab[_CLIP_END])
    tokenizer.post_processor = processors.RobertaProcessing(end, start, trim_offsets=False, add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in (_CLIP_START, _CLIP_END)]
    )
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    _write_json(folder / "vocab.json", vocab)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    named = {"bos_token": _CLIP_START, "eos_token": _CLIP_END, "pad_token": _CLIP_END, "unk_token": _CLIP_END}
    _write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": _MAX_TOKENS, **named}
    )


def train_xlm_roberta_tokenizer(captions: Iterable[str], folder: Path, vocabulary_size: int) -> None:
    """XLM-R's unigram model: sentencepiece.bpe.model, and tokenizer.json with XLM-R's own numbering."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions),
        model_writer=trained,
        model_type="unigram",
        vocab_size=vocabulary_size - 2,  # XLM-R adds <pad> and <mask>
        hard_vocab_limit=False,  # few captions hold fewer pieces
        character_coverage=1.0,
        required_chars="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?:;-'\"()",
        num_threads=1,
        minloglevel=2,
    )
    (folder / "sentencepiece.bpe.model").write_bytes(trained.getvalue())
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(trained.getvalue())
    _xlm_roberta_tokenizer(proto).save(str(folder / "tokenizer.json"), pretty=False)
    named = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    named |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    _write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, **named}
    )


def _xlm_roberta_tokenizer(proto: sentencepiece_model_pb2.ModelProto) -> Tokenizer:
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[3:]]  # after <unk>, <s> and </s>
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    space = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return tokenizer


def token_ids(folder: Path, texts: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
    """Ids and mask of each text, padded to 77 tokens as the pipelines pad them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pad = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["pad_token"]
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding(length=_MAX_TOKENS, pad_id=tokenizer.token_to_id(pad), pad_token=pad)
    encoded = tokenizer.encode_batch(list(texts))
    return [text.ids for text in encoded], [text.attention_mask for text in encoded]


def vocabulary_size(folder: Path) -> int:
    """How many tokens the tokenizer in a folder has."""
    return Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
