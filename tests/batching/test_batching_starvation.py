"""Nobody starves: a request that waits, and an adversary that never stops sending what goes before it."""

from collections.abc import Callable

import pytest

from serving.batching.limits import Limits
from serving.batching.planner import plan
from serving.batching.table import Table
from serving.batching.work import Priority, Row, Stage
from tests.batching.builders import BUCKETS, CURVES, rows_of, seconds_of, table_of

# Without ageing only patience protects the victim.
STRICT = Limits(BUCKETS, ageing=0.0, patience=3.0)
STEPS = 20
CROWD = 5

Adversary = Callable[[str, float], list[Row]]


def short(name: str, now: float) -> list[Row]:
    return rows_of(name, 1, arrival=now)


def urgent(name: str, now: float) -> list[Row]:
    return rows_of(name, 4, arrival=now, deadline=now + 6)


def unencoded(name: str, now: float) -> list[Row]:
    return rows_of(name, 15, arrival=now, stage=Stage.ENCODE)


def important(name: str, now: float) -> list[Row]:
    return rows_of(name, 15, arrival=now, priority=Priority.HIGH)


def other_tenant(name: str, now: float) -> list[Row]:
    return rows_of(name, 1, arrival=now, tenant="other", weight=5.0)


def expired(table: Table, now: float) -> list[str]:
    return [name for name, rows in table.requests.items() if rows[0].request.deadline_seconds < now]


def done_seconds(victim: list[Row], adversary: Adversary, curve_name: str, horizon_seconds: float) -> float:
    """When the victim is done, if there is always a crowd of the adversary's requests."""
    curve, table, now, sent = CURVES[curve_name], table_of(victim), 0.0, 0
    while "victim" in table and now < horizon_seconds:
        while len(table.requests) <= CROWD:
            table = table.add(adversary(f"r{sent}", now))
            sent += 1
        batch = plan(table, curve, STRICT, now)
        assert batch is not None
        now += seconds_of(batch, curve)
        table = table.advance(batch, seconds_of(batch, curve))
        for name in expired(table, now):
            table = table.remove(name)
    return now


@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.LOW])
@pytest.mark.parametrize("curve_name", CURVES)
@pytest.mark.parametrize("adversary", [short, urgent, unencoded, important, other_tenant])
def test_a_request_is_done_in_bounded_time_whatever_comes(
    adversary: Adversary, curve_name: str, priority: Priority
) -> None:
    victim = rows_of("victim", STEPS, stage=Stage.ENCODE, priority=priority)
    work_seconds = STEPS + 2.0
    late_seconds = STRICT.patience * priority.value * work_seconds
    # What came before it was late may still go first, all of it in the slowest of company, and so may its encoding.
    slowest = 4.0
    bound_seconds = late_seconds + (CROWD + 1) * slowest * work_seconds
    assert done_seconds(victim, adversary, curve_name, 10 * bound_seconds) <= bound_seconds


@pytest.mark.parametrize("adversary", [short, urgent])
def test_the_adversaries_are_adversaries(adversary: Adversary) -> None:
    """Without patience the victim would wait for ever."""
    victim = rows_of("victim", STEPS, stage=Stage.ENCODE, arrival=1e9)
    assert done_seconds(victim, adversary, "linear", 1000.0) >= 1000.0
