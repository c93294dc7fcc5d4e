"""Generates docs/api.md from the comments in protos/.

With --check it writes nothing and fails if the page is not what the protos give.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/api.md"
INTRODUCTION = """\
# The API

The contract `imagegen.v1`, file by file; clients need only the first. `make protos` generates this page from the
comments in `protos/`. How to call it: [Python](python.md), [Go](go.md), [grpcurl](grpcurl.md).
"""
# Clients first.
FILES = ("gateway", "common", "prior", "decoder")

# Numbers of fields in descriptor.proto, of which the paths to comments consist.
_MESSAGES, _ENUMS, _SERVICES, _PARTS = 4, 5, 6, 2

Comments = dict[tuple[int, ...], str]


def page() -> str:
    """The whole page."""
    buf = Path(sys.executable).with_name("buf")
    built = subprocess.run([buf, "build", "protos", "--output", "-"], cwd=ROOT, check=True, capture_output=True)
    by_name = {Path(file.name).stem: file for file in FileDescriptorSet.FromString(built.stdout).file}
    return "\n".join([INTRODUCTION, *(line for name in FILES for line in _file(by_name[name]))]) + "\n"


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments: Comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
    yield f"## {file.name}\n"
    for index, service in enumerate(file.service):
        yield from _service(service, (_SERVICES, index), comments)
    for index, message in enumerate(file.message_type):
        yield from _message(message, (_MESSAGES, index), comments)
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, (_ENUMS, index), comments)


def _service(service: ServiceDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"### {service.name}\n\n{_text(comments[path])}\n"
    yield "| method | request | answer | |\n|---|---|---|---|"
    for index, method in enumerate(service.method):
        answer = ("stream of " if method.server_streaming else "") + _link(method.output_type)
        sentence = _cell(comments[(*path, _PARTS, index)])
        yield f"| `{method.name}` | {_link(method.input_type)} | {answer} | {sentence} |"
    yield ""


def _message(message: DescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"### {message.name}\n\n{_text(comments[path])}\n"
    if not message.field:
        return
    yield "| field | type | |\n|---|---|---|"
    for index, field in enumerate(message.field):
        yield f"| `{field.name}` | {_type(field, message)} | {_cell(comments[(*path, _PARTS, index)])} |"
    yield ""


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"### {enum.name}\n\n{_text(comments[path])}\n"
    yield "| value | number | |\n|---|---|---|"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {_cell(comments[(*path, _PARTS, index)])} |"
    yield ""


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    entry = next((nested for nested in message.nested_type if field.type_name.endswith(f".{nested.name}")), None)
    if entry is not None:
        key, value = entry.field
        return f"map from {_name(key)} to {_name(value)}"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"list of {_name(field)}"
    if field.proto3_optional:
        return f"optional {_name(field)}"
    if field.HasField("oneof_index"):
        return f"{_name(field)}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return _name(field)


def _name(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _link(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(full_name: str) -> str:
    name = full_name.rpartition(".")[2]
    return f"[{name}](#{name.lower()})"


def _text(comment: str) -> str:
    return "\n".join(line.strip() for line in comment.strip().splitlines())


def _cell(comment: str) -> str:
    return " ".join(comment.split()).replace("|", "\\|")


def main() -> int:
    """Write or check; the exit code is 1 when the page is stale."""
    parser = argparse.ArgumentParser(description="Generate docs/api.md from the comments in protos/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the committed page differs")
    check = parser.parse_args().check
    fresh = page()
    if not check:
        PAGE.write_text(fresh)
    elif not PAGE.exists() or PAGE.read_text() != fresh:
        print("docs/api.md: differs from protos/; run `make protos` and commit the result", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
