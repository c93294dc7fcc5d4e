"""What `make lint` says of a contract that breaks an earlier one, and of a page that is stale."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_breaking

ROOT = Path(__file__).resolve().parent.parent
COMMENT = "  // Which image of the request, from 0.\n"
FIELD = f"{COMMENT}  uint32 image_index = 1;\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "protos/imagegen/v1/decoder.proto"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with one commit, the contract."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "the contract")
    return tmp_path


def test_a_field_that_is_gone_is_told(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change(clone, FIELD, "")
    assert check_breaking.main(clone) != 0
    assert 'field "1" with name "image_index" on message' in capfd.readouterr().out


def test_it_is_still_told_once_it_is_committed_and_others_follow(clone: Path) -> None:
    change(clone, FIELD, "")
    git(clone, "commit", "--quiet", "--all", "--message", "a breaking change")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "something else")
    assert check_breaking.main(clone) != 0


def test_a_tag_is_what_clients_have(clone: Path) -> None:
    change(clone, FIELD, "")
    git(clone, "commit", "--quiet", "--all", "--message", "a breaking change")
    git(clone, "tag", "v2")
    assert check_breaking.main(clone) == 0


def test_a_new_field_breaks_nobody(clone: Path) -> None:
    change(clone, FIELD, f"{FIELD}  // Something new.\n  uint32 novelty = 99;\n")
    assert check_breaking.main(clone) == 0


def test_the_first_contract_has_nothing_to_break(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_breaking.main(clone) == 0
    assert capsys.readouterr().err.startswith("no earlier contract")


def test_the_page_of_the_api_is_what_the_protos_say() -> None:
    command = [sys.executable, str(ROOT / "scripts/generate_api_docs.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
