"""What both tokenizers make of texts that go wrong easily."""

from typing import Any

from transformers import PreTrainedTokenizerBase

from scripts.reference.pipelines import Pipelines

MAX_TOKENS = 77  # what both pipelines pad and cut prompts to
TEXTS = (
    "",
    "A fantasy landscape, cinematic lighting; it's 4K!",
    "  two  spaces,\ta tab\nand a line ",
    "красный круг на синем фоне",
    "绿色方块 ｆｕｌｌ ｗｉｄｔｈ １２３",
    "naïve café, cafe\u0301, Ünïcödé, ﬁne ½ ²",
    "☃ 🦊 👩‍👩‍👧 — …",
    "<|startoftext|> in <|endoftext|> CLIP's words",
    "<s> in </s> XLM-R's <mask> <pad> <unk>words",
    "I'll don't we've 1234 x86_64 C++ #1!!",
    "a red circle on a blue background, " * 20,
)


def tokenize(pipelines: Pipelines) -> list[dict[str, Any]]:
    """For each text and tokenizer the ids, cut to 77 as in the pipelines, and the text that was cut off (or null)."""
    return [
        {
            "text": text,
            "clip": _tokenize(pipelines.prior.tokenizer, text),
            "xlm_roberta": _tokenize(pipelines.decoder.tokenizer, text),
        }
        for text in TEXTS
    ]


def _tokenize(tokenizer: PreTrainedTokenizerBase, text: str) -> dict[str, Any]:
    whole = tokenizer(text).input_ids
    cut = tokenizer(text, max_length=MAX_TOKENS, truncation=True).input_ids
    removed = tokenizer.decode(whole[MAX_TOKENS - 1 : -1]) if len(whole) > MAX_TOKENS else None
    return {"input_ids": cut, "pad_token_id": tokenizer.pad_token_id, "removed": removed}
