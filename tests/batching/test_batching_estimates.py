"""What the work in a table comes to, and what can be promised."""

import math

import pytest

from serving.batching.curve import Curve
from serving.batching.estimates import (
    Ahead,
    ahead_of,
    queued_work_seconds,
    remaining_seconds,
    unreachable_after_seconds,
)
from serving.batching.limits import Limits
from serving.batching.table import Table
from serving.batching.work import Row, Stage
from tests.batching.builders import FLAT, KINKED, LARGE, LIMITS, LINEAR, rows_of, run, table_of


def refused_after(table: Table, rows: list[Row], now: float = 0.0, curve: Curve = LINEAR) -> float | None:
    return unreachable_after_seconds(table.add(rows), rows[0].request.request_id, curve, LIMITS, now)


def test_remaining_work_is_encoding_steps_and_decoding() -> None:
    table = table_of(rows_of("a", 10, stage=Stage.ENCODE, images=2))
    assert remaining_seconds(table, "a", LINEAR, LIMITS) == pytest.approx(1.5 + 2 * 10 + 2 * 0.5)


def test_queued_work_is_the_sum_where_company_saves_nothing() -> None:
    table = table_of(rows_of("a", 10), rows_of("b", 20, stage=Stage.ENCODE, images=2))
    assert queued_work_seconds(table, LINEAR, LIMITS) == pytest.approx(10.5 + 1.5 + 2 * 20.5)


def test_queued_work_allows_for_company_where_it_pays() -> None:
    table = table_of(*(rows_of(f"r{index}", 10) for index in range(8)))
    assert queued_work_seconds(table, FLAT, LIMITS) == pytest.approx(10 * (0.6 + 0.4 * 8) + 8 * 0.5)
    assert max(run(table, FLAT).values()) == pytest.approx(queued_work_seconds(table, FLAT, LIMITS), rel=0.2)


def test_queued_work_includes_padding() -> None:
    table = table_of(*(rows_of(f"r{index}", 10) for index in range(3)))
    assert queued_work_seconds(table, KINKED, LIMITS) == pytest.approx(10 * 1.0 + 3 * 0.5)


def test_there_is_no_queued_work_in_an_empty_table() -> None:
    assert queued_work_seconds(Table(), LINEAR, LIMITS) == 0.0


def test_a_lone_request_waits_for_nobody() -> None:
    assert ahead_of(table_of(rows_of("a", 10)), "a", LINEAR, LIMITS, 0.0) == Ahead(0, 0.0)


def test_a_request_waits_for_those_before_it() -> None:
    table = table_of(rows_of("a", 10), rows_of("b", 20), rows_of("c", 30))
    assert ahead_of(table, "c", LINEAR, LIMITS, 0.0) == Ahead(2, 31.0)
    assert ahead_of(table, "a", LINEAR, LIMITS, 0.0).requests == 0


def test_a_short_newcomer_does_not_wait_for_those_that_it_will_overtake() -> None:
    table = table_of(rows_of("long", 100, arrival=0.0), rows_of("short", 5, arrival=50.0))
    assert ahead_of(table, "short", LINEAR, LIMITS, 50.0).requests == 0


def test_a_request_does_not_wait_where_there_is_room_in_the_batch() -> None:
    table = table_of(rows_of("a", 20), rows_of("z", 30))
    assert ahead_of(table, "z", FLAT, LIMITS, 0.0) == Ahead(1, 0.0)


def test_a_request_waits_until_there_is_room_in_the_batch() -> None:
    crowd = [rows_of(f"r{index:02}", 10 + index) for index in range(16)]
    table = table_of(*crowd, rows_of("z", 40))
    estimate = ahead_of(table, "z", FLAT, LIMITS, 0.0).seconds
    begins = run(table, FLAT)["r08"]
    assert estimate == pytest.approx(begins, rel=0.3)


