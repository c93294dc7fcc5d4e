"""`kandinsky encode-prompt`, `interpolate`, `info` and `cancel` against the fake gateway."""

from pathlib import Path

import grpc
import pytest

from imagegen.v1 import common_pb2, gateway_pb2
from kandinsky_client import Embeddings
from kandinsky_client.cli import busy
from kandinsky_client.cli.failures import UsageError
from kandinsky_client.cli.interpolate import Ingredient, parse_ingredients, weights_of
from kandinsky_client.cli.main import main
from tests.client.fake_service import FakeImageService, failure, picture_file, prior_info


def test_encode_prompt_sends_all_its_flags_and_keeps_the_embeddings(
    service: FakeImageService, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "e.bin"
    flags = "--negative-prompt= --prior-steps 5 --prior-guidance-scale 0 --seed 0 --num-embeddings 2 --request-id r"
    assert main(["encode-prompt", "--server", server, "--prompt", "p", "--out", str(out), *flags.split()]) == 0
    assert service.requests == [
        gateway_pb2.EncodePromptRequest(
            request_id="r",
            prompt="p",
            negative_prompt="",
            num_embeddings=2,
            params={"num_inference_steps": 5, "guidance_scale": 0.0, "seed": 0},
        )
    ]
    assert Embeddings.load(out).message == service.embeddings
    assert capsys.readouterr().out == f"{out}  seed 0\n"


def test_interpolate_mixes_texts_and_pictures_in_their_order(
    service: FakeImageService, server: str, tmp_path: Path
) -> None:
    image = tmp_path / "p.png"
    image.write_bytes(picture_file())
    out = tmp_path / "mix.bin"
    mix = ["--text", "a cat", "--weight", "0.7", "--image", str(image), "--weight", "0", "--text", "c", "--weight=-1"]
    others = ["--negative-prompt", "n", "--negative-prior-prompt", "", "--seed", "0"]
    assert main(["interpolate", "--server", server, "--out", str(out), *mix, *others]) == 0
    assert service.requests == [
        gateway_pb2.InterpolateRequest(
            items=[
                {"text": "a cat", "weight": 0.7},
                {"image": picture_file(), "weight": 0.0},
                {"text": "c", "weight": -1.0},
            ],
            negative_prompt="n",
            negative_prior_prompt="",
            params={"seed": 0},
        )
    ]
    assert Embeddings.load(out).message == service.embeddings


def test_ingredients_are_taken_out_of_the_other_arguments() -> None:
    ingredients, rest = parse_ingredients(["--seed", "1", "--text", "a", "--out", "b", "--image", "c"])
    assert ingredients == [Ingredient("--text", "a"), Ingredient("--image", "c")]
    assert rest == ["--seed", "1", "--out", "b"]
    assert weights_of(ingredients) is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--weight", "1", "--text", "a"], "--weight: must follow the --text or --image"),
        (["--text", "a", "--weight", "1", "--weight", "2"], "--weight: must follow the --text or --image"),
        (["--text", "a", "--weight", "heavy"], "--weight: 'heavy' is not a number"),
        (["--text"], "--text: expected one argument"),
        ([], "--text or --image: give at least one"),
        (["--text", "a", "--text", "b", "--weight", "1"], "--weight: give one after each"),
    ],
)
def test_a_mix_that_means_nothing_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        weights_of(parse_ingredients(argv)[0])


def test_info_tells_models_defaults_and_workers(
    service: FakeImageService, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.server_info.prior.CopyFrom(prior_info())
    service.server_info.estimated_wait_seconds = 2.0
    text = common_pb2.CacheStatus(name="text", entries=1, limit_bytes=2**20)
    status = common_pb2.WorkerStatus(running_rows=3, queued_rows=1, queued_work_seconds=4.5, caches=[text])
    service.server_info.workers.add(tier="TIER_PRIOR", address="127.0.0.1:7", state="WORKER_STATE_READY", status=status)
    service.server_info.workers.add(tier="TIER_DECODER", address="127.0.0.1:8", state="WORKER_STATE_UNREACHABLE")
    service.server_info.caches.add(name="embeddings", entries=5, hits=6, misses=7, size_bytes=2**21, limit_bytes=2**29)
    assert main(["info", "--server", server]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "server      version 0.1.0, a new request waits about 2.0 s",
        "prior       a/prior@abc, float32 on CPU, digest 0123456789ab",
        "  defaults  25 steps, guidance scale 4",
        "  limits    1000 steps, 8 embeddings, 16 items to mix, 0 tokens of a prompt are seen",
        "TIER     WORKER       STATE        RUNNING  QUEUED  WORK",
        "prior    127.0.0.1:7  ready        3        1       4.5 s",
        "decoder  127.0.0.1:8  unreachable",
        "CACHE       OF           ENTRIES  FILLED          HITS",
        "embeddings  gateway      5        2.0 of 512 MiB  6 of 13 (46%)",
        "text        127.0.0.1:7  1        0.0 of 1 MiB    0 of 0",
    ]


def test_info_is_shown_again_and_again_until_ctrl_c_also_when_the_server_is_away(
    service: FakeImageService, server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.server_info.workers.add(tier="TIER_PRIOR", address="127.0.0.1:7", state="WORKER_STATE_READY")
    service.failures += [failure(grpc.StatusCode.PERMISSION_DENIED, "not you")]
    pauses = iter([None, KeyboardInterrupt])

    def pause(seconds: float) -> None:
        end = next(pauses)
        if end is not None:
            raise end

    monkeypatch.setattr(busy.time, "sleep", pause)
    assert main(["info", "--watch", "--server", server]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "not you",
        f"{server}: a new request waits about 0.0 s",
        "TIER   WORKER       STATE  RUNNING  QUEUED  WORK",
        "prior  127.0.0.1:7  ready",
        "",
    ]


def test_info_of_a_decoder_tells_sizes(
    service: FakeImageService, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = service.server_info.decoder.defaults
    defaults.width, defaults.height, defaults.strength, defaults.num_inference_steps = 512, 512, 0.3, 100
    assert main(["info", "--server", server]) == 0
    assert "  defaults  512×512, 100 steps, strength 0.3, guidance scale 0" in capsys.readouterr().out


def test_cancel_says_where_the_request_was(
    service: FakeImageService, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cancel", "r1", "--server", server]) == 0
    assert capsys.readouterr().out == "r1: cancelled while denoising\n"
    assert service.requests == [gateway_pb2.CancelRequest(request_id="r1")]


def test_cancel_of_an_unknown_request_is_exit_code_1(
    service: FakeImageService, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.cancel_answer = gateway_pb2.CancelResponse()
    assert main(["cancel", "--request-id", "r9", "--server", server]) == 1
    assert capsys.readouterr().out == "r9: no such request is waiting or running\n"
