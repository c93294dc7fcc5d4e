"""A server that cannot start says why in one line."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TINY

PRIOR, DECODER = str(TINY / "prior"), str(TINY / "decoder")


def _fails(arguments: list[str]) -> str:
    """The one line a command that must fail prints."""
    finished = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)
    lines = finished.stderr.strip().splitlines()
    assert finished.returncode not in (0, None)
    assert len(lines) == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    return lines[0]


@pytest.mark.parametrize("module", ["prior_server", "decoder_server"])
def test_a_wrong_model_path_is_one_line(module: str, tmp_path: Path) -> None:
    line = _fails(["-m", module, "--model", str(tmp_path / "nowhere"), "--port", "0"])
    assert "nowhere" in line


def test_a_prior_checkpoint_given_to_the_decoder_is_one_line() -> None:
    line = _fails(["-m", "decoder_server", "--model", PRIOR, "--port", "0"])
    assert "movq" in line or "text_encoder" in line or "scheduler" in line


@pytest.mark.parametrize(
    "command",
    [
        ["prior_server", "--model", PRIOR],
        ["decoder_server", "--model", DECODER],
        ["gateway", "--prior", "a:1", "--decoder", "b:1"],
    ],
)
def test_a_port_in_use_is_one_line(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = _fails(["-m", *command, "--port", port])
    assert port in line
    assert "--port" in line


@pytest.mark.parametrize("module", ["prior_server", "decoder_server"])
def test_a_missing_extra_is_one_line(module: str) -> None:
    """MindSpore is made impossible to import, as it is where the extra is not installed."""
    program = f"import sys; sys.modules['mindspore'] = None; from {module}.__main__ import main; main()"
    line = _fails(["-c", program, "--model", PRIOR, "--port", "0"])
    assert 'pip install "kandinsky-serving[worker]"' in line


def test_an_npu_that_is_not_there_is_one_line() -> None:
    line = _fails(["-m", "decoder_server", "--model", DECODER, "--device", "Ascend", "--port", "0"])
    assert "--device CPU" in line
