"""Files that are read again when they change, in all the ways that files are changed."""

import logging
from pathlib import Path

import pytest

from serving.watched import Watched


def number(path: Path) -> Watched[int]:
    return Watched([path], lambda: int(path.read_text()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


def test_a_file_that_stays_is_read_once(file: Path) -> None:
    reads: list[str] = []
    watched = Watched([file], lambda: reads.append(file.read_text()))
    for _ in range(3):
        watched.current()
    assert reads == ["1"]


def test_a_file_written_over_is_read_again(file: Path) -> None:
    watched = number(file)
    file.write_text("22")
    assert watched.current() == 22


def test_a_file_that_another_is_moved_over_is_read_again(file: Path) -> None:
    watched = number(file)
    other = file.with_name("other")
    other.write_text("2")
    other.replace(file)
    assert watched.current() == 2


def test_a_links_new_target_is_read_as_kubernetes_swaps_secrets(tmp_path: Path) -> None:
    for name, text in (("old", "1"), ("new", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "number").write_text(text)
    data = tmp_path / "..data"
    data.symlink_to("old")
    (tmp_path / "number").symlink_to("..data/number")
    watched = number(tmp_path / "number")
    fresh = tmp_path / "..fresh"
    fresh.symlink_to("new")
    fresh.replace(data)
    assert watched.current() == 2


def test_a_bad_version_is_told_once_and_a_good_one_follows_it(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = number(file)
    file.write_text("nothing")
    assert [watched.current(), watched.current()] == [1, 1]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.files == [str(file)]  # type: ignore[attr-defined]
    file.unlink()
    assert watched.current() == 1
    file.write_text("3")
    assert watched.current() == 3


def test_a_version_that_could_not_be_read_is_read_once_it_may_be(file: Path) -> None:
    def read() -> int:
        if not file.stat().st_mode & 0o004:  # as for another user than the one who wrote it; root may always
            raise PermissionError(13, "Permission denied", str(file))
        return int(file.read_text())

    file.chmod(0o644)
    watched = Watched([file], read)
    file.write_text("2")
    file.chmod(0o600)
    assert watched.current() == 1
    file.chmod(0o644)
    assert watched.current() == 2


@pytest.mark.parametrize("text", [None, "nothing"])
def test_a_first_version_has_to_be_good(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "number"
    if text is not None:
        path.write_text(text)
    with pytest.raises((OSError, ValueError)):
        number(path)
