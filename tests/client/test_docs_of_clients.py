"""The examples in docs/ work: Python and commands are run against the fake gateway, grpcurl's requests are parsed."""

import json
import re
import shlex
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from imagegen.v1 import gateway_pb2
from kandinsky_client.cli import failures
from kandinsky_client.cli.main import main
from tests.client.fake_service import FakeImageService, picture_file

DOCS = Path(__file__).parents[2] / "docs"
SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["ImageService"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = "".join(blocks("command-line.md", "console")).splitlines()
    return [line[2:] for line in lines if line.startswith("$ kandinsky ") and "serve" not in line]


def grpcurl_requests() -> list[tuple[str, str]]:
    """The JSON of each request that has any, and the method."""
    text = "".join(blocks("grpcurl.md", "sh"))
    return re.findall(r"'(\{.*?\})'.*?ImageService/(\w+)", text, re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples run: with a sketch.png."""
    (tmp_path / "sketch.png").write_bytes(picture_file())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python.md", "python"), ids=range(5))
def test_the_python_examples_run(code: str, server: str, service: FakeImageService) -> None:
    assert "127.0.0.1:50050" in code
    exec(compile(code.replace("127.0.0.1:50050", server), "docs/python.md", "exec"), {})  # noqa: S102 - our own page
    assert service.requests


def test_the_commands_run_in_their_order(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANDINSKY_SERVER", server)
    assert [main(shlex.split(command)[1:]) for command in commands()] == [0] * 8
    assert {path.name for path in folder.iterdir()} >= {"out.png", "grid.png", "circle.bin", "mix.bin"}


def test_the_exit_codes_on_the_page_are_those_of_the_command() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", (DOCS / "command-line.md").read_text(), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == failures.MEANINGS


@pytest.mark.parametrize(("text", "method"), grpcurl_requests(), ids=lambda value: value[:12])
def test_the_requests_for_grpcurl_are_the_contracts(text: str, method: str) -> None:
    request = GetMessageClass(SERVICE.methods_by_name[method].input_type)()
    json_format.ParseDict(json.loads(text.replace("%s", "AAAA")), request)
    assert request.ByteSize() > 0


def test_every_method_of_the_contract_is_shown_for_grpcurl() -> None:
    shown = set(re.findall(r"ImageService/(\w+)", (DOCS / "grpcurl.md").read_text()))
    assert shown == set(SERVICE.methods_by_name)
