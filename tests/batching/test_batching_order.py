"""Whose turn it is: each rule with a table made for it."""

import pytest

from serving.batching.costs import Costs
from serving.batching.limits import Limits
from serving.batching.order import in_turn
from serving.batching.table import Table
from serving.batching.work import Priority
from tests.batching.builders import LIMITS, LINEAR, rows_of, run, table_of


def line(table: Table, now: float = 0.0, limits: Limits = LIMITS) -> list[str]:
    return [turn.request.request_id for turn in in_turn(table, Costs(LINEAR, limits), limits, now)]


def test_the_request_with_the_least_remaining_work_is_first() -> None:
    assert line(table_of(rows_of("long", 50), rows_of("short", 5), rows_of("middle", 20))) == [
        "short",
        "middle",
        "long",
    ]


def test_all_images_of_a_request_count_as_its_work() -> None:
    assert line(table_of(rows_of("four", 10, images=4), rows_of("one", 20))) == ["one", "four"]


def test_a_long_request_that_has_waited_goes_before_a_short_one_that_has_not() -> None:
    table = table_of(rows_of("long", 50), rows_of("short", 20, arrival=200.0))
    assert line(table, now=200.0) == ["long", "short"]
    assert line(table, now=200.0, limits=Limits(ageing=0.0)) == ["short", "long"]


def test_equals_go_by_arrival_and_then_by_id() -> None:
    assert line(table_of(rows_of("c", 5), rows_of("b", 5), rows_of("a", 5))) == ["a", "b", "c"]
    late = table_of(rows_of("a", 5, arrival=1.0), rows_of("b", 5, arrival=0.0))
    assert line(late, now=1.0, limits=Limits(ageing=0.0)) == ["b", "a"]


def test_a_deadline_far_away_changes_nothing() -> None:
    assert line(table_of(rows_of("long", 50, deadline=500.0), rows_of("short", 5))) == ["short", "long"]


def test_a_deadline_in_danger_goes_first() -> None:
    assert line(table_of(rows_of("long", 50, deadline=60.0), rows_of("short", 5))) == ["long", "short"]


def test_deadlines_that_are_in_danger_only_together_go_earliest_first() -> None:
    table = table_of(rows_of("b", 30, deadline=80.0), rows_of("a", 40, deadline=79.0), rows_of("short", 5))
    assert line(table) == ["a", "b", "short"]
    assert line(table.remove("a")) == ["short", "b"]


def test_a_deadline_that_cannot_be_met_has_no_claim_to_haste() -> None:
    table = table_of(rows_of("lost", 50, deadline=20.0), rows_of("other", 15, deadline=20.0), rows_of("short", 5))
    assert line(table) == ["other", "short", "lost"]


def test_whoever_has_waited_long_for_its_work_goes_before_deadlines() -> None:
    waiting = table_of(rows_of("old", 10))
    late_from = LIMITS.patience * 10.5
    before, after = late_from - 1, late_from + 1
    urgent = waiting.add(rows_of("urgent", 20, arrival=before, deadline=before + 22))
    assert line(urgent, now=before) == ["urgent", "old"]
    urgent = waiting.add(rows_of("urgent", 20, arrival=after, deadline=after + 22))
    assert line(urgent, now=after) == ["old", "urgent"]


def test_low_priority_has_more_patience() -> None:
    late_from = LIMITS.patience * 10.5
    for factor, first in ((1.1, "urgent"), (Priority.LOW.value * 1.1, "old")):
        now = factor * late_from
        urgent = rows_of("urgent", 20, arrival=now, deadline=now + 22)
        assert line(table_of(rows_of("old", 10, priority=Priority.LOW), urgent), now)[0] == first


@pytest.mark.parametrize(("priority", "first"), [(Priority.HIGH, "a"), (Priority.NORMAL, "b"), (Priority.LOW, "b")])
def test_priority_makes_work_count_for_less(priority: Priority, first: str) -> None:
    assert line(table_of(rows_of("a", 10, priority=priority), rows_of("b", 5)))[0] == first


def test_priority_is_among_the_requests_of_a_tenant() -> None:
    table = table_of(
        rows_of("a-high", 12, tenant="a", priority=Priority.HIGH),
        rows_of("a-normal", 10, tenant="a"),
        rows_of("b", 11, tenant="b"),
    )
    assert line(table) == ["a-high", "b", "a-normal"]


def test_a_tenant_that_is_ahead_waits_for_the_first_request_of_another() -> None:
    table = table_of(rows_of("a", 1, tenant="a"), rows_of("b", 10, tenant="b"))
    had = {"a": 11.0, "b": 0.0}
    assert line(Table(table.requests, had)) == ["b", "a"]
    assert line(Table(table.requests, {**had, "a": 9.0})) == ["a", "b"]


def flood(tenants_weight: float = 1.0) -> Table:
    """Two hundred short requests of one tenant, and one longer request of another."""
    many = [rows_of(f"flood{index:03}", 3, tenant="flood") for index in range(200)]
    return table_of(*many, rows_of("other", 30, tenant="other", weight=tenants_weight))


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_a_request_is_done_within_its_work_divided_by_its_tenants_share(weight: float) -> None:
    share = weight / (1.0 + weight)
    done = run(flood(weight), LINEAR, Limits())
    one_more = 3 + 0.5
    assert done["other"] <= (30 + 0.5) / share + one_more


def test_backlogged_tenants_share_by_weight() -> None:
    one = [rows_of(f"one{index:03}", 4, tenant="one", weight=1.0) for index in range(100)]
    three = [rows_of(f"three{index:03}", 4, tenant="three", weight=3.0) for index in range(100)]
    done = run(table_of(*one, *three), LINEAR, Limits())
    early = sorted(done, key=lambda name: done[name])[:100]
    assert sum(name.startswith("three") for name in early) == pytest.approx(75, abs=2)


def test_urgent_requests_of_a_tenant_that_is_ahead_wait_as_well() -> None:
    table = table_of(rows_of("a", 10, tenant="a", deadline=12.0), rows_of("b", 10, tenant="b"))
    assert line(Table(table.requests, {"a": 11.0, "b": 0.0})) == ["b", "a"]


def test_order_does_not_depend_on_the_order_in_the_table() -> None:
    requests = [
        rows_of(f"r{index}", 5 + index % 3, arrival=float(index % 4), tenant=f"t{index % 2}") for index in range(12)
    ]
    assert line(table_of(*requests), now=4.0) == line(table_of(*reversed(requests)), now=4.0)
