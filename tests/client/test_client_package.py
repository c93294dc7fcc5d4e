"""The package as it is imported: what it offers, and what it does not drag in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kandinsky_client

STUB = Path(kandinsky_client.__file__).with_suffix(".pyi")


def loaded_by(code: str, environment: dict[str, str]) -> set[str]:
    """The modules that a fresh Python has loaded after the code."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in result.stdout.split()}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import kandinsky_client", {"grpc", "google", "PIL", "numpy", "mindspore"}),
        ("from kandinsky_client.errors import KandinskyClientError", {"grpc", "google", "PIL", "numpy", "mindspore"}),
        ("from kandinsky_client import Client, AsyncClient", {"PIL", "numpy", "mindspore"}),
        (
            "from PIL import Image\n"
            "from kandinsky_client.images import image_bytes\n"
            "image_bytes(Image.new('L', (2, 2)))",
            {"numpy", "mindspore"},
        ),
        ("from kandinsky_client.cli.main import main, _parser\n_parser().format_help()", {"grpc", "google", "PIL"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str, heavy: set[str], environment: dict[str, str]) -> None:
    assert loaded_by(code, environment) & heavy == set()


@pytest.mark.parametrize("name", kandinsky_client.__all__)
def test_every_name_that_is_offered_is_there(name: str) -> None:
    assert getattr(kandinsky_client, name) is not None


def test_type_checkers_are_told_the_same_names() -> None:
    imports = [node for node in ast.walk(ast.parse(STUB.read_text())) if isinstance(node, ast.ImportFrom)]
    told = {(node.module, alias.name) for node in imports for alias in node.names}
    offered = {(module, name) for module, names in kandinsky_client._EXPORTS.items() for name in names}
    assert told == offered


def test_a_name_that_is_not_there_is_the_usual_error() -> None:
    with pytest.raises(AttributeError, match="'Klient'"):
        kandinsky_client.Klient  # noqa: B018 - looking is the test
