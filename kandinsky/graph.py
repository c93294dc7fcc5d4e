"""A network's call as it is run: compiled, once for each combination of shapes, or operator by operator."""

import time
from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from kandinsky.graph_cache import GraphCache


class Graph:
    """A cell to be called.

    A cell, not any of its methods: compiling a method other than `construct` makes MindSpore take it for the cell's
    construct wherever the cell is called later.

    Args:
        cell: what is called. It should give a tuple: for a single tensor MindSpore itself waits within the call, and
            compiling cannot be told from the first run.
        compiled: compile it.
        waits: where it is compiled, a call ends when its result is there, as `kandinsky.ops.Kernels.waits`.
        cache: where earlier starts' graphs are.
    """

    def __init__(self, cell: nn.Cell, *, compiled: bool, waits: bool, cache: GraphCache) -> None:
        self._name = type(cell).__qualname__
        self._run: Callable[..., Any] = ms.jit(cell.construct) if compiled else cell
        self._compiled = compiled
        self._waits = compiled and waits
        self._cache = cache
        self._signatures: set[tuple[Any, ...]] = set()
        self._compile_seconds = 0.0
        self._first_run_seconds = 0.0

    @property
    def compilations(self) -> int:
        """For how many combinations of shapes it has been compiled."""
        return len(self._signatures)

    @property
    def compile_seconds(self) -> float:
        """What compiling or loading them took: the calls that did, until they returned with the run under way."""
        return self._compile_seconds

    @property
    def first_run_seconds(self) -> float:
        """What the first run of each compiled graph took; 0 where calls do not wait."""
        return self._first_run_seconds

    def __call__(self, *arguments: Any) -> Any:
        """The cell's result; compiles where the arguments' shapes are new."""
        if not self._compiled or (signature := _signature(arguments)) in self._signatures:
            return self._waited_for(self._run(*arguments))
        called = time.perf_counter()
        with self._cache.compiling(f"{self._name}{signature}"):
            result = self._run(*arguments)
        returned = time.perf_counter()
        self._waited_for(result)
        self._signatures.add(signature)
        self._compile_seconds += returned - called
        self._first_run_seconds += time.perf_counter() - returned
        return result

    def _waited_for(self, result: Any) -> Any:
        if self._waits:
            first: Tensor = result[0] if isinstance(result, tuple) else result
            first.asnumpy()
        return result


def _signature(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a compiled graph belongs to: shapes, also of tensors in tuples; and what is no tensor, by its value."""
    return tuple(
        _signature(item) if isinstance(item, tuple) else item.shape if isinstance(item, Tensor) else item
        for item in arguments
    )
