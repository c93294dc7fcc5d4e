"""From a checkpoint's component to a network with its weights, ready to run."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from mindspore import nn

from kandinsky.checkpoint import Component, load_weights, open_component
from kandinsky.errors import ConfigError, DeviceError, InputError
from kandinsky.graph import Graph
from kandinsky.graph_cache import GraphCache
from kandinsky.networks.layers import Conv2d, Linear
from kandinsky.ops import Kernels
from kandinsky.parameters import skeleton
from kandinsky.tokenizers import Tokens

_DTYPES: Mapping[str, npt.DTypeLike] = {"float16": np.float16, "float32": np.float32}

Config = TypeVar("Config")
ConfigOut = TypeVar("ConfigOut", covariant=True)
Network = TypeVar("Network", bound=nn.Cell)


class ConfigClass(Protocol[ConfigOut]):
    """A config dataclass that reads itself from a file's content."""

    def from_dict(self, raw: Mapping[str, Any]) -> ConfigOut:
        """Read a config file's content."""


@dataclass(frozen=True)
class Runtime:
    """How networks are to run.

    Attributes:
        kernels: the device's, from `kandinsky.ops.use_device`.
        dtype: "float32" or "float16", of weights and activations; norms and MoVQ stay in float32.
        compiled: run compiled graphs (one compilation for each new shape), else operator by operator.
        variant: of the weight files, such as "fp16"; None for the plain ones, or the only ones there are.
        graph_cache: where compiled graphs come from and go to while it is open; else each process compiles its own.
    """

    kernels: Kernels
    dtype: str = "float32"
    compiled: bool = True
    variant: str | None = None
    graph_cache: GraphCache = field(default_factory=GraphCache)

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise DeviceError(f"dtype {self.dtype!r} is not supported; supported: {', '.join(_DTYPES)}")

    def graph(self, cell: nn.Cell) -> Graph:
        """The cell's call as this runtime runs it."""
        return Graph(cell, compiled=self.compiled, waits=self.kernels.waits, cache=self.graph_cache)


@dataclass(frozen=True)
class Loaded(Generic[Network, Config]):
    """A network and what it was loaded from."""

    network: Network
    config: Config
    component: Component


@dataclass(frozen=True)
class ComponentKind(Generic[Network, Config]):
    """Which component of a checkpoint becomes which network.

    Attributes:
        name: folder of the component.
        class_name: class it must have been saved from.
        config: reads its config.
        network: builds the network from config and kernels.
        ignore: tensors that checkpoints may hold and nothing here uses; prefixes end in a dot.
    """

    name: str
    class_name: str
    config: ConfigClass[Config]
    network: Callable[[Config, Kernels], Network]
    ignore: Collection[str] = ()

    def load(self, root: Path, runtime: Runtime, dtype: str | None = None) -> Loaded[Network, Config]:
        """Build the network and load its weights.

        Args:
            root: the checkpoint's folder.
            runtime: kernels, variant, and dtype unless `dtype` says otherwise.
            dtype: "float32" or "float16".

        Raises:
            CheckpointError: see `open_component`, the config's `from_dict` and `load_weights`.
        """
        dtype = runtime.dtype if dtype is None else dtype
        component = open_component(root, self.name, self.class_name, runtime.variant)
        config = self.config.from_dict(component.config)
        with skeleton():
            network = self.network(config, runtime.kernels.of_dtype(dtype))
        network.set_train(False)
        load_weights(network, component, _DTYPES[dtype], ignore=self.ignore, widen=runtime.kernels.widen)
        _pack_weights(network)
        return Loaded(network, config, component)


def _pack_weights(network: nn.Cell) -> None:
    """Lay weights out for the device's fast paths, where it has any."""
    for _, cell in network.cells_and_names():
        if isinstance(cell, Conv2d | Linear):
            cell.pack()


def check_tokens(tokens: Tokens, rows: int) -> None:
    """Check that every token has an embedding: MindSpore reads beyond a table without an error.

    Raises:
        InputError: a prompt has a token that the text encoder does not know.
    """
    largest = int(tokens.input_ids.max())
    if largest >= rows:
        raise InputError(
            "prompt",
            f"has token {largest}, but the text encoder's vocabulary has {rows}; tokenizer and text encoder are of "
            "different models",
        )


def check_fit(name: str, value: int, other: str, needed: int) -> None:
    """Check that a size in one component's config is what another component's needs.

    Raises:
        ConfigError: it is not.
    """
    if value != needed:
        raise ConfigError(f"{name}={value} does not fit {other}={needed}; the components are of different models")
