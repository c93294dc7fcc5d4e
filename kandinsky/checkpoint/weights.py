"""Puts a component's weights into a network: every tensor of the one is a parameter of the other."""

from collections.abc import Collection, Mapping

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import nn

from kandinsky.checkpoint.component import Component
from kandinsky.checkpoint.tensor_file import TensorFile
from kandinsky.checkpoint.tensor_reading import FLOAT_DTYPES, read_tensors
from kandinsky.errors import CorruptFileError, TensorMismatchError
from kandinsky.parameters import assign
from kandinsky.widening import Widen, widen


def load_weights(
    cell: nn.Cell,
    component: Component,
    dtype: npt.DTypeLike = np.float32,
    *,
    ignore: Collection[str] = (),
    widen: Widen = widen,
) -> None:
    """Loads all of a component's tensors into the network's parameters of the same names.

    Load before the network is compiled: a compiled graph keeps the weights that it was compiled with.

    Args:
        cell: the network, built under `kandinsky.parameters.skeleton()`; its parameters are named as the tensors are.
        component: what to load.
        dtype: float32 or float16; what every parameter has afterwards, whatever the file holds.
        ignore: tensors that the checkpoint may have and the network need not: names, or prefixes that end in a dot.
        widen: how float16 becomes float32.

    Raises:
        TensorMismatchError: tensors are missing, unexpected, of another shape, or not of a floating dtype.
        NonFiniteWeightsError: a tensor holds NaN or infinity, or values too large for the dtype.
        CorruptFileError, MissingFileError: a file cannot be read.
    """
    sources = _sources(component)
    parameters = dict(cell.parameters_and_names())
    _check_names(component, sources, parameters, ignore)
    _check_tensors(component, sources, parameters)
    arrays = read_tensors({name: file for name, file in sources.items() if name in parameters}, np.dtype(dtype), widen)
    for name, parameter in parameters.items():
        assign(parameter, arrays.pop(name))


def _sources(component: Component) -> dict[str, TensorFile]:
    """The file of each tensor."""
    sources: dict[str, TensorFile] = {}
    for file in map(TensorFile, component.weight_files):
        twice = sorted(sources.keys() & file.spans.keys())
        if twice:
            raise CorruptFileError(f"{file.path} repeats tensors of another shard: {', '.join(twice)}")
        sources.update(dict.fromkeys(file.spans, file))
    return sources


def _check_names(
    component: Component,
    sources: Mapping[str, TensorFile],
    parameters: Mapping[str, ms.Parameter],
    ignore: Collection[str],
) -> None:
    prefixes = tuple(name for name in ignore if name.endswith("."))
    missing = sorted(parameters.keys() - sources.keys())
    unexpected = sorted(
        name for name in sources.keys() - parameters.keys() if name not in ignore and not name.startswith(prefixes)
    )
    wrong = [
        f"{len(names)} {adjective} ({', '.join(names)})"
        for adjective, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    if wrong:
        raise TensorMismatchError(
            f"{component.folder} does not hold the tensors of a {component.class_name} with its config: "
            f"{' and '.join(wrong)}; use the config and the weights of one and the same model"
        )


def _check_tensors(
    component: Component, sources: Mapping[str, TensorFile], parameters: Mapping[str, ms.Parameter]
) -> None:
    wrong = []
    for name, parameter in parameters.items():
        span = sources[name].spans[name]
        if span.shape != tuple(parameter.shape):
            wrong.append(f"{name} is {list(span.shape)} in the file and {list(parameter.shape)} by the config")
        elif span.dtype not in FLOAT_DTYPES:
            wrong.append(f"{name} is {span.dtype} in the file and not one of {', '.join(sorted(FLOAT_DTYPES))}")
    if wrong:
        raise TensorMismatchError(
            f"{component.folder}: {'; '.join(wrong)}; use the config and the weights of one and the same model"
        )
