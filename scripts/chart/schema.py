"""values.schema.json: closed, every key required, so that neither a typo nor a null gets through."""

from typing import Any

from scripts.chart.values import Value

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


def schema_of(values: Value, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of the whole file.

    Args:
        values: of values.yaml.
        definitions: `$defs` that constraints refer to, and the rules across values.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of kandinsky-serving",
        **_group(values),
        "allOf": definitions["allOf"],
        "$defs": definitions["$defs"],
    }


def _group(value: Value) -> dict[str, Any]:
    # A value that may be null may be absent too: helm removes keys that a user sets to null.
    required = [child.path[-1] for child in value.children if "null" not in child.constraints.get("type", ())]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": {child.path[-1]: _schema(child) for child in value.children},
    }


def _schema(value: Value) -> dict[str, Any]:
    if value.children:
        return _group(value) | ({"description": value.comment} if value.comment else {})
    described = {"description": value.comment, "default": value.default}
    if "$ref" in value.constraints:
        return described | {"allOf": [value.constraints]}  # in draft-07 a $ref hides what stands beside it
    typed = {} if {"type", "enum"} & set(value.constraints) else {"type": _TYPES[type(value.default)]}
    return described | typed | value.constraints
