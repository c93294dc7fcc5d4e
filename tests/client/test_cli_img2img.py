"""`kandinsky img2img` against the fake gateway: files, seeds, warnings, and each flag in its field."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.v1 import common_pb2, decoder_pb2
from kandinsky_client import Embeddings
from kandinsky_client.cli.main import main
from tests.client.fake_service import FakeImageService, picture_file, progress

FIELDS = [
    ("--negative-prompt", "", "negative_prompt", ""),
    ("--request-id", "mine", "request_id", "mine"),
    ("--width", "96", "params.width", 96),
    ("--height", "64", "params.height", 64),
    ("--steps", "10", "params.num_inference_steps", 10),
    ("--strength", "0.29", "params.strength", 0.29),
    ("--guidance-scale", "0", "params.guidance_scale", 0.0),
    ("--seed", "0", "params.seed", 0),
    ("--num-images", "3", "params.num_images", 3),
    ("--scheduler", "ddpm", "params.scheduler", decoder_pb2.SCHEDULER_TYPE_DDPM),
    ("--resize-mode", "crop", "params.resize_mode", decoder_pb2.RESIZE_MODE_CROP),
    ("--prior-steps", "5", "prior.num_inference_steps", 5),
    ("--prior-guidance-scale", "0", "prior.guidance_scale", 0.0),
    ("--prior-seed", "0", "prior.seed", 0),
]


class Command:
    """`kandinsky img2img` with what it cannot do without."""

    def __init__(self, folder: Path, server: str) -> None:
        self.image = folder / "sketch.png"
        self.image.write_bytes(picture_file("blue", 20, 10))
        self.out = folder / "out.png"
        self.flags = {"--server": server, "--prompt": "a red circle", "--image": self.image, "--out": self.out}

    def argv(self, *more: str | Path, **changed: str | Path) -> list[str]:
        flags = self.flags | {f"--{name}": value for name, value in changed.items()}
        return ["img2img", *(str(part) for flag in flags.items() for part in flag), *(str(part) for part in more)]

    def __call__(self, *more: str | Path, **changed: str | Path) -> int:
        return main(self.argv(*more, **changed))


@pytest.fixture
def img2img(tmp_path: Path, server: str) -> Command:
    return Command(tmp_path, server)


def value_at(message: Any, path: str) -> Any:
    *parents, name = path.split(".")
    for parent in parents:
        assert message.HasField(parent)
        message = getattr(message, parent)
    assert not message.DESCRIPTOR.fields_by_name[name].has_presence or message.HasField(name)
    return getattr(message, name)


def test_the_result_is_written_and_its_seed_printed(img2img: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert img2img() == 0
    assert img2img.out.read_bytes() == picture_file("red", 64, 48)
    printed = capsys.readouterr()
    assert printed.out == f"{img2img.out}  seed 1234\n"
    assert printed.err.endswith("3.5 s: 0.0 queued, 0.0 encoding, 2.0 denoising (4 steps), 0.0 decoding\n")


def test_prompt_and_picture_are_sent_and_nothing_else(img2img: Command, service: FakeImageService) -> None:
    img2img()
    request = service.requests[0].request
    assert (request.prompt, request.image) == ("a red circle", picture_file("blue", 20, 10))
    only_format = decoder_pb2.Img2ImgParams(output_format=decoder_pb2.IMAGE_FORMAT_PNG)
    assert (request.params, request.HasField("prior")) == (only_format, False)


@pytest.mark.parametrize(("flag", "text", "field", "sent"), FIELDS, ids=lambda value: str(value))
def test_each_flag_fills_its_field_even_with_a_zero(
    img2img: Command, service: FakeImageService, flag: str, text: str, field: str, sent: Any
) -> None:
    assert img2img(flag, text) == 0
    assert value_at(service.requests[0].request, field) == sent


def test_a_flag_may_come_from_the_environment(
    img2img: Command, service: FakeImageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANDINSKY_SEED", "7")
    monkeypatch.setenv("KANDINSKY_STEPS", "9")
    img2img("--steps", "10")
    params = service.requests[0].request.params
    assert (params.seed, params.num_inference_steps) == (7, 10)


def test_several_images_get_numbered_files_each_with_its_own_seed(
    img2img: Command, service: FakeImageService, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service.num_results = 2
    img2img("--num-images", "2", "--seed", "0")
    files = [tmp_path / "out-0.png", tmp_path / "out-1.png"]
    assert all(file.read_bytes() == picture_file("red", 64, 48) for file in files)
    assert capsys.readouterr().out == f"{files[0]}  seed 0\n{files[1]}  seed 1\n"
    assert not img2img.out.exists()


@pytest.mark.parametrize(
    ("name", "sent"),
    [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")],
)
def test_the_name_of_the_result_decides_its_format(
    img2img: Command, service: FakeImageService, tmp_path: Path, name: str, sent: str
) -> None:
    img2img(out=tmp_path / name)
    assert service.requests[0].request.params.output_format == decoder_pb2.ImageFormat.Value(f"IMAGE_FORMAT_{sent}")


@pytest.mark.parametrize(
    ("changed", "more", "line"),
    [
        ({"out": "a.gif"}, [], "--out: a.gif must end with .png, .jpg, .jpeg, .webp"),
        ({"out": "a.png"}, ["--format", "webp"], "--out: a.png is the name of a png file, but --format is webp"),
        ({"out": "no/a.png"}, [], "--out: the folder no does not exist"),
        ({}, ["--grid", "no/a.png"], "--grid: the folder no does not exist"),
        ({}, ["--grid", "a.txt"], "--grid: a.txt must end with .png, .jpg, .jpeg, .webp"),
        ({"image": "no.png"}, [], "--image: no.png: No such file or directory"),
        ({}, ["--embeddings", "no.bin"], "--embeddings: no.bin: No such file or directory"),
        ({}, ["--embeddings", __file__], f"--embeddings: {__file__}: not saved embeddings"),
    ],
)
def test_what_cannot_work_is_said_in_a_line_before_anything_is_sent(
    img2img: Command,
    service: FakeImageService,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    more: list[str],
    line: str,
) -> None:
    assert img2img(*more, **changed) == 2
    assert capsys.readouterr().err == f"kandinsky img2img: {line}\n"
    assert service.requests == []


def test_the_grid_shows_original_and_results_side_by_side_at_the_results_size(
    img2img: Command, service: FakeImageService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.num_results = 2
    grid = tmp_path / "grid.png"
    assert img2img("--grid", grid, "--width", "40", "--height", "30") == 0
    picture = Image.open(grid)
    assert picture.size == (120, 30)
    assert [picture.getpixel((x, 15)) for x in (20, 60, 100)] == [(0, 0, 255), (255, 0, 0), (255, 0, 0)]
    assert f"{grid}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mode", "corner"), [("stretch", (0, 128, 0)), ("crop", (0, 0, 255)), ("fit", (255, 255, 255))]
)
def test_the_grid_shows_the_original_as_the_server_fitted_it(
    img2img: Command, tmp_path: Path, mode: str, corner: tuple[int, int, int]
) -> None:
    grid = tmp_path / "grid.png"
    original = Image.new("RGB", (200, 100), "blue")
    original.paste("green", (0, 0, 25, 100))  # a crop to a square cuts it off
    original.save(img2img.image)
    img2img("--grid", grid, "--width", "40", "--height", "40", "--resize-mode", mode)
    picture = Image.open(grid)
    assert (picture.size, picture.getpixel((0, 0))) == ((80, 40), corner)


def test_saved_embeddings_are_sent(img2img: Command, service: FakeImageService, tmp_path: Path) -> None:
    path = tmp_path / "e.bin"
    Embeddings(service.embeddings).save(path)
    assert img2img("--embeddings", path) == 0
    assert service.requests[0].request.embeddings == service.embeddings


def test_what_the_encoders_did_not_see_is_a_warning(
    img2img: Command, service: FakeImageService, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("and a cat", "cat " * 100):
        cut = common_pb2.Truncation(tier="TIER_PRIOR", field="negative_prompt", removed_text=text)
        service.receipt.truncations.append(cut)
    img2img()
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    said = "warning: --negative-prompt is too long for the prior's text encoder, which did not see: "
    assert warnings == [f"{said}'and a cat'", f"{said}'{'cat ' * 24}…'"]


def test_off_a_terminal_progress_is_a_few_plain_lines(
    img2img: Command, service: FakeImageService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.news = [progress(step, 100) for step in range(1, 101)]
    img2img()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[0] for line in lines[:-1]] == [f"{10 * tenth}/100" for tenth in range(1, 11)]


def test_a_preview_is_not_asked_for(img2img: Command, service: FakeImageService) -> None:
    img2img()
    assert service.requests[0].preview_every_steps == 0


def test_ctrl_c_cancels_the_request_and_exits_with_130(
    img2img: Command, service: FakeImageService, environment: dict[str, str]
) -> None:
    service.holds = True
    command = [sys.executable, "-m", "kandinsky_client.cli", *img2img.argv()]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert service.held.wait(30)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.endswith("kandinsky img2img: interrupted\n")
    assert "Traceback" not in errors
    assert service.left.wait(30)


def test_the_time_limit_is_that_of_the_call(img2img: Command, service: FakeImageService) -> None:
    service.holds = True
    assert img2img("--timeout-seconds", "0.2") == 5
