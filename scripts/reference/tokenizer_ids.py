"""Writes down the token ids that transformers gives for texts that are hard to get right.

    python -m scripts.reference.tokenizer_ids tests/reference/tokenizer_ids.json tests/reference/tiny/prior/tokenizer …

Every tokenizer is opened in each of its file forms; transformers itself gives the same ids in all of them, which is
checked here.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer, XLMRobertaTokenizer

_ROW_TOKENS = 77

TEXTS = (
    "",
    " ",
    "\n\t \r\n",
    "a",
    "A fantasy landscape, Cinematic lighting",
    "a red circle on a blue background",
    "low quality, bad quality",
    "  leading,   inner \t and trailing white space \n",
    "no-break\u00a0space, thin\u2009space, ideographic\u3000space, zero\u200bwidth, line\u2028separator",
    "CAPITALS, MiXeD cAsE, İSTANBUL, ẞ, ΣΊΣΥΦΟΣ",
    "красный круг на синем фоне",
    "Фантастический Пейзаж, ЁЛКА и ёлка",
    "绿色方块",
    "赤い円、青い背景。カタカナ ｶﾀｶﾅ",
    "빨간 원",
    "دائرة حمراء على خلفية زرقاء",
    "עיגול אדום",
    "नीली पृष्ठभूमि पर लाल वृत्त",
    "วงกลมสีแดง",
    "Đỏ và xanh, tiếng Việt",
    "café au lait, naïve, Zürich, smörgåsbord",
    "cafe\u0301 au lait, nai\u0308ve, Zu\u0308rich",
    "Z\u0351\u036b\u0343a\u0321\u0331l\u034cg\u0319o\u0355",
    "\u0301 a combining mark first",
    "ﬁne ﬂoor, ½ cup, x² + y³, № 5, ™, Å, Ω",
    "ＦＵＬＬＷＩＤＴＨ １２３",
    "𝔣𝔯𝔞𝔨𝔱𝔲𝔯 𝕓𝕝𝕒𝕔𝕜",
    "🎨",
    "a 🐱 and a 🐶 in ❤️ with 🌈✨",
    "family 👨‍👩‍👧‍👦, thumb 👍🏽, flag 🇺🇦",
    "it's, I'm, you're, we've, they'll, he'd, don't, IT'S, rock 'n' roll",
    "it’s with a typographic apostrophe",
    "'s 't 're",
    "1234567890",
    "in 2024, 3.14 of 1,000,000, 50%, 4k, v2.1, ١٢٣, ⅷ",
    "punctuation!!! ??? ... ;:,.-_ (brackets) [square] {curly} <angle>",
    "quotes \"double\" 'single' «guillemets» “curly” `back`",
    "a/b\\c|d~e^f&g*h+i=j#k@l$m",
    "——— em–dash… ellipsis",
    "snake_case camelCase kebab-case file_name.png",
    "https://example.org/picture.png?size=512&seed=0#top",
    "<b>bold</b> &amp; &lt;tag&gt;",
    "(weighted:1.3) [alternating|prompt] AND another",
    "<|startoftext|>",
    "<|endoftext|>",
    "before<|endoftext|>after",
    "a <|startoftext|> b <|endoftext|> c",
    "<|ENDOFTEXT|> <|endoftext |> <| endoftext|>",
    "</s>",
    "<s> a </s> b <pad> c <unk> d <mask> e",
    "a</s>b<mask>c <S> </S>",
    "▁already▁marked ▁ spaces",
    "word</w> end</w>",
    "\u0000 null",
    "bell \u0007, escape \u001b[31m, delete \u007f, next line \u0085, soft\u00adhyphen",
    "\ufeffbyte order mark",
    "left-to-right \u200e and right-to-left \u200f marks, \u202eoverride\u202c",
    "private \ue000, not a character \uffff, replacement \ufffd, unassigned \U000e0fff",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "a red circle on a blue background, " * 30,
    "a " * 74 + "z",
    "a " * 75 + "z",
    "a " * 76 + "z",
    "красный круг на синем фоне, " * 20,
    "绿色方块，" * 40,
    "🎨" * 60,
    "a " * 80 + "<|endoftext|> </s> the end",
)


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(prog="python -m scripts.reference.tokenizer_ids", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", help="tokenizer folders")
    arguments = parser.parse_args()
    tokenizers = {folder.as_posix(): _reference(folder) for folder in arguments.folders}
    content = {"texts": TEXTS, "row_tokens": _ROW_TOKENS, "tokenizers": tokenizers}
    arguments.out.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n")


def _reference(folder: Path) -> list[Any]:
    answers = [_answers(tokenizer) for tokenizer in _forms(folder)]
    if any(answer != answers[0] for answer in answers):
        raise SystemExit(f"transformers' own ids differ between the file forms in {folder}")
    return answers[0]


def _forms(folder: Path) -> Iterator[Any]:
    """The tokenizer from each file form that the folder holds."""
    kind = CLIPTokenizer if (folder / "vocab.json").exists() else XLMRobertaTokenizer
    if (folder / "tokenizer.json").exists():
        yield kind.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tokenizer.json"))
        yield kind.from_pretrained(copy)


def _answers(tokenizer: Any) -> list[Any]:
    """For each text the ids without padding, and the text that was cut off, as the pipelines find it."""
    answers = []
    for text in TEXTS:
        row = tokenizer(text, padding="max_length", max_length=_ROW_TOKENS, truncation=True)
        whole = tokenizer(text).input_ids
        removed = tokenizer.batch_decode([whole[_ROW_TOKENS - 1 : -1]])[0] if len(whole) > _ROW_TOKENS else ""
        answers.append({"ids": row.input_ids[: sum(row.attention_mask)], "pad": row.input_ids[-1], "removed": removed})
    return answers


if __name__ == "__main__":
    main()
