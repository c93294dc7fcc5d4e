"""The safetensors reader: the same tensors as the library's own, and no surprise from a file that is broken."""

import gc
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kandinsky.checkpoint.tensor_file import TensorFile
from kandinsky.errors import CorruptFileError, MissingFileError

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*/*/*/*.safetensors")), ids=str)
def test_views_are_what_the_safetensors_library_reads(path: Path) -> None:
    file = TensorFile(path)
    expected = load_file(path)
    assert set(file.spans) == set(expected)
    for name, array in expected.items():
        view = file.view(name)
        assert view.dtype == array.dtype
        assert file.spans[name].shape == array.shape
        np.testing.assert_array_equal(view, array)


def test_every_dtype_and_shape_is_read(tmp_path: Path) -> None:
    dtypes = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    arrays = {dtype: np.arange(6).reshape(1, 2, 3).astype(dtype) for dtype in dtypes}
    arrays |= {"scalar": np.array(7, "i8"), "empty": np.zeros((0, 4), "f4")}
    save_file(arrays, tmp_path / "x.safetensors")
    file = TensorFile(tmp_path / "x.safetensors")
    for name, array in arrays.items():
        assert file.view(name).dtype == array.dtype
        np.testing.assert_array_equal(file.view(name), array)


def test_views_outlive_the_file_object_and_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": np.arange(100_000.0)}, path)
    view = TensorFile(path).view("x")
    save_file({"x": np.zeros(10)}, tmp_path / "y.safetensors")
    (tmp_path / "y.safetensors").rename(path)
    gc.collect()
    np.testing.assert_array_equal(view, np.arange(100_000.0))
    path.unlink()
    np.testing.assert_array_equal(view, np.arange(100_000.0))


def test_writing_to_a_view_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": np.ones(1000)}, path)
    before = path.read_bytes()
    TensorFile(path).view("x")[:] = 2
    assert path.read_bytes() == before


def test_elements_are_read_from_the_middle_of_a_tensor(tmp_path: Path) -> None:
    save_file({"a": np.arange(3.0), "x": np.arange(100_000.0)}, tmp_path / "x.safetensors")
    file = TensorFile(tmp_path / "x.safetensors")
    elements = np.empty(700)
    file.read_into(elements, "x", 50_000)
    np.testing.assert_array_equal(elements, np.arange(50_000.0, 50_700.0))


def test_a_file_that_was_cut_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": np.arange(100_000.0)}, path)
    file = TensorFile(path)
    os.truncate(path, 4096)
    with pytest.raises(CorruptFileError, match="ends within x"):
        file.read_into(np.empty(100_000), "x", 0)


def raw(header: Any, data: bytes = b"") -> bytes:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


def entry(start: int = 0, stop: int = 8, dtype: str = "F32", shape: Any = (2,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"\x00\x01", "header"),
        (raw({"x": entry()})[:-3], "header"),
        (b"<!doctype html><html>not found</html>", "header"),
        (struct.pack("<Q", 2**63) + b"{}", "header"),
        (raw(b"{nonsense"), "property name"),
        (raw(b"[1, 2]"), "JSON object"),
        (raw({"x": 1}), "entry for x"),
        (raw({"x": {"dtype": "F32", "shape": [2]}}), "entry for x"),
        (raw({"x": entry(dtype="F99")}, bytes(8)), "F99"),
        (raw({"x": entry(shape=(-1, -2))}, bytes(8)), "shape"),
        (raw({"x": entry(shape=("a",))}, bytes(8)), "shape"),
        (raw({"x": entry(shape=(3,))}, bytes(8)), "x has 8 bytes"),
        (raw({"x": entry(0, 8)}, bytes(7)), "end at byte"),
        (raw({"x": entry(0, 8)}, bytes(9)), "end at byte"),
        (raw({"x": entry(8, 16)}, bytes(16)), "starts at byte"),
        (raw({"x": entry(-8, 0)}, bytes(8)), "starts at byte"),
        (raw({"x": entry(0, 8), "y": entry(4, 12)}, bytes(12)), "y starts at byte"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(
    content: bytes, words: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    refused(CorruptFileError, lambda: TensorFile(path), str(path), words)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": np.arange(10.0), "y": np.arange(3, dtype=np.int32)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError):
            TensorFile(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(MissingFileError, lambda: TensorFile(tmp_path / "x.safetensors"), "x.safetensors")
    refused(CorruptFileError, lambda: TensorFile(tmp_path), str(tmp_path))