def test_work_of_another_shape_that_goes_first_is_waited_for() -> None:
    table = table_of(rows_of("large", 5, shape=LARGE), rows_of("a", 40))
    assert ahead_of(table, "a", LINEAR, LIMITS, 0.0).seconds == pytest.approx(4 * 5.5)


def test_a_request_without_deadline_is_never_refused() -> None:
    assert refused_after(table_of(rows_of("a", 10_000)), rows_of("b", 10)) is None


def test_a_deadline_shorter_than_the_work_is_refused() -> None:
    assert refused_after(Table(), rows_of("a", 10, deadline=10.0)) == pytest.approx(10.5)
    assert refused_after(Table(), rows_of("a", 10, deadline=11.0)) is None


def test_a_deadline_goes_before_work_that_has_none() -> None:
    assert refused_after(table_of(rows_of("long", 1000)), rows_of("a", 10, deadline=12.0)) is None


def test_a_deadline_behind_earlier_deadlines_is_refused_when_they_leave_no_time() -> None:
    table = table_of(rows_of("a", 10, deadline=15.0))
    assert refused_after(table, rows_of("b", 10, deadline=20.0)) == pytest.approx(21.0)
    assert refused_after(table, rows_of("b", 10, deadline=22.0)) is None


def test_deadlines_allow_for_company_where_it_pays() -> None:
    table = table_of(*(rows_of(f"r{index}", 10, deadline=60.0) for index in range(7)))
    last = rows_of("z", 10, deadline=60.0)
    assert refused_after(table, last, curve=FLAT) is None
    assert refused_after(table, last, curve=LINEAR) == pytest.approx(8 * 10.5)


def test_deadlines_that_leave_no_time_for_company_are_counted_without() -> None:
    table = table_of(rows_of("a", 10, deadline=12.0))
    assert refused_after(table, rows_of("b", 10, deadline=14.0), curve=FLAT) == pytest.approx(2 * 10.5)


def test_a_deadline_that_was_promised_is_not_broken_for_a_new_one() -> None:
    table = table_of(rows_of("a", 10, deadline=15.0))
    assert refused_after(table, rows_of("b", 5, deadline=6.0)) == pytest.approx(16.0)
    assert refused_after(table, rows_of("b", 3, deadline=6.0)) is None


def test_of_equal_deadlines_the_one_that_was_promised_first_counts() -> None:
    table = table_of(rows_of("z", 10, deadline=20.0))
    assert refused_after(table, rows_of("a", 10, arrival=1.0, deadline=20.0), now=1.0) == pytest.approx(21.0)


def test_a_deadline_that_is_lost_anyway_stands_in_nobodys_way() -> None:
    table = table_of(rows_of("lost", 100, deadline=15.0))
    assert refused_after(table, rows_of("b", 5, deadline=6.0)) is None


def test_a_deadline_that_others_have_broken_already_stands_in_nobodys_way() -> None:
    table = table_of(rows_of("first", 20, deadline=30.0), rows_of("second", 20, deadline=40.0))
    assert refused_after(table, rows_of("b", 5, deadline=6.0)) is None


def test_a_deadline_is_not_promised_before_requests_that_have_waited_long() -> None:
    table = table_of(rows_of("old", 10))
    now = Limits().patience * 10.5 + 1
    assert refused_after(table, rows_of("b", 10, arrival=now, deadline=now + 20), now) == pytest.approx(21.0)


def test_promises_are_kept_if_nothing_else_comes() -> None:
    table, promised = table_of(*(rows_of(f"plain{index}", 15) for index in range(4))), {}
    for index in range(12):
        rows = rows_of(f"r{index}", 3 + 7 * index % 20, deadline=15.0 + 11 * index % 160)
        if refused_after(table, rows) is None:
            table = table.add(rows)
            promised[f"r{index}"] = rows[0].request.deadline_seconds
    done = run(table, LINEAR)
    assert len(promised) > 4
    assert {name: done[name] for name, deadline in promised.items() if done[name] > deadline} == {}
    assert math.inf not in promised.values()
