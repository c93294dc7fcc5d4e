"""A graph tells what compiling took, and of how many combinations of shapes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from mindspore import Tensor, nn

from kandinsky.graph import Graph
from kandinsky.graph_cache import GraphCache


class Doubled(nn.Cell):
    def construct(self, factor: int, x: Tensor) -> tuple[Tensor]:
        return (factor * x,)


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32))


def test_a_graph_is_compiled_once_for_each_combination_of_shapes_and_numbers() -> None:
    graph = Graph(Doubled(), compiled=True, waits=True, cache=GraphCache())
    found = []
    for factor, x in ((2, ones(3)), (2, ones(3)), (2, ones(4)), (3, ones(4)), (3, ones(4))):
        (result,) = graph(factor, x)
        np.testing.assert_array_equal(result.asnumpy(), factor * x.asnumpy())
        found.append((graph.compilations, graph.compile_seconds))
    assert [compilations for compilations, _ in found] == [1, 1, 2, 3, 3]
    assert found[0] == found[1]
    assert found[3] == found[4]
    assert 0 < found[0][1] < found[2][1] < found[3][1]


def test_compiling_and_the_first_run_are_parts_of_the_call_that_compiled() -> None:
    graph = Graph(Doubled(), compiled=True, waits=True, cache=GraphCache())
    started = time.perf_counter()
    graph(2, ones(3))
    seconds = time.perf_counter() - started
    assert graph.first_run_seconds > 0
    assert graph.compile_seconds + graph.first_run_seconds == pytest.approx(seconds, rel=0.5)
    assert graph.compile_seconds + graph.first_run_seconds <= seconds


class Names(GraphCache):
    """Notes what is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    @contextmanager
    def compiling(self, name: str) -> Iterator[None]:
        self.noted.append(name)
        yield


def test_the_cache_is_told_each_graph_once_by_its_cell_and_what_it_was_called_with() -> None:
    names = Names()
    graph = Graph(Doubled(), compiled=True, waits=True, cache=names)
    for factor, x in ((2, ones(3)), (2, ones(3)), (2, ones(4)), (3, ones(4))):
        graph(factor, x)
    assert names.noted == ["Doubled(2, (3,))", "Doubled(2, (4,))", "Doubled(3, (4,))"]


def test_operator_by_operator_nothing_is_compiled() -> None:
    graph = Graph(Doubled(), compiled=False, waits=True, cache=GraphCache())
    graph(2, ones(3))
    assert (graph.compilations, graph.compile_seconds, graph.first_run_seconds) == (0, 0.0, 0.0)
