"""Flags, variables, defaults and what is said about wrong ones."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from serving.flags import flag, parse


@dataclass(frozen=True, kw_only=True)
class Config:
    model: str = flag("The model, 100% needed.")
    port: int = flag("The port.", default=50051, minimum=0, maximum=65535)
    scale: float = flag("The scale.", default=4.0, minimum=0)
    limit_bytes: int = flag("The limit.", default=64 * 2**20, minimum=1024)
    reflection: bool = flag("Whether.", default=True)
    folder: Path | None = flag("The folder.", default=None)
    addresses: tuple[str, ...] = flag("Addresses.", default=(), metavar="ADDRESS,…")
    device: Literal["CPU", "Ascend"] = flag("The device.", default="CPU")

    def __post_init__(self) -> None:
        if self.device == "Ascend" and self.port == 1:
            raise ValueError("--device Ascend has no port 1")


def config(*argv: str, **environ: str) -> Config:
    return parse(Config, "prog", "Does things.", list(argv), environ)


def refusal(capsys: pytest.CaptureFixture[str], *argv: str, **environ: str) -> str:
    with pytest.raises(SystemExit) as caught:
        config(*argv, **environ)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_what_is_not_said_has_its_default() -> None:
    assert config("--model", "m") == Config(model="m")
    assert Config(model="m").limit_bytes == 67108864


def test_every_type_is_read_from_flags() -> None:
    read = config(
        *("--model=m", "--port=0", "--scale=0", "--limit-bytes=2KiB", "--no-reflection"),
        *("--folder=a/b", "--addresses=a:1, b:2", "--device=Ascend"),
    )
    assert dataclasses.astuple(read) == ("m", 0, 0.0, 2048, False, Path("a/b"), ("a:1", "b:2"), "Ascend")


def test_every_type_is_read_from_variables() -> None:
    read = config(
        KANDINSKY_MODEL="m",
        KANDINSKY_PORT="0",
        KANDINSKY_SCALE="0",
        KANDINSKY_LIMIT_BYTES="2048",
        KANDINSKY_REFLECTION="off",
        KANDINSKY_FOLDER="a/b",
        KANDINSKY_ADDRESSES="a:1,b:2",
        KANDINSKY_DEVICE="Ascend",
    )
    assert dataclasses.astuple(read) == ("m", 0, 0.0, 2048, False, Path("a/b"), ("a:1", "b:2"), "Ascend")


def test_a_flag_beats_a_variable_and_an_empty_variable_is_none() -> None:
    assert config("--model", "flag", KANDINSKY_MODEL="variable").model == "flag"
    assert config("--model", "m", KANDINSKY_PORT="").port == 50051
    assert config("--model", "", KANDINSKY_MODEL="variable").model == ""


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (["--port", "x"], {}, "--port: 'x' is not allowed; it must be a whole number from 0 to 65535"),
        (["--port", "65536"], {}, "--port: '65536' is not allowed"),
        ([], {"KANDINSKY_PORT": "tcp://10.0.0.1:1"}, "KANDINSKY_PORT: 'tcp://10.0.0.1:1' is not allowed"),
        (["--scale", "nan"], {}, "--scale: 'nan' is not allowed; it must be a number of at least 0"),
        (["--scale", "inf"], {}, "--scale: 'inf' is not allowed"),
        (["--limit-bytes", "64MB"], {}, "it must be a size such as 1048576 or 64MiB of at least 1024"),
        (["--limit-bytes", "1023"], {}, "--limit-bytes: '1023' is not allowed"),
        (
            [],
            {"KANDINSKY_REFLECTION": "maybe"},
            "KANDINSKY_REFLECTION: 'maybe' is not allowed; it must be true or false",
        ),
        (["--device", "GPU"], {}, "--device: 'GPU' is not allowed; it must be one of CPU, Ascend"),
        (["--addresses", "a,,b"], {}, "--addresses: 'a,,b' is not allowed; it must be a comma-separated list"),
        (["--prot", "1"], {}, "unrecognized arguments: --prot 1"),
        (["--por", "1"], {}, "unrecognized arguments: --por 1"),
        (["--port"], {}, "argument --port: expected one argument"),
        (["--device", "Ascend", "--port", "1"], {}, "--device Ascend has no port 1"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_is_allowed(
    capsys: pytest.CaptureFixture[str], argv: list[str], environ: dict[str, str], said: str
) -> None:
    line = refusal(capsys, "--model", "m", *argv, **environ)
    assert line.startswith("prog: ")
    assert said in line


def test_a_missing_flag_is_named_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys).startswith("prog: --model (or KANDINSKY_MODEL) is missing")


def test_help_shows_each_flag_with_sentence_variable_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        config("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for expected in (
        "Does things.",
        "The model, 100% needed. [KANDINSKY_MODEL; required]",
        "--port N",
        "[KANDINSKY_PORT; default: 50051]",
        "[KANDINSKY_LIMIT_BYTES; default: 64MiB]",
        "--reflection, --no-reflection",
        "[KANDINSKY_REFLECTION; default: true]",
        "[KANDINSKY_FOLDER; default: none]",
        "--addresses ADDRESS,…",
        "[KANDINSKY_ADDRESSES; default: none]",
        "--device CPU|Ascend",
    ):
        assert expected in text
