"""The public contract: its style, its comments, and that the committed stubs are what it generates."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from imagegen.v1 import common_pb2, decoder_pb2, gateway_pb2, prior_pb2
from scripts.generate_protos import PYTHON, stubs

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
FILES = [common_pb2.DESCRIPTOR, prior_pb2.DESCRIPTOR, decoder_pb2.DESCRIPTOR, gateway_pb2.DESCRIPTOR]
NUMBERS = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_DOUBLE}
# Numbers in requests whose zero says nothing else than their absence does.
ZERO_IS_ABSENCE = {
    "StreamImg2ImgRequest.preview_every_steps",  # never
    "DecoderServiceStreamImg2ImgRequest.preview_every_steps",
    "DecoderServiceStreamImg2ImgRequest.checkpoint_every_steps",
    "LatentCheckpoint.image_index",  # written by a worker, never left to a default
    "LatentCheckpoint.steps_done",
    "LatentCheckpoint.noise_draws",
}


def buf(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([Path(sys.executable).with_name("buf"), *arguments], capture_output=True, text=True)


def reachable(message: Descriptor) -> Iterator[Descriptor]:
    """The message and all that it holds; no message of ours holds itself."""
    yield message
    for field in message.fields:
        if field.message_type:
            yield from reachable(field.message_type)


def requests() -> Iterator[Descriptor]:
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                yield from reachable(method.input_type)


def shape(message: type[Message]) -> list[tuple[object, ...]]:
    """What two messages must share to be read as one another."""
    return [
        (field.name, field.number, field.type, field.message_type, field.enum_type, field.has_presence)
        for field in message.DESCRIPTOR.fields
    ]


def test_protos_are_clean_under_buf_lint() -> None:
    result = buf("lint", PROTOS)
    assert (result.returncode, result.stdout) == (0, "")


def test_protos_are_formatted() -> None:
    result = buf("format", "--diff", "--exit-code", PROTOS)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    "comment",
    [
        "  // Element type.\n",  # a field's
        "// An array of numbers: C order, little-endian, no padding.\n",  # a message's
        "  // IEEE 754 binary32.\n",  # an enum value's
    ],
)
def test_lint_refuses_what_has_no_comment(tmp_path: Path, comment: str) -> None:
    copy = shutil.copytree(PROTOS, tmp_path / "protos")
    common = copy / "imagegen/v1/common.proto"
    text = common.read_text()
    assert comment in text
    common.write_text(text.replace(comment, "", 1))
    result = buf("lint", copy)
    assert result.returncode != 0
    assert "should have a non-empty comment" in result.stdout


def test_lint_refuses_an_rpc_without_a_comment(tmp_path: Path) -> None:
    copy = shutil.copytree(PROTOS, tmp_path / "protos")
    prior = copy / "imagegen/v1/prior.proto"
    prior.write_text(prior.read_text().replace("  // Turns a prompt into image embeddings.\n", ""))
    assert 'RPC "EncodePrompt" should have a non-empty comment' in buf("lint", copy).stdout


def test_committed_stubs_are_what_the_protos_generate() -> None:
    command = [sys.executable, str(ROOT / "scripts/generate_protos.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    without_go = "no Go toolchain here: the Go stubs are neither generated nor checked\n"
    told = [line for line in result.stderr.splitlines(keepends=True) if not line.startswith("go: downloading ")]
    assert (result.returncode, "".join(told)) == (0, "" if shutil.which("go") else without_go)


def test_what_python_compiled_is_no_stub(tmp_path: Path) -> None:
    _, folder, _ = PYTHON
    for name in ("v1/common_pb2.py", "v1/__pycache__/common_pb2.cpython-311.pyc"):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert set(stubs(PYTHON, tmp_path)) == {f"{folder}/v1/common_pb2.py"}


def test_without_go_the_go_stubs_are_not_checked_and_that_is_an_error_in_ci(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/generate_protos.py"), "--check"]
    environment = {"PATH": str(tmp_path), "CI": "true"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    assert result.stderr.startswith("no Go toolchain here")


def test_a_number_in_a_request_tells_zero_from_not_set() -> None:
    blind = {
        f"{message.name}.{field.name}"
        for message in requests()
        for field in message.fields
        if field.cpp_type in NUMBERS and not field.is_repeated and not field.has_presence
    }
    assert blind == ZERO_IS_ABSENCE


def test_no_field_has_too_few_bits_for_its_decimal_value() -> None:
    floats = [
        f"{message.name}.{field.name}"
        for file in FILES
        for message in file.message_types_by_name.values()
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_FLOAT
    ]
    assert floats == [], "int(1000 × strength) of a float is another integer than that of the same double"


@pytest.mark.parametrize(
    ("public", "worker"),
    [
        (gateway_pb2.EncodePromptRequest, prior_pb2.PriorServiceEncodePromptRequest),
        (gateway_pb2.EncodePromptResponse, prior_pb2.PriorServiceEncodePromptResponse),
        (gateway_pb2.InterpolateRequest, prior_pb2.PriorServiceInterpolateRequest),
        (gateway_pb2.InterpolateResponse, prior_pb2.PriorServiceInterpolateResponse),
    ],
    ids=lambda message: message.DESCRIPTOR.name,
)
def test_what_the_gateway_forwards_has_the_same_fields_on_both_sides(
    public: type[Message], worker: type[Message]
) -> None:
    assert shape(public) == shape(worker)
