"""Random values, from the chart's own schema: mostly such as it allows, now and then some that it doesn't."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st
from rendering import CHART, COMBINATIONS, values_of

_SCHEMA = json.loads((CHART / "values.schema.json").read_text())
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=4,
)


def values() -> st.SearchStrategy[dict[str, Any]]:
    """One of the documented combinations with some of its values replaced."""
    leaves = dict(_leaves((), _SCHEMA))
    allowed = st.sampled_from(sorted(leaves)).flatmap(lambda path: st.tuples(st.just(path), _allowed(leaves[path])))
    any_path = st.sampled_from(sorted(leaves)) | st.sampled_from(sorted(leaves)).map(lambda path: (*path[:-1], "tpyo"))
    wrong = st.tuples(any_path, _JUNK)
    changes = st.lists(allowed, max_size=8)
    return st.builds(
        _changed,
        st.sampled_from(sorted(COMBINATIONS)).map(values_of),
        st.one_of(changes, changes, changes, st.builds(lambda some, one: [*some, one], changes, wrong)),
    )


def _changed(base: dict[str, Any], changes: list[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    for path, value in changes:
        place = base
        for key in path[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[path[-1]] = value
    return base


def _leaves(path: tuple[str, ...], schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if "properties" not in schema or "oneOf" in schema:
        yield path, schema
        return
    for key, inner in schema["properties"].items():
        yield from _leaves((*path, key), inner)


def _allowed(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """What a schema of the subset that ours uses allows."""
    if "$ref" in schema:
        return _allowed(_SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "oneOf" in schema:
        return st.one_of([_allowed(choice) for choice in schema["oneOf"]])
    if "allOf" in schema and "type" not in schema:
        return _allowed(schema["allOf"][0])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_OF_TYPE[name](schema) for name in types])


def _text(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    longest = schema.get("maxLength", 2**20)
    text = st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema else st.text(_WRITABLE, max_size=12)
    # $ also matches before a line's end in Python, but not in Go.
    return text.filter(lambda value: len(value) <= longest and not value.endswith("\n"))


# What Kubernetes takes in a text: no NUL, no half of a surrogate pair.
_WRITABLE = st.characters(exclude_categories=("Cs",), exclude_characters="\0")


def _number(schema: Mapping[str, Any]) -> st.SearchStrategy[int]:
    return st.integers(schema["minimum"], schema["maximum"])


def _array(schema: Mapping[str, Any]) -> st.SearchStrategy[list[Any]]:
    key = repr if schema.get("uniqueItems") else None
    most = min(3, schema.get("maxItems", 3))
    return st.lists(_allowed(schema["items"]), min_size=schema.get("minItems", 0), max_size=most, unique_by=key)


def _object(schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "propertyNames" in schema:
        return st.dictionaries(_allowed(schema["propertyNames"]), _allowed(schema["additionalProperties"]), max_size=2)
    fields = {key: _allowed(inner) for key, inner in schema["properties"].items()}
    required = {key: field for key, field in fields.items() if key in schema.get("required", ())}
    optional = {key: field for key, field in fields.items() if key not in required}
    least = schema.get("minProperties", 0)
    return st.fixed_dictionaries(required, optional=optional).filter(lambda made: len(made) >= least)


_OF_TYPE = {
    "string": _text,
    "integer": _number,
    "array": _array,
    "object": _object,
    "boolean": lambda _: st.booleans(),
    "null": lambda _: st.none(),
}
