"""Logs as JSON lines."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator

import pytest

from serving.logs import configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own, which configure would close
    stream = io.StringIO()
    configure("info", stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_with_its_fields(stream: io.StringIO) -> None:
    logging.getLogger("a.b").info("two\nlines %d", 1, extra={"request_id": "ü", "seconds": 0.123456789, "x": object})
    (line,) = lines(stream)
    assert str(line.pop("time")).endswith("+00:00")
    assert "object" in str(line.pop("x"))
    assert line == {
        "level": "info",
        "logger": "a.b",
        "message": "two\nlines 1",
        "request_id": "ü",
        "seconds": 0.123457,
    }


def test_lower_levels_are_left_out(stream: io.StringIO) -> None:
    logging.getLogger("a").debug("no")
    assert lines(stream) == []


def test_a_traceback_stays_on_its_line(stream: io.StringIO) -> None:
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        logging.getLogger("a").exception("bug")
    (line,) = lines(stream)
    assert "ZeroDivisionError: why" in str(line["traceback"])


def test_warnings_are_logged(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)  # inside the block, which has replaced the hook
        warnings.warn("careful", stacklevel=1)
    assert "careful" in str(lines(stream)[0]["message"])
    assert sys.stderr is not stream
