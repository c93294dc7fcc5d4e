"""Tensors over the wire: strict when read, exact when written."""

from collections.abc import Sequence

import numpy as np
import pytest

from imagegen.v1.common_pb2 import DataType, Tensor
from serving.errors import InvalidFieldError
from serving.tensors import from_array, to_array

FLOAT32, FLOAT16 = DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_FLOAT16


@pytest.mark.parametrize("dtype", ["<f4", "<f2", ">f4"])
def test_an_array_survives_the_way_there_and_back(dtype: str) -> None:
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    tensor = from_array(array.astype(array.dtype.newbyteorder("=")))
    back = to_array(tensor, "field", (None, 3))
    np.testing.assert_array_equal(back, array)
    assert back.dtype.itemsize == array.dtype.itemsize
    assert not back.flags.writeable


def test_bytes_are_little_endian_in_c_order() -> None:
    tensor = from_array(np.asfortranarray(np.array([[1.0, 2.0]], dtype=np.float32)))
    assert tensor == Tensor(dtype=FLOAT32, shape=[1, 2], data=b"\0\0\x80\x3f\0\0\0\x40")
    assert from_array(np.array([[1, 2], [3, 4]], dtype=np.float16).T).data == np.array([1, 3, 2, 4], "<f2").tobytes()


def test_other_types_are_a_bug_of_ours() -> None:
    with pytest.raises(TypeError, match="float64"):
        from_array(np.zeros(2))


@pytest.mark.parametrize(
    ("tensor", "field", "said"),
    [
        (Tensor(shape=[1, 2], data=bytes(8)), "e.dtype", "must be DATA_TYPE_FLOAT32 or DATA_TYPE_FLOAT16"),
        (Tensor(dtype=99, shape=[1, 2], data=bytes(8)), "e.dtype", "must be"),
        (Tensor(dtype=FLOAT32, shape=[2], data=bytes(8)), "e.shape", r"must be \(n, 2\), not \(2\)"),
        (Tensor(dtype=FLOAT32, shape=[1, 3], data=bytes(12)), "e.shape", r"must be \(n, 2\), not \(1, 3\)"),
        (Tensor(dtype=FLOAT32, shape=[0, 2]), "e.shape", r"not \(0, 2\)"),
        (Tensor(dtype=FLOAT32, shape=[-1, 2], data=bytes(8)), "e.shape", r"not \(-1, 2\)"),
        (Tensor(dtype=FLOAT32), "e.shape", r"not \(\)"),
        (Tensor(dtype=FLOAT32, shape=[1, 2], data=bytes(7)), "e.data", r"8 bytes for float32 of shape \(1, 2\), not 7"),
        (Tensor(dtype=FLOAT16, shape=[1, 2], data=bytes(8)), "e.data", "4 bytes"),
        (Tensor(dtype=FLOAT32, shape=[2**62, 2], data=bytes(8)), "e.data", "must be"),
        (Tensor(dtype=FLOAT16, shape=[1, 2], data=b"\0\x7c\0\0"), "e.data", "NaN or infinity"),
        (Tensor(dtype=FLOAT32, shape=[1, 2], data=b"\0\0\xc0\x7f" * 2), "e.data", "NaN or infinity"),
        (Tensor(dtype=FLOAT32, shape=[1, 2], data=b"\xff\xff\x7f\x7f" * 2), "e.data", "from -10000 to 10000"),
        (Tensor(dtype=FLOAT32, shape=[1] * 100_000), "e.shape", r"not \(1, 1, 1, 1, 1, 1, 1, 1, …\)"),
    ],
)
def test_a_wrong_tensor_names_its_field_and_what_is_allowed(tensor: Tensor, field: str, said: str) -> None:
    shape: Sequence[int | None] = (None, 2)
    with pytest.raises(InvalidFieldError, match=said) as caught:
        to_array(tensor, "e", shape)
    assert [violation.field for violation in caught.value.violations] == [field]
