"""A worker's start is told in one line, whose phases add up."""

import logging

import pytest

from worker.startup import StartUp


def test_the_phases_of_a_start_add_up(caplog: pytest.LogCaptureFixture) -> None:
    startup = StartUp()
    startup.loaded(operators_seconds=0.125)
    with caplog.at_level(logging.INFO, "worker.startup"):
        startup.ready(compile_seconds=0.0, first_run_seconds=0.0, graphs=3, graphs_found=2)
    (record,) = caplog.records
    names = ("import", "operators", "read", "compile", "first_run", "warm_up")
    phases = [record.__dict__[f"{name}_seconds"] for name in names]
    assert sum(phases) == pytest.approx(record.__dict__["seconds"])
    # It had no time to wait so long, so reading seems to have taken less than nothing.
    assert record.__dict__["operators_seconds"] == 0.125
    assert record.__dict__["read_seconds"] == pytest.approx(-0.125, abs=0.1)
    assert record.__dict__["import_seconds"] > 0.0
    assert (record.__dict__["graphs"], record.__dict__["graphs_found"]) == (3, 2)
