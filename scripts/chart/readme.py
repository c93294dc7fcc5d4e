"""The table of values in the chart's README."""

import json
from typing import Any

from scripts.chart.values import Value

BEGIN, END = "<!-- values: begin, made by scripts.chart -->", "<!-- values: end -->"


def with_table(readme: str, values: Value) -> str:
    """The README with its table made anew.

    Raises:
        ValueError: it has no place for the table.
    """
    if BEGIN not in readme or END not in readme:
        raise ValueError(f"the chart's README has no lines {BEGIN} and {END}")
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{_tables(values)}{END}{after}"


def _tables(values: Value) -> str:
    """One table for the keys that stand alone, and one for each group."""
    alone = [child for child in values.children if not child.children]
    groups = [child for child in values.children if child.children]
    parts = [_table("", alone), *(_table(_title(group), list(group.leaves())) for group in groups)]
    return "\n".join(parts)


def _title(group: Value) -> str:
    return f"### {group.name}\n\n" + (f"{group.comment}\n\n" if group.comment else "")


def _table(title: str, rows: list[Value]) -> str:
    lines = [f"| `{row.name}` | {_cell(row.default)} | {_escaped(row.comment)} |" for row in rows]
    return title + "\n".join(["| value | default | what follows from it |", "|---|---|---|", *lines, ""])


def _cell(default: Any) -> str:
    return f"`{_escaped(json.dumps(default, ensure_ascii=False))}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
