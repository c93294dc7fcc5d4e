"""Small tokenizers, trained on a few lines of our own, in the file forms of the hub's oldest checkpoints.

No tokenizer.json: CLIP's is vocab.json + merges.txt, XLM-R's is sentencepiece.bpe.model.
"""

import io
import itertools
import json
from collections import Counter
from pathlib import Path

import sentencepiece
from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

_LINES = (
    "A fantasy landscape, cinematic lighting, highly detailed, 4k",
    "low quality, bad quality, blurry, distorted",
    "a red circle on a blue background, a green square, a yellow triangle",
    "the portrait of a fox in a forest, oil painting by an old master",
    "красный круг на синем фоне, зелёный квадрат, жёлтый треугольник",
    "фантастический пейзаж, кинематографический свет, высокая детализация",
    "绿色方块 蓝色背景上的红色圆圈 黄色三角形 奇幻风景",
    "ein roter Kreis auf blauem Grund, ein grünes Quadrat, schöne Landschaft",
    "un paysage fantastique, un château près de la forêt, lumière du matin",
)
_START, _END = "<|startoftext|>", "<|endoftext|>"


def write_clip_tokenizer(folder: Path, vocab_size: int) -> None:
    """vocab.json, merges.txt and tokenizer_config.json of a CLIP tokenizer with at most `vocab_size` tokens.

    The vocabulary is laid out as CLIP's own: bytes, bytes that end a word, merges, start, end. It pads with "!", as
    OpenCLIP's tokenizers do, so that a padding id that is assumed and not read shows.
    """
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces += [piece + "</w>" for piece in pieces]
    merges = _learn_merges(vocab_size - len(pieces) - 2)
    pieces += list(dict.fromkeys("".join(merge) for merge in merges))
    vocabulary = {piece: index for index, piece in enumerate([*pieces, _START, _END])}
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    special = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": "!"}
    _write_config(folder, {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special})


def _learn_merges(count: int) -> list[tuple[str, str]]:
    """At most `count` byte pairs in the order in which they are merged, over the lines as CLIP splits them.

    The `tokenizers` library breaks ties between equally frequent pairs at random; this is the same every time.
    """
    words = _split_words()
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, occurrences in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += occurrences
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = Counter({_merge(word, best): occurrences for word, occurrences in words.items()})
    return merges


def _split_words() -> Counter[tuple[str, ...]]:
    clip = CLIPTokenizer().backend_tokenizer
    words: Counter[tuple[str, ...]] = Counter()
    for line in _LINES:
        for word, _ in clip.pre_tokenizer.pre_tokenize_str(clip.normalizer.normalize_str(line)):
            words[(*word[:-1], word[-1] + "</w>")] += 1
    return words


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """`word` with every `pair` in it joined, from the left."""
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return tuple(merged)


def write_xlm_roberta_tokenizer(folder: Path, vocab_size: int) -> None:
    """sentencepiece.bpe.model and tokenizer_config.json of an XLM-R tokenizer with at most `vocab_size` tokens.

    The tokenizer adds two tokens to sentencepiece's own: <pad> in front and <mask> behind.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_LINES),
        model_writer=model,
        vocab_size=vocab_size - 2,
        hard_vocab_limit=False,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    special = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    special |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    _write_config(folder, {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, **special})


def _write_config(folder: Path, config: dict[str, str | int]) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
