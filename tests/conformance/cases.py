"""clients/conformance/cases.yaml: the cases, and what the strings in their requests stand for."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from imagegen.v1 import gateway_pb2

FOLDER = Path(__file__).parents[2] / "clients/conformance"
SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["ImageService"]


@dataclass(frozen=True)
class Case:
    """One case; the README beside cases.yaml says what its keys mean."""

    name: str
    method: str
    request: Any
    expect: dict[str, Any]
    timeout_seconds: float | None = None
    same_pictures_as: str | None = None

    def message(self, embeddings: Mapping[str, Any]) -> Message:
        """The request, with files and earlier answers filled in."""
        message = GetMessageClass(SERVICE.methods_by_name[self.method].input_type)()
        return json_format.ParseDict(filled(self.request, embeddings), message)


def read_cases() -> list[Case]:
    """All of them, in their order."""
    return [Case(**case) for case in yaml.safe_load((FOLDER / "cases.yaml").read_text())]


def filled(value: Any, embeddings: Mapping[str, Any]) -> Any:
    """The request with what its "@" strings stand for."""
    match value:
        case dict():
            return {key: filled(inner, embeddings) for key, inner in value.items()}
        case list():
            return [filled(inner, embeddings) for inner in value]
        case str() if value.startswith("@file:"):
            return base64.b64encode((FOLDER / value.removeprefix("@file:")).read_bytes()).decode()
        case str() if value.startswith("@embeddings:"):
            return embeddings[value.removeprefix("@embeddings:")]
    return value


def contains(outcome: Any, expected: Any) -> bool:
    """Whether all keys of a mapping are there, with these values."""
    if not isinstance(expected, dict):
        return bool(outcome == expected)
    return isinstance(outcome, dict) and all(contains(outcome.get(key), value) for key, value in expected.items())
