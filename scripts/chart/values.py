"""Reads values.yaml with its comments: what each value means, its default, and what JSON Schema can't see from that."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_SCHEMA_MARK = "@schema"


@dataclass(frozen=True)
class Value:
    """One key of values.yaml.

    Attributes:
        path: the keys that lead to it.
        comment: its description, in one line; empty if it has none.
        constraints: what stands behind @schema.
        default: its value in the file.
        children: its keys, if it is a mapping with keys that are values of their own.
    """

    path: tuple[str, ...]
    comment: str
    constraints: dict[str, Any]
    default: Any
    children: "tuple[Value, ...]"

    @property
    def name(self) -> str:
        """Its path as helm writes it."""
        return ".".join(self.path)

    def leaves(self) -> "Iterator[Value]":
        """The values that hold something, in the file's order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def read_values(text: str) -> Value:
    """The whole file as one value.

    Raises:
        ValueError: a key has no comment, so nobody knows what follows from it.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml holds no mapping")
    return _value((), root, text.splitlines(), "", {})


def _value(
    path: tuple[str, ...], node: yaml.Node, lines: Sequence[str], comment: str, constraints: dict[str, Any]
) -> Value:
    # A mapping in one line, or one that says itself what it may hold, is a value; any other is a group of values.
    is_group = isinstance(node, yaml.MappingNode) and not node.flow_style and not constraints
    children = tuple(_children(path, node, lines)) if is_group else ()
    if not is_group and not comment:
        raise ValueError(f"{'.'.join(path)} has no comment in values.yaml")
    loader = yaml.SafeLoader("")
    return Value(path, comment, constraints, loader.construct_object(node, deep=True), children)


def _children(path: tuple[str, ...], node: yaml.Node, lines: Sequence[str]) -> Iterator[Value]:
    for key, child in node.value:
        comment, constraints = _comment_above(lines, key.start_mark.line, key.start_mark.column)
        yield _value((*path, key.value), child, lines, comment, constraints)


def _comment_above(lines: Sequence[str], line: int, column: int) -> tuple[str, dict[str, Any]]:
    """Description and constraints from the comment lines directly above a key, of its indentation."""
    mark = " " * column + "#"
    start = line
    while start > 0 and lines[start - 1].startswith(mark):
        start -= 1
    text = "\n".join(re.sub(r"^\s*# ?", "", row) for row in lines[start:line])
    described, _, constraints = text.partition(_SCHEMA_MARK)
    return " ".join(described.split()), yaml.safe_load(constraints) or {}
