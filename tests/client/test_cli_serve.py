"""`kandinsky serve`: which models, which command lines, and what is said before anything is started."""

import importlib.util
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kandinsky_client.cli import serve
from kandinsky_client.cli.failures import UsageError
from kandinsky_client.cli.main import main
from kandinsky_client.cli.serve import ServeFlags
from kandinsky_client.cli.supervisor import Plan


def test_each_server_gets_its_model_and_the_workers_a_port_of_the_systems_choice() -> None:
    given = ServeFlags(port=0, host="0.0.0.0", device="CPU", dtype="float32", drain_seconds=120, log_level="info")  # noqa: S104 - a value
    plan = serve.plan_of(given, "a/prior", "a/decoder")
    worker = "--host 127.0.0.1 --port 0 --log-level info --drain-seconds 120 --device CPU --dtype float32".split()
    assert plan.prior == [sys.executable, "-P", "-m", "prior_server", "--model", "a/prior", *worker]
    assert plan.decoder == [sys.executable, "-P", "-m", "decoder_server", "--model", "a/decoder", *worker]
    public = (
        "--prior 127.0.0.1:1 --decoder 127.0.0.1:2 --host 0.0.0.0 --port 0 --log-level info --drain-seconds 120".split()
    )
    assert plan.gateway("127.0.0.1:1", "127.0.0.1:2") == [sys.executable, "-P", "-m", "gateway", *public]
    assert plan.announcement("127.0.0.1:3").startswith("kandinsky serving on 127.0.0.1:3 ")
    assert plan.stop_seconds > 120


def test_what_is_not_asked_for_is_left_to_the_workers() -> None:
    plan = serve.plan_of(ServeFlags(), "p", "d")
    assert not {"--device", "--dtype"} & {*plan.prior, *plan.decoder}


def test_tls_and_ports_of_the_environment_are_the_gateways_and_workers_are_reached_in_the_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TLS_CERT", "METRICS_PORT", "WORKER_CA", "MAX_PIXELS"):
        monkeypatch.setenv(f"KANDINSKY_{name}", "x")
    plan = serve.plan_of(ServeFlags(), "p", "d")
    workers, gateway = ({name for name in each or () if name.startswith("KANDINSKY_")} for each in environments(plan))
    assert workers == {"KANDINSKY_WORKER_CA", "KANDINSKY_MAX_PIXELS"}
    assert gateway == {"KANDINSKY_TLS_CERT", "KANDINSKY_METRICS_PORT", "KANDINSKY_MAX_PIXELS"}


def environments(plan: Plan) -> tuple[Mapping[str, str] | None, Mapping[str, str] | None]:
    return plan.worker_environment, plan.gateway_environment


def test_models_that_are_asked_for_are_served() -> None:
    assert serve.models_of(ServeFlags(prior_model="p", decoder_model="d")) == ("p", "d")


def test_without_models_the_first_checkpoint_that_is_there_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_BUNDLED", (tmp_path / "missing", tmp_path))
    assert serve.models_of(ServeFlags()) == (str(tmp_path / "prior"), str(tmp_path / "decoder"))


def test_this_repository_has_a_checkpoint_to_serve() -> None:
    assert all((Path(model) / "model_index.json").is_file() for model in serve.models_of(ServeFlags()))


@pytest.mark.parametrize("given", [ServeFlags(prior_model="p"), ServeFlags(decoder_model="d")])
def test_one_model_without_the_other_is_refused(given: ServeFlags) -> None:
    with pytest.raises(UsageError, match="give both"):
        serve.models_of(given)


def test_an_installation_without_a_checkpoint_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_BUNDLED", ())
    with pytest.raises(UsageError, match="no demo checkpoint"):
        serve.models_of(ServeFlags())


def test_without_mindspore_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["serve", "--port", "0"]) == 1
    line = 'kandinsky serve: running models needs MindSpore: pip install "kandinsky-serving[worker]"\n'
    assert capsys.readouterr() == ("", line)


def test_a_port_in_use_is_said_before_models_are_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    line = f"kandinsky serve: cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port\n"
    assert capsys.readouterr() == ("", line)
