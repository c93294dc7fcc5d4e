"""Every primitive of the compiled graphs runs on Ascend and on the CPU, as MindSpore documents it.

Nobody here has an Ascend. What can be known without one is what the graphs are made of and what MindSpore's
docstrings state under "Supported Platforms".
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from mindspore import ops
from mindspore.ops import auto_generate
from mindspore.ops import operations as primitives

ENTRY_POINTS = {
    "ClipTextEncoder",
    "Conditioner",
    "DecoderStep",
    "Joiner",
    "MultilingualClip",
    "PictureDecoder",
    "PictureEmbedder",
    "PictureEncoder",
    "PriorStep",
}
# Made by the compiler; not operators of a device.
STRUCTURE = {
    "Depend": "orders two nodes",
    "EqScalar": "compares two Python numbers, on the host",
    "Load": "reads a parameter",
    "MakeTuple": "puts results together",
    "TupleGetItem": "takes one of several results",
    "UpdateState": "orders side effects",
}
# Primitives without a page of their own: the function that documents what they compute.
DOCUMENTED_AS = {
    "Muls": "mul",  # tensor times number
    "SumExt": "sum",  # sum over some axes
}


def save_graphs(folder: Path, table: str) -> dict[str, set[str]]:
    """Primitives of each graph, by the name of the cell whose `construct` it is."""
    environment = {
        **os.environ,
        "MS_DEV_SAVE_GRAPHS": "1",
        "MS_DEV_SAVE_GRAPHS_PATH": str(folder),
        "MS_DEV_DUMP_IR_PASSES": "validate",  # the last pass before a backend takes over
    }
    command = [sys.executable, "-m", "tests.kandinsky.compile_everything", table]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    graphs: dict[str, set[str]] = {}
    for path in folder.rglob("*_validate_*.ir"):
        text = path.read_text()
        entry = re.search(r"^# IR entry: @\S*?_([A-Za-z0-9]+)_construct", text, re.MULTILINE)
        # A node is a line like `  %10(rows) = PrimFunc_MatMul(%8, %9, …`.
        found = set(re.findall(r"^  %\d+\([^=\n]*\) = (?:PrimFunc_)?(\w+)\(", text, re.MULTILINE))
        assert found, f"no primitives in {path.name}; has MindSpore's format changed?"
        graphs.setdefault(entry[1] if entry else path.name, set()).update(found)
    return graphs


def platforms(primitive: str) -> set[str]:
    """The platforms that MindSpore documents for a primitive, on its page or on the one it refers to."""
    function = DOCUMENTED_AS.get(primitive)
    pages = [getattr(ops, function)] if function else []
    pages += [getattr(module, primitive, None) for module in (ops, primitives, auto_generate)]
    for page in pages:
        text = getattr(page, "__doc__", None) or ""
        reference = re.search(r"[Rr]efer to :func:`mindspore\.ops\.(\w+)`", text)
        if reference and "Supported Platforms" not in text:
            text = getattr(getattr(ops, reference[1], None), "__doc__", None) or ""
        stated = re.search(r"Supported Platforms:\s*\n\s*(.+)", text)
        if stated:
            return set(re.findall(r"``(\w+)``", stated[1]))
    return set()


def unsupported(graphs: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Primitives that are not documented for both devices, with the platforms that they are documented for."""
    found = {name: platforms(name) for name in set().union(*graphs.values()) - STRUCTURE.keys()}
    return {name: stated for name, stated in found.items() if not {"Ascend", "CPU"} <= stated}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    return save_graphs(tmp_path_factory.mktemp("graphs"), "Ascend")


def test_every_graph_of_serving_is_looked_at(graphs: Mapping[str, set[str]]) -> None:
    assert set(graphs) == ENTRY_POINTS
    assert {"Conv2D", "Softmax", "LayerNorm", "BatchMatMul"} <= set().union(*graphs.values())


def test_every_primitive_is_documented_for_ascend_and_cpu(graphs: Mapping[str, set[str]]) -> None:
    assert unsupported(graphs) == {}


def test_the_tables_name_nothing_that_is_documented_or_unused(graphs: Mapping[str, set[str]]) -> None:
    used = set().union(*graphs.values())
    assert DOCUMENTED_AS.keys() <= used
    assert all(not platforms(name) for name in STRUCTURE.keys() - {"Depend"})


def test_an_operator_that_ascend_lacks_would_be_found(tmp_path: Path) -> None:
    assert unsupported(save_graphs(tmp_path, "lgamma")) == {"Lgamma": {"GPU", "CPU"}}


def test_what_only_ascends_table_uses_is_documented_for_ascend() -> None:
    assert "``Ascend``" in str(ops.flash_attention_score.__doc__).split("Supported Platforms:")[1][:60]
