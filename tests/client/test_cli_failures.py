"""What a failed command says and how it exits, for every status a server can answer with."""

import os
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from google.rpc.status_pb2 import Status

from kandinsky_client.cli.main import COMMANDS, main
from tests.client.fake_service import FakeImageService, failure, picture_file

CODE = grpc.StatusCode


@pytest.fixture
def argv(tmp_path: Path, server: str) -> list[str]:
    image = tmp_path / "sketch.png"
    image.write_bytes(picture_file())
    out = str(tmp_path / "out.png")
    return ["img2img", "--server", server, "--prompt", "p", "--image", str(image), "--out", out]


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (failure(CODE.INVALID_ARGUMENT, "no such prompt"), 2, "no such prompt"),
        (failure(CODE.FAILED_PRECONDITION, "another model"), 2, "another model"),
        (failure(CODE.ALREADY_EXISTS, "in use"), 2, "in use"),
        (failure(CODE.UNAVAILABLE, "no decoder", reason="NO_WORKER", retry_after_seconds=99), 3, "no decoder"),
        (
            failure(CODE.RESOURCE_EXHAUSTED, "full", reason="QUEUE_FULL", retry_after_seconds=7),
            4,
            "full; try again in 7 s",
        ),
        (failure(CODE.UNAUTHENTICATED, "who are you"), 4, "who are you"),
        (failure(CODE.PERMISSION_DENIED, "not you"), 4, "not you"),
        (failure(CODE.DEADLINE_EXCEEDED, "takes 9 s"), 5, "takes 9 s"),
        (failure(CODE.CANCELLED, "cancelled"), 6, "cancelled"),
        (failure(CODE.INTERNAL, "error id e7"), 1, "error id e7"),
        (failure(CODE.UNKNOWN, "two\nlines"), 1, "two lines"),
    ],
    ids=lambda value: value.message if isinstance(value, Status) else "",
)
def test_each_failure_has_its_exit_code_and_one_line(
    argv: list[str],
    service: FakeImageService,
    capsys: pytest.CaptureFixture[str],
    status: Status,
    code: int,
    line: str,
) -> None:
    service.failures.append(status)
    assert main(argv) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"kandinsky img2img: {line}\n")


@pytest.mark.parametrize(
    ("field", "flag"),
    [
        ("params.num_inference_steps", "--steps"),
        ("params.width", "--width"),
        ("params.output_format", "--format"),
        ("prior.num_inference_steps", "--prior-steps"),
        ("prior.guidance_scale", "--prior-guidance-scale"),
        ("prior.seed", "--prior-seed"),
        ("image", "--image"),
        ("prompt", "--prompt"),
        ("items[1].weight", "items[1].weight"),
        ("embeddings.image_embeds", "embeddings.image_embeds"),
    ],
)
def test_a_wrong_field_is_called_by_its_flag(
    argv: list[str], service: FakeImageService, capsys: pytest.CaptureFixture[str], field: str, flag: str
) -> None:
    service.failures.append(failure(CODE.INVALID_ARGUMENT, violations=[(field, "at least 1; given 0")]))
    main(argv)
    assert capsys.readouterr().err == f"kandinsky img2img: {flag}: at least 1; given 0\n"


def test_all_wrong_fields_are_named(
    argv: list[str], service: FakeImageService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.failures.append(failure(CODE.INVALID_ARGUMENT, violations=[("image", "a"), ("params.seed", "b")]))
    main(argv)
    assert capsys.readouterr().err == "kandinsky img2img: --image: a; --seed: b\n"


def test_a_number_that_no_message_can_hold_is_called_by_its_flag(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--seed", "-1"]) == 2
    assert capsys.readouterr().err.startswith("kandinsky img2img: --seed: -1 is outside 0 … 18446744073709551615")


def test_no_server_is_exit_code_3_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--server", "127.0.0.1:1"]) == 3
    line = capsys.readouterr().err
    assert "127.0.0.1:1" in line
    assert "kandinsky serve starts one" in line
    assert line.count("\n") == 1


def test_a_result_that_cannot_be_written_is_exit_code_1(
    argv: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "out.png").mkdir()
    assert main(argv) == 1
    assert capsys.readouterr().err.endswith(f"kandinsky img2img: {tmp_path / 'out.png'}: Is a directory\n")


@pytest.mark.parametrize("wrong", [["--seed", "x"], ["--stepz", "1"], ["--format", "gif"]])
def test_a_wrong_flag_is_exit_code_2_and_one_line(
    argv: list[str], capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*argv, *wrong])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("kandinsky img2img: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_left_is_no_traceback(server: str, environment: dict[str, str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "kandinsky_client.cli", "info", "--server", server]
    env = {**environment, "PYTHONUNBUFFERED": unbuffered}
    result = subprocess.run(command, env=env, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


def test_help_lists_every_command_and_every_exit_code(environment: dict[str, str]) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "kandinsky_client.cli", "--help"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    print(f"kandinsky --help took {time.perf_counter() - start:.3f} s")  # noqa: T201 - to be seen, not asserted
    words = result.stdout.split()
    assert set(COMMANDS) <= set(words)
    assert {"0", "1", "2", "3", "4", "5", "6", "130"} <= set(words)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_documents_its_flags_with_variable_and_default(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: kandinsky {command} ")
    flags = [line.split()[0].rstrip(",") for line in text.splitlines() if line.startswith("  --")]
    for flag in flags:
        assert f"[KANDINSKY_{flag[2:].replace('-', '_').upper()};" in " ".join(text.split())
