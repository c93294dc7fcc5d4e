"""How much of the time a device is inside compiled graphs, and how late the event loop gets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from mindspore import Tensor

from kandinsky.decoder_model import DecoderModel
from kandinsky.graph import Graph

_TICK_SECONDS = 0.002


@dataclass
class Busy:
    """Seconds inside graphs so far."""

    seconds: float = 0.0

    def timed(self, model: DecoderModel) -> DecoderModel:
        """The model with every graph timed, to the end of its computation."""
        graphs = {name: graph for name, graph in vars(model).items() if isinstance(graph, Graph)}
        return replace(model, **{name: _Timed(graph, self) for name, graph in graphs.items()})  # type: ignore[arg-type]  # the fields are the graphs'


class _Timed:
    """A graph whose call returns when the device has finished."""

    def __init__(self, graph: Graph, busy: Busy) -> None:
        self._graph = graph
        self._busy = busy

    @property
    def compilations(self) -> int:
        """As the graph's."""
        return self._graph.compilations

    @property
    def compile_seconds(self) -> float:
        """As the graph's."""
        return self._graph.compile_seconds

    def __call__(self, *arguments: Any) -> Any:
        """As the graph's."""
        started = time.perf_counter()
        result = self._graph(*arguments)
        first: Tensor = result[0] if isinstance(result, tuple) else result
        first.asnumpy()
        self._busy.seconds += time.perf_counter() - started
        return result


@dataclass
class Lag:
    """How late the event loop was, at worst."""

    seconds: float = 0.0


@asynccontextmanager
async def lagging() -> AsyncIterator[Lag]:
    """Watches the event loop while the body runs."""
    lag = Lag()

    async def watch() -> None:
        while True:
            due = time.perf_counter() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            lag.seconds = max(lag.seconds, time.perf_counter() - due)

    watching = asyncio.create_task(watch())
    try:
        yield lag
    finally:
        watching.cancel()
