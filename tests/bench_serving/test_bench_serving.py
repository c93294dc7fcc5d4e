"""What bench-serving computes without its peers and without servers: loads, groups, figures, the result."""

import asyncio
import io
import itertools
import os
from dataclasses import replace

import pytest
from PIL import Image

from benchmarks.alone import Alone
from benchmarks.batching.figures import Figures
from benchmarks.serving import loads
from benchmarks.serving.comparing import levels_apart
from benchmarks.serving.grouping import by_side, compiled_size
from benchmarks.serving.job import Job, job
from benchmarks.serving.load import Outcome, replay
from benchmarks.serving.measuring import summed_up
from benchmarks.serving.memory import pss_bytes
from benchmarks.serving.report import Row, result_lines
from benchmarks.serving.settings import Settings
from serving.batching.work import Shape

SETTINGS = Settings("demo/checkpoint", (64, 128), (1, 2, 4))
ALONE = Alone({Shape(64, 64): (0.2, 0.01), Shape(128, 128): (0.3, 0.04)})


def jobs(*sides_px: int) -> list[Job]:
    return [job(number, side_px, 25, 0.5, b"picture") for number, side_px in enumerate(sides_px)]


def picture(red: int, side_px: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (red, 0, 0)).save(file, "PNG")
    return file.getvalue()


def row(throughput: float, p95_seconds: float, errors: int = 0) -> Row:
    crowd = Figures(throughput, 1.0, 1.0, 1.0, 1.0, 1.0)
    return Row(replace(crowd, p95_seconds=p95_seconds), crowd, errors, 2**20, 1.0, 0)


def test_a_job_survives_the_wire() -> None:
    (sent,) = jobs(64)
    assert Job.from_json(sent.to_json()) == sent
    assert sent.image == b"picture"


def test_settings_survive_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment() == SETTINGS


def test_a_batch_is_grouped_by_size_in_order() -> None:
    assert by_side(jobs(128, 64, 128, 64, 64), largest=4) == [[0, 2], [1, 3, 4]]
    assert by_side(jobs(64, 64, 64, 64, 64), largest=4) == [[0, 1, 2, 3], [4]]
    assert by_side([], largest=4) == []


def test_a_group_is_filled_up_to_a_compiled_batch() -> None:
    assert [compiled_size(count, (1, 2, 4)) for count in (1, 2, 3, 4)] == [1, 2, 4, 4]


def test_time_alone_is_a_line_in_the_steps_through_medians_without_the_cold_round() -> None:
    side = Shape(64, 64)
    alone = Alone.from_rounds({side: ([9.0, 0.24, 0.25, 0.95], [9.0, 0.65, 0.6, 0.7])})  # with 5 and with 45 steps
    assert alone.seconds[side] == pytest.approx((0.2, 0.01))


def test_the_mixed_trace_has_the_load_and_no_prompt_comes_twice() -> None:
    mixed = loads.mixed_trace(SETTINGS, 2000, ALONE, seed=0, image=b"picture")
    crowd = loads.crowd(SETTINGS, 50, ALONE, seed=0, image=b"picture")
    warm_up = loads.warm_up(SETTINGS, b"picture")
    every = [*mixed.jobs, *crowd.jobs, *itertools.chain(*warm_up)]
    assert len({each.prompt for each in every}) == len({each.seed for each in every}) == len(every)
    assert sum(mixed.alone_seconds) / mixed.arrival_seconds[-1] == pytest.approx(loads.LOAD, rel=0.1)
    assert set(crowd.arrival_seconds) == {0.0}
    assert {each.side_px for each in mixed.jobs} == {64, 128}
    assert all(len({each.side_px for each in batch}) == 1 and len(batch) == 4 for batch in warm_up)


async def test_requests_are_sent_at_their_times_and_errors_are_results() -> None:
    async def make(each: Job) -> bytes:
        await asyncio.sleep(0.01)
        if each.seed == 1:
            raise RuntimeError("full")
        return b"made"

    first, second = await replay(jobs(64, 64), [0.0, 0.05], make)
    assert (first.picture, first.error) == (b"made", "")
    assert (second.picture, second.error) == (None, "RuntimeError: full")
    assert 0.01 <= first.done_seconds <= second.done_seconds
    assert second.done_seconds >= 0.06


def test_figures_are_of_the_requests_that_got_a_picture() -> None:
    load = loads.Load(jobs(64, 64, 64), [0.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    outcomes = [Outcome(0.0, 2.0, b"made"), Outcome(1.0, 1.1, None, "full"), Outcome(2.0, 4.0, b"made")]
    figures, errors = summed_up(outcomes, load)
    assert errors == 1
    assert figures.throughput == pytest.approx(0.5)
    assert figures.mean_seconds == pytest.approx(2.0)
    with pytest.raises(RuntimeError, match="not one picture; the first error: full"):
        summed_up([outcomes[1]], loads.Load(jobs(64), [1.0], [1.0]))


def test_pictures_are_compared_channel_by_channel_where_both_sides_have_one() -> None:
    ours = [Outcome(0.0, 1.0, picture(10)), Outcome(0.0, 1.0, picture(10)), Outcome(0.0, 1.0, None, "full")]
    theirs = [Outcome(0.0, 1.0, picture(11)), Outcome(0.0, 1.0, picture(7)), Outcome(0.0, 1.0, picture(99))]
    assert levels_apart(ours, theirs) == 3
    assert levels_apart(ours, ours) == 0
    with pytest.raises(RuntimeError, match="no two pictures"):
        levels_apart(ours[2:], theirs[2:])
    with pytest.raises(RuntimeError, match="has shape"):
        levels_apart(ours[:1], [Outcome(0.0, 1.0, picture(10, side_px=16))])


def test_the_result_is_against_the_best_peer_of_each_figure_that_lost_nothing() -> None:
    rows = {"ours": row(2.0, 3.0), "a": row(1.6, 9.0), "b": row(1.0, 6.0), "c": row(9.0, 0.1, errors=5)}
    assert result_lines(rows, "ours") == [
        "best peers: a (throughput), b (p95); of a, b",
        "RESULT bench-serving throughput_vs_best_peer=1.250 p95_vs_best_peer=0.500",
    ]
    with pytest.raises(RuntimeError, match="no peer"):
        result_lines({"ours": row(2.0, 3.0), "c": row(9.0, 0.1, errors=5)}, "ours")


def test_memory_is_of_processes_that_run() -> None:
    assert pss_bytes([os.getpid()]) > 2**20
    assert pss_bytes([2**22 + 1]) == 0  # above the largest number of a process
