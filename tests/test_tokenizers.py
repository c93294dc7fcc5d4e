"""The tokenizers against transformers' ids, in every file form, and with files that are not what they should be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kandinsky.errors import ConfigError, CorruptFileError, InputError, KandinskyError, MissingFileError
from kandinsky.tokenizers import PromptTokenizer, open_clip_tokenizer, open_xlm_roberta_tokenizer
from kandinsky.tokenizers.sentencepiece_model import PieceType, read_sentencepiece_model

REFERENCE = Path(__file__).parent / "reference"
CLIP = REFERENCE / "tiny/prior/tokenizer"
XLM_ROBERTA = REFERENCE / "tiny/decoder/tokenizer"
TRUTH: dict[str, Any] = json.loads((REFERENCE / "tokenizer_ids.json").read_text())

Open = Callable[[Path], PromptTokenizer]


def opener(folder: Path) -> Open:
    return open_clip_tokenizer if folder.parent.name == "prior" else open_xlm_roberta_tokenizer


def without(folder: Path, name: str, copy: Path) -> Path:
    shutil.copytree(folder, copy / folder.parent.name / "tokenizer")
    (copy / folder.parent.name / "tokenizer" / name).unlink(missing_ok=True)
    return copy / folder.parent.name / "tokenizer"


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(params=["whole tokenizer.json where there is one", "older file form"])
def tokenizer_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    def in_form(name: str) -> Path:
        folder = REFERENCE.parents[1] / name
        return folder if "whole" in request.param else without(folder, "tokenizer.json", tmp_path)

    return in_form


@pytest.mark.parametrize("name", TRUTH["tokenizers"])
def test_ids_and_removed_parts_are_those_of_transformers(name: str, tokenizer_folder: Callable[[str], Path]) -> None:
    folder = tokenizer_folder(name)
    tokens = opener(folder)(folder).encode(TRUTH["texts"], TRUTH["row_tokens"])
    expected = TRUTH["tokenizers"][name]
    for row, (text, truth) in enumerate(zip(TRUTH["texts"], expected, strict=True)):
        length = int(tokens.attention_mask[row].sum())
        assert tokens.input_ids[row, :length].tolist() == truth["ids"], text
        assert (tokens.attention_mask[row, :length] == 1).all(), text
        if length < TRUTH["row_tokens"]:
            assert set(tokens.input_ids[row, length:].tolist()) == {truth["pad"]}, text
        assert tokens.truncated[row] == truth["removed"], text


@pytest.mark.parametrize(("folder", "network"), [(CLIP, "clip_text"), (XLM_ROBERTA, "xlm_roberta")])
def test_rows_are_the_networks_own_inputs(folder: Path, network: str) -> None:
    first = json.loads((REFERENCE / "tiny/cases.json").read_text())[0]
    russian = json.loads((REFERENCE / "tiny/cases.json").read_text())[2]
    tokens = opener(folder)(folder).encode([first["prompt"], first["negative_prompt"], "", russian["prompt"]], 77)
    reference = load_file(REFERENCE / "tiny/networks.safetensors")
    np.testing.assert_array_equal(tokens.input_ids, reference[f"{network}.input_ids"])
    np.testing.assert_array_equal(tokens.attention_mask, reference[f"{network}.attention_mask"])
    assert tokens.input_ids.dtype == tokens.attention_mask.dtype == np.int32


def test_a_text_does_not_depend_on_the_others_of_its_batch() -> None:
    tokenizer = open_xlm_roberta_tokenizer(XLM_ROBERTA)
    together = tokenizer.encode(TRUTH["texts"])
    for row, text in enumerate(TRUTH["texts"]):
        np.testing.assert_array_equal(tokenizer.encode([text]).input_ids[0], together.input_ids[row])


def test_rows_are_as_long_as_the_files_say_unless_asked_otherwise(tmp_path: Path) -> None:
    assert open_clip_tokenizer(CLIP).encode(["a"]).input_ids.shape == (1, 77)
    assert open_xlm_roberta_tokenizer(XLM_ROBERTA).encode(["a", "b"]).input_ids.shape == (2, 512)
    assert open_clip_tokenizer(CLIP).encode(["a"], 12).input_ids.shape == (1, 12)
    assert open_clip_tokenizer(CLIP).encode([]).input_ids.shape == (0, 77)
    folder = without(CLIP, "tokenizer.json", tmp_path)
    rewrite(folder / "tokenizer_config.json", model_max_length=10**30)
    assert open_clip_tokenizer(folder).max_length == 77
    rewrite(folder / "tokenizer_config.json", model_max_length=16)
    assert open_clip_tokenizer(folder).max_length == 16


@pytest.mark.parametrize(("folder", "max_length"), [(CLIP, 77), (XLM_ROBERTA, 512)])
def test_the_settings_file_may_be_absent(folder: Path, max_length: int, tmp_path: Path) -> None:
    bare = without(folder, "tokenizer_config.json", tmp_path)
    tokenizer = opener(folder)(bare)
    assert tokenizer.max_length == max_length
    expected = opener(folder)(folder).encode(TRUTH["texts"], 77)
    np.testing.assert_array_equal(tokenizer.encode(TRUTH["texts"], 77).input_ids, expected.input_ids)


@pytest.mark.parametrize("form", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("stated", ["!", {"__type": "AddedToken", "content": "!", "lstrip": False, "special": True}])
def test_the_pad_token_is_the_one_stated(form: str, stated: Any, tmp_path: Path) -> None:
    folder = without(CLIP, "tokenizer.json", tmp_path)
    (folder / form).write_text(json.dumps({"pad_token": stated}))
    assert open_clip_tokenizer(folder).encode(["a"]).input_ids[0, -1] == 0


def test_tokens_of_added_tokens_decoder_keep_their_properties(tmp_path: Path) -> None:
    folder = without(CLIP, "tokenizer.json", tmp_path)
    light = {"content": "light", "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    rewrite(folder / "tokenizer_config.json", added_tokens_decoder={"792": light | {"single_word": True}})
    assert 792 in open_clip_tokenizer(folder).encode(["a light"]).input_ids
    assert 792 not in open_clip_tokenizer(folder).encode(["a lighthouse"]).input_ids


def test_vocabulary_size_is_that_of_the_embedding_table_at_least() -> None:
    assert open_clip_tokenizer(CLIP).vocabulary_size == 792
    assert open_xlm_roberta_tokenizer(XLM_ROBERTA).vocabulary_size == 120


def test_a_sentencepiece_model_is_read_whole() -> None:
    model = read_sentencepiece_model(XLM_ROBERTA / "sentencepiece.bpe.model")
    assert [piece.text for piece in model.pieces[:3]] == ["<unk>", "<s>", "</s>"]
    assert [piece.type for piece in model.pieces[:4]] == [
        PieceType.UNKNOWN,
        PieceType.CONTROL,
        PieceType.CONTROL,
        PieceType.NORMAL,
    ]
    assert all(piece.score < 0 for piece in model.pieces[3:])
    assert len(model.precompiled_charsmap) > 200_000


@pytest.mark.parametrize("length", [1, 0, -1])
def test_a_row_too_short_for_a_prompt_is_refused(length: int) -> None:
    with pytest.raises(InputError, match=r"max_length: .* at least 2"):
        open_clip_tokenizer(CLIP).encode(["a"], length)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InputError, match=r"^prompt: .*Unicode"):
        open_clip_tokenizer(CLIP).encode(["a \ud800 b"])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("folder", "missing"),
    [(CLIP, "vocab.json"), (CLIP, "merges.txt"), (XLM_ROBERTA, "sentencepiece.bpe.model")],
)
def test_missing_files_are_named(folder: Path, missing: str, tmp_path: Path) -> None:
    copy = without(folder, "tokenizer.json", tmp_path)
    (copy / missing).unlink()
    check_error(MissingFileError, lambda: opener(folder)(copy), missing, "tokenizer.json")
    check_error(MissingFileError, lambda: opener(folder)(tmp_path / "nowhere"), "nowhere")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (CLIP, "tokenizer.json"),
        (CLIP, "vocab.json"),
        (CLIP, "tokenizer_config.json"),
        (XLM_ROBERTA, "tokenizer.json"),
        (XLM_ROBERTA, "sentencepiece.bpe.model"),
    ],
)
def test_truncated_files_are_named(folder: Path, name: str, tmp_path: Path) -> None:
    copy = without(folder, "none" if name == "tokenizer.json" else "tokenizer.json", tmp_path)
    truncate(copy / name)
    check_error(CorruptFileError, lambda: opener(folder)(copy), name)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe garbage", b"<html>not found</html>"])
@pytest.mark.parametrize("name", ["tokenizer.json", "sentencepiece.bpe.model", "tokenizer_config.json"])
def test_files_of_another_kind_are_named(name: str, content: bytes, tmp_path: Path) -> None:
    copy = without(XLM_ROBERTA, "none" if name == "tokenizer.json" else "tokenizer.json", tmp_path)
    (copy / name).write_bytes(content)
    check_error(CorruptFileError, lambda: open_xlm_roberta_tokenizer(copy), name)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"padding_side": "left"}, ["padding_side", "left"]), ({"pad_token": "[PAD]"}, ["pad_token", "[PAD]"])],
)
def test_settings_that_are_not_supported_are_named(change: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    copy = without(CLIP, "none", tmp_path)
    rewrite(copy / "tokenizer_config.json", **change)
    check_error(ConfigError, lambda: open_clip_tokenizer(copy), *words)


@pytest.mark.parametrize("change", [{"pad_token": 7}, {"added_tokens_decoder": ["<s>"]}])
def test_settings_of_another_kind_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    copy = without(CLIP, "tokenizer.json", tmp_path)
    rewrite(copy / "tokenizer_config.json", **change)
    check_error(CorruptFileError, lambda: open_clip_tokenizer(copy), "special token")


def test_a_tokenizer_that_frames_no_prompt_is_refused(tmp_path: Path) -> None:
    copy = without(CLIP, "none", tmp_path)
    rewrite(copy / "tokenizer.json", post_processor=None)
    check_error(ConfigError, lambda: open_clip_tokenizer(copy), "post_processor")


def check_error(kind: type[KandinskyError], action: Callable[[], object], *words: str) -> None:
    """The action raises exactly this kind of error, in one line that holds the words."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in message
    for word in words:
        assert word in message
