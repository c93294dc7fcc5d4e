"""The conformance cases against one live server: both Python clients and the Go client see the same."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kandinsky_client import AsyncClient, Client
from tests.conformance.cases import contains, read_cases
from tests.conformance.outcomes import Outcome, outcomes, refusal
from tests.end_to_end.processes import server

GO_CLIENT = Path(__file__).parents[2] / "clients/go"
CASES = {case.name: case for case in read_cases()}
REFUSED = [name for name, case in CASES.items() if not case.expect.get("error", {"sent": True})["sent"]]
# Where there is no Go, its client is not compared; in CI that is an error.
CLIENTS = ["Client", "AsyncClient"] + ["Go"] * (shutil.which("go") is not None or os.environ.get("CI") == "true")

Seen = dict[str, dict[str, Outcome]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The demo checkpoint, served as anybody serves it."""
    with server(["kandinsky_client.cli", "serve", "--port", "0"]) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def seen(address: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The outcomes, by client and case."""
    cases = list(CASES.values())
    by_client = {kind.__name__: outcomes(kind, address, cases) for kind in (Client, AsyncClient)}
    if "Go" in CLIENTS:
        by_client["Go"] = outcomes_of_go(address, tmp_path_factory.mktemp("go") / "outcomes.json")
    return by_client


def outcomes_of_go(address: str, file: Path) -> Any:
    command = ["go", "test", "-count=1", "-run", "TestConformance", "./live"]
    settings = {"KANDINSKY_SERVER": address, "KANDINSKY_OUTCOMES": str(file)}
    finished = subprocess.run(command, cwd=GO_CLIENT, env=os.environ | settings, capture_output=True, text=True)
    assert file.exists(), finished.stdout + finished.stderr
    return json.loads(file.read_text())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_makes_of_a_case_what_is_expected(client: str, name: str, seen: Seen) -> None:
    case, outcome = CASES[name], seen[client][name]
    assert contains(outcome, case.expect), outcome
    if case.same_pictures_as is not None:
        assert outcome["pictures"] == seen[client][case.same_pictures_as]["pictures"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("client", CLIENTS[1:])
def test_all_clients_see_the_same_down_to_the_bytes(client: str, name: str, seen: Seen) -> None:
    assert seen[client][name] == seen[CLIENTS[0]][name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_client_refuses_the_server_refuses_in_the_same_words(name: str, address: str, seen: Seen) -> None:
    told = refusal(address, CASES[name], {"embeddings": {}})
    assert told == seen["Client"][name]["error"] | {"sent": True}


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(CASES) == len(read_cases())
