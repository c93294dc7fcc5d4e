"""Weights in a network: the right values in every dtype, in eager and graph mode, and nothing left unsaid."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from safetensors.numpy import save_file

from kandinsky.checkpoint import Component, load_weights
from kandinsky.checkpoint.tensor_file import TensorFile
from kandinsky.checkpoint.tensor_reading import read_tensors
from kandinsky.cpu_kernels.library import widener
from kandinsky.errors import CorruptFileError, MissingFileError, NonFiniteWeightsError, TensorMismatchError
from kandinsky.parameters import skeleton
from kandinsky.widening import widen

Network = Callable[[], nn.Cell]
Save = Callable[..., Component]
Refused = Callable[..., str]


def loaded(network: Network, component: Component, *args: Any, **kwargs: Any) -> nn.Cell:
    with skeleton():
        cell = network()
    load_weights(cell, component, *args, **kwargs)
    return cell


def check_parameters(cell: nn.Cell, arrays: dict[str, Any], dtype: Any) -> None:
    parameters = dict(cell.parameters_and_names())
    assert set(parameters) == set(arrays)
    assert not any(parameter.has_init for parameter in parameters.values())
    for name, array in arrays.items():
        values = parameters[name].asnumpy()
        assert values.dtype == dtype, name
        np.testing.assert_array_equal(values, array.astype(dtype), err_msg=name)


def write_bfloat16(path: Path, arrays: dict[str, Any]) -> None:
    """As the safetensors library would, if NumPy had bfloat16."""
    header, data = {}, b""
    for name, array in arrays.items():
        bits = (array.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)


@pytest.mark.parametrize("wanted", [np.float32, np.float16])
@pytest.mark.parametrize("stored", [np.float32, np.float16, np.float64])
def test_values_arrive_in_the_asked_dtype(
    stored: Any, wanted: Any, network: Network, arrays: dict[str, Any], save: Save
) -> None:
    component = save({name: array.astype(stored) for name, array in arrays.items()})
    check_parameters(loaded(network, component, wanted), arrays, wanted)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
def test_every_float16_number_is_widened_exactly(compiled: bool, save: Save, request: pytest.FixtureRequest) -> None:
    chosen = widener(request.getfixturevalue("library")) if compiled else widen
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)]
    (path,) = save({"x": numbers}).weight_files
    read = read_tensors({"x": TensorFile(path)}, np.dtype("f4"), chosen)["x"]
    np.testing.assert_array_equal(read.view(np.uint32), numbers.astype(np.float32).view(np.uint32))


def test_float32_is_the_default(network: Network, arrays: dict[str, Any], save: Save) -> None:
    component = save({name: array.astype(np.float16) for name, array in arrays.items()})
    check_parameters(loaded(network, component), arrays, np.float32)


@pytest.mark.parametrize("wanted", [np.float32, np.float16])
def test_bfloat16_is_widened(wanted: Any, network: Network, arrays: dict[str, Any], save: Save) -> None:
    component = save(arrays)
    write_bfloat16(component.weight_files[0], arrays)
    check_parameters(loaded(network, component, wanted), arrays, wanted)


def test_shards_are_put_together(network: Network, arrays: dict[str, Any], save: Save) -> None:
    names = sorted(arrays)
    component = save({name: arrays[name] for name in names[::2]}, {name: arrays[name] for name in names[1::2]})
    check_parameters(loaded(network, component), arrays, np.float32)


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_tensors_at_odd_places_are_moved(offset: int, network: Network, arrays: dict[str, Any], save: Save) -> None:
    component = save(arrays)
    path = component.weight_files[0]
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    padded = content[8 : 8 + length] + b" " * offset
    path.write_bytes(struct.pack("<Q", len(padded)) + padded + content[8 + length :])
    check_parameters(loaded(network, component), arrays, np.float32)
    file = TensorFile(path)
    assert all(array.flags.aligned for array in read_tensors(dict.fromkeys(arrays, file), np.dtype("f4")).values())


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_loaded_weights_compute_in_eager_and_in_graph_mode(
    dtype: Any, network: Network, arrays: dict[str, Any], save: Save
) -> None:
    cell = loaded(network, save(arrays), dtype)
    x = np.linspace(-1, 1, 2 * 1100, dtype=dtype).reshape(2, 1100)
    hidden = x.astype(np.float64) @ arrays["layers.0.weight"].T + arrays["layers.0.bias"]
    expected = hidden @ arrays["layers.1.weight"].T + arrays["layers.1.bias"]
    tolerance = np.abs(expected).max() * (1e-5 if dtype is np.float32 else 2e-2)
    for run in (cell, ms.jit(cell)):
        result = run(ms.Tensor(x)).asnumpy()
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)


def test_weights_stay_valid_when_the_file_is_replaced(network: Network, arrays: dict[str, Any], save: Save) -> None:
    component = save(arrays)
    cell = loaded(network, component)
    path = component.weight_files[0]
    save_file({"other": np.zeros(3)}, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)
    check_parameters(cell, arrays, np.float32)


def test_a_skeleton_holds_no_weights_and_later_networks_do(network: Network) -> None:
    with skeleton():
        bare = network()
    assert all(parameter.has_init for parameter in bare.get_parameters())
    assert not any(parameter.has_init for parameter in network().get_parameters())


def test_every_missing_and_every_unexpected_tensor_is_named(
    network: Network, arrays: dict[str, Any], save: Save, refused: Refused
) -> None:
    renamed = {name.replace("layers.1", "layers.9"): array for name, array in arrays.items()}
    component = save(renamed)
    words = ("2 missing (layers.1.bias, layers.1.weight)", "2 unexpected (layers.9.bias, layers.9.weight)", "unet")
    refused(TensorMismatchError, lambda: loaded(network, component), *words)


def test_one_missing_tensor_is_enough(network: Network, arrays: dict[str, Any], save: Save, refused: Refused) -> None:
    component = save({name: array for name, array in arrays.items() if name != "layers.0.bias"})
    message = refused(TensorMismatchError, lambda: loaded(network, component), "1 missing (layers.0.bias)")
    assert "unexpected" not in message


def test_known_extras_are_left_out_by_name_and_by_prefix(
    network: Network, arrays: dict[str, Any], save: Save, refused: Refused
) -> None:
    extras = {
        "embeddings.position_ids": np.arange(3),
        "pooler.dense.weight": np.full((2, 2), np.nan, np.float32),
        "pooler.dense.bias": np.zeros(2, np.float32),
    }
    component = save(arrays | extras)
    ignore = ("embeddings.position_ids", "pooler.")
    check_parameters(loaded(network, component, ignore=ignore), arrays, np.float32)
    refused(TensorMismatchError, lambda: loaded(network, component, ignore=ignore[:1]), "2 unexpected", "pooler.dense")
    shorter = ("embeddings.position", "pooler")
    refused(TensorMismatchError, lambda: loaded(network, component, ignore=shorter), "3 unexpected")
    with_missing = save({name: array for name, array in (arrays | extras).items() if name != "layers.1.bias"})
    refused(TensorMismatchError, lambda: loaded(network, with_missing, ignore=("layers.", *ignore)), "1 missing")


def test_both_shapes_of_every_wrong_tensor_are_named(
    network: Network, arrays: dict[str, Any], save: Save, refused: Refused
) -> None:
    wrong = {"layers.0.bias": np.zeros(999, np.float32), "layers.1.weight": np.zeros((1000, 3), np.float32)}
    words = ("layers.0.bias", "[999]", "[1000]", "layers.1.weight", "[1000, 3]", "[3, 1000]")
    component = save(arrays | wrong)
    refused(TensorMismatchError, lambda: loaded(network, component), *words)


def test_weights_that_are_no_floats_are_refused(
    network: Network, arrays: dict[str, Any], save: Save, refused: Refused
) -> None:
    component = save(arrays | {"layers.0.bias": np.zeros(1000, np.int8)})
    refused(TensorMismatchError, lambda: loaded(network, component), "layers.0.bias", "I8", "F16, F32")


@pytest.mark.parametrize("wanted", [np.float32, np.float16])
@pytest.mark.parametrize("stored", [np.float32, np.float16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_weights_that_are_not_finite_are_named(
    value: float,
    place: int,
    stored: Any,
    wanted: Any,
    network: Network,
    arrays: dict[str, Any],
    save: Save,
    refused: Refused,
) -> None:
    arrays["layers.0.weight"].flat[place] = value
    component = save({name: array.astype(stored) for name, array in arrays.items()})
    message = refused(NonFiniteWeightsError, lambda: loaded(network, component, wanted), "layers.0.weight")
    assert "layers.1" not in message


def test_values_beyond_float16_are_refused_there_and_kept_in_float32(
    network: Network, arrays: dict[str, Any], save: Save, refused: Refused
) -> None:
    arrays["layers.1.bias"][1] = 70_000
    component = save(arrays)
    refused(NonFiniteWeightsError, lambda: loaded(network, component, np.float16), "layers.1.bias", "float32")
    check_parameters(loaded(network, component), arrays, np.float32)


def test_the_largest_and_the_smallest_float16_values_are_kept(
    network: Network, arrays: dict[str, Any], save: Save
) -> None:
    arrays["layers.1.bias"][:] = (65504, -65504, 2**-24)
    check_parameters(loaded(network, save(arrays), np.float16), arrays, np.float16)


def test_a_tensor_in_two_shards_is_refused(
    network: Network, arrays: dict[str, Any], save: Save, refused: Refused
) -> None:
    component = save(arrays, {"layers.0.bias": arrays["layers.0.bias"]})
    refused(CorruptFileError, lambda: loaded(network, component), "1.safetensors", "layers.0.bias")


def test_truncated_and_missing_weights_are_named(
    network: Network, arrays: dict[str, Any], save: Save, refused: Refused
) -> None:
    component = save(arrays)
    path = component.weight_files[0]
    path.write_bytes(path.read_bytes()[:-1000])
    refused(CorruptFileError, lambda: loaded(network, component), str(path))
    path.unlink()
    refused(MissingFileError, lambda: loaded(network, component), str(path))


_MEASURE = """
import sys
from pathlib import Path
import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.common.initializer import initializer
from kandinsky.checkpoint import Component, load_weights
from kandinsky.parameters import skeleton

def peak_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

class Many(nn.Cell):
    def __init__(self):
        super().__init__()
        self.layers = nn.CellList([nn.Dense(1024, 2048, has_bias=False) for _ in range(32)])

path, dtype = Path(sys.argv[1]), np.dtype(sys.argv[2])
Path("/proc/self/clear_refs").write_text("5")
before = peak_bytes()
with skeleton():
    cell = Many()
load_weights(cell, Component("unet", path.parent, "UNet", {}, (path,)), dtype)
needed = sum(parameter.size for parameter in cell.get_parameters()) * dtype.itemsize
print((peak_bytes() - before) / needed)
"""


@pytest.mark.parametrize("wanted", ["float32", "float16"])
@pytest.mark.parametrize("stored", [np.float32, np.float16])
def test_loading_needs_no_second_copy_of_the_weights(stored: Any, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    save_file({f"layers.{index}.weight": np.ones((2048, 1024), stored) for index in range(32)}, path)
    command = [sys.executable, "-c", _MEASURE, str(path), wanted]
    measured = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert float(measured.split()[-1]) <= 1.2
