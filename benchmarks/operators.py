"""Each of the CPU's own operators against MindSpore's plain ones, at the shapes of the middle-size networks.

An operator is applied eight times in a row in one compiled graph, as networks do, so that what a call of a graph costs
does not hide it; both sides take turns. Times are milliseconds of one application.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # before MindSpore's first operator, as the servers do

import numpy as np
from mindspore import Tensor, nn

from benchmarks.record import record
from kandinsky.graph import Graph
from kandinsky.graph_cache import GraphCache
from kandinsky.networks.layers import Conv2d, GroupNorm, LayerNorm, Linear, ResidualLinear, ScaledGroupNorm
from kandinsky.ops import Kernels, use_device, with_fast_paths

_TIMES = 8
# MindSpore tries thread counts for the first 30 runs of a graph.
_WARM_UP_RUNS = 35
_RUNS = 8


@dataclass(frozen=True)
class Case:
    """An operator at a shape.

    Attributes:
        name: of the operator.
        shape: of the tensor that it changes, and gives back in the same shape.
        cell: makes it, of a table of kernels.
        others: shapes of what else it takes.
    """

    name: str
    shape: tuple[int, ...]
    cell: Callable[[Kernels], nn.Cell]
    others: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Row:
    """Medians of milliseconds, and how far the results of all eight applications lie apart, of the largest."""

    name: str
    shape: tuple[int, ...]
    plain_ms: float
    fast_ms: float
    difference: float

    @property
    def ratio(self) -> float:
        """Ours ÷ the plain one."""
        return self.fast_ms / self.plain_ms


class _Chosen(nn.Cell):
    """A kernel of a table with its settings, as a cell."""

    def __init__(self, called: tuple[Callable[..., Tensor], Any]) -> None:
        super().__init__()
        self.operator, self.settings = called

    def construct(self, *tensors: Tensor) -> Tensor:
        return self.operator(*tensors, self.settings)


class _Repeated(nn.Cell):
    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell

    def construct(self, x: Tensor, *others: Tensor) -> tuple[Tensor]:
        for _ in range(_TIMES):
            x = self.cell(x, *others)
        return (x,)


def _convolution(channels: int, kernel: int = 3) -> Callable[[Kernels], nn.Cell]:
    return lambda kernels: Conv2d(channels, channels, kernel, kernels)


def _cases() -> list[Case]:
    unet, text = (2, 384, 16, 16), (2, 77, 768)
    return [
        Case("convolution 3×3", (2, 128, 32, 32), _convolution(128)),
        Case("convolution 3×3", unet, _convolution(384)),
        Case("convolution 3×3", (2, 512, 4, 4), _convolution(512)),
        Case("convolution 3×3", (1, 64, 256, 256), _convolution(64)),
        Case("convolution 1×1", unet, _convolution(384, 1)),
        Case("linear", text, lambda kernels: Linear(768, 768, kernels)),
        Case("linear + residual", text, lambda kernels: ResidualLinear(768, 768, kernels), (text,)),
        Case("group norm + SiLU", unet, lambda kernels: GroupNorm(32, 384, 1e-5, kernels, "silu")),
        Case(
            "group norm + scale, shift + SiLU",
            unet,
            lambda kernels: ScaledGroupNorm(32, 384, 1e-5, kernels, "silu"),
            ((2, 768),),
        ),
        Case(
            "norm of places + SiLU",
            (1, 128, 128, 128),
            lambda kernels: _Chosen(kernels.spatial_norm(32, 1e-6, "silu")),
            ((128,), (128,), (1, 128, 32, 32), (1, 128, 32, 32)),
        ),
        Case("layer norm", text, lambda kernels: LayerNorm(768, kernels)),
        Case("attention", (2, 256, 384), lambda kernels: _Chosen(kernels.attention(6)), ((2, 343, 384),) * 2),
        Case(
            "attention, one head",
            (1, 1024, 256),
            lambda kernels: _Chosen(kernels.attention(1)),
            ((1, 1024, 256),) * 2,
        ),
        Case("GELU", (2, 77, 3072), lambda kernels: _Chosen(kernels.activation("gelu"))),
        Case("SiLU", unet, lambda kernels: _Chosen(kernels.activation("silu"))),
    ]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operators", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    plain = use_device("CPU")
    fast = with_fast_paths(plain)
    if fast is plain:
        raise SystemExit("the CPU's own operators cannot be built here, for the reason above")
    print(f"{'operator':34}{'shape':>20}{'plain ms':>12}{'ours ms':>10}{'ours ÷ plain':>14}{'apart':>10}")
    rows = []
    for case in _cases():
        row = _measured(case, (plain, fast), rounds)
        shape = "×".join(map(str, row.shape))
        figures = f"{row.plain_ms:12.3f}{row.fast_ms:10.3f}{row.ratio:14.2f}{row.difference:10.1e}"
        print(f"{row.name:34}{shape:>20}{figures}", flush=True)
        rows.append(row)
    print(record({"rounds": rounds, "runs": _RUNS, "times": _TIMES}, [asdict(row) for row in rows]))
    ratios = [row.ratio for row in rows]
    print(f"RESULT bench-operators median_vs_plain={statistics.median(ratios):.3f} worst_vs_plain={max(ratios):.3f}")


def _measured(case: Case, tables: Sequence[Kernels], rounds: int) -> Row:
    random = np.random.default_rng(0)
    given = [Tensor(random.standard_normal(shape).astype(np.float32)) for shape in (case.shape, *case.others)]
    runs = [_run(case, kernels, given) for kernels in tables]
    expected, found = (run() for run in runs)
    for run in runs:
        _seconds(run, _WARM_UP_RUNS)
    taken = [[_seconds(run, _RUNS) for run in runs] for _ in range(rounds)]
    plain_ms, fast_ms = (1e3 * statistics.median(side) / _TIMES for side in zip(*taken, strict=True))
    return Row(case.name, case.shape, plain_ms, fast_ms, float(np.abs(found - expected).max() / np.abs(expected).max()))


def _run(case: Case, kernels: Kernels, given: Sequence[Tensor]) -> Callable[[], Any]:
    """A call of the compiled graph, whose weights are the same for every table."""
    cell = case.cell(kernels)
    random = np.random.default_rng(1)
    for parameter in cell.get_parameters():
        fan_in = max(int(np.prod(parameter.shape[1:])), 1)
        values = random.standard_normal(parameter.shape) * fan_in**-0.5
        parameter.set_data(Tensor(values.astype(np.float32)))
    if hasattr(cell, "pack"):
        cell.pack()
    graph = Graph(_Repeated(cell), compiled=True, waits=True, cache=GraphCache())
    return lambda: graph(*given)[0].asnumpy()


def _seconds(run: Callable[[], object], times: int) -> float:
    """Of one run, the mean of so many."""
    began = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - began) / times


if __name__ == "__main__":
    main()
