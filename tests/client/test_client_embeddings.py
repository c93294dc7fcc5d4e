"""Embeddings as a value: arrays in and out, files, and what is not embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagegen.v1 import common_pb2
from kandinsky_client import Embeddings
from tests.client.fake_service import picture_file


def embeddings(dtype: Any = np.float32) -> Embeddings:
    values = np.arange(6, dtype=dtype).reshape(2, 3) / 7
    return Embeddings.from_arrays(values, -values, prior_digest="0123456789abcdef")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_arrays_come_back_with_their_type_and_values(dtype: Any) -> None:
    values = np.arange(6, dtype=dtype).reshape(2, 3) / 7
    kept = embeddings(dtype)
    assert kept.image_embeds.dtype == dtype
    np.testing.assert_array_equal(kept.image_embeds, values)
    np.testing.assert_array_equal(kept.negative_image_embeds, -values)


def test_other_numbers_become_float32_in_c_order() -> None:
    values = np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3))
    kept = Embeddings.from_arrays(values)
    assert kept.image_embeds.dtype == np.float32
    np.testing.assert_array_equal(kept.image_embeds, values)
    assert kept.negative_image_embeds is None


def test_a_saved_file_loads_equal_and_is_the_contracts_own_message(tmp_path: Path) -> None:
    path = tmp_path / "e.bin"
    embeddings().save(path)
    assert Embeddings.load(path) == embeddings()
    assert common_pb2.ImageEmbeddings.FromString(path.read_bytes()) == embeddings().message


@pytest.mark.parametrize("data", [b"", b"hello", picture_file(), embeddings().to_bytes()[:-30]])
def test_a_file_of_something_else_is_refused_by_its_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "e.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"e\.bin: not saved embeddings"):
        Embeddings.load(path)


def test_a_tensor_that_is_shorter_than_its_shape_is_refused() -> None:
    message = embeddings().message
    message.image_embeds.data = message.image_embeds.data[:-4]
    with pytest.raises(ValueError, match="cut short"):
        Embeddings.from_bytes(message.SerializeToString())


def test_they_tell_their_number_size_and_origin() -> None:
    assert len(embeddings()) == 2
    assert repr(embeddings()) == "Embeddings(shape=(2, 3), prior_digest='0123456789ab')"
