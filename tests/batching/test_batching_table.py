"""The state of a device."""

import pytest

from serving.batching.planner import plan
from serving.batching.table import Batch, Table
from serving.batching.work import Request, Row, Stage
from tests.batching.builders import LIMITS, LINEAR, SMALL, rows_of, run, table_of


def step(table: Table, *, seconds: float = 1.0, now: float = 0.0) -> Table:
    batch = plan(table, LINEAR, LIMITS, now)
    assert batch is not None
    return table.advance(batch, seconds)


def together(table: Table, *request_ids: str) -> Batch:
    """A batch of the first row of each request."""
    rows = tuple(table.requests[request_id][0] for request_id in request_ids)
    return Batch(rows[0].kind, rows, len(rows))


def test_a_row_is_encoded_stepped_decoded_and_gone() -> None:
    table = table_of(rows_of("a", 2, stage=Stage.ENCODE))
    seen = []
    while table:
        (row,) = table
        seen.append((row.stage, row.steps_remaining))
        table = step(table)
    assert seen == [(Stage.ENCODE, 2), (Stage.STEP, 2), (Stage.STEP, 1), (Stage.DECODE, 0)]


def test_a_row_without_steps_is_decoded_after_it_is_encoded() -> None:
    (row,) = step(table_of(rows_of("a", 0, stage=Stage.ENCODE)))
    assert row.stage is Stage.DECODE


def test_a_change_leaves_the_old_table_as_it_was() -> None:
    before = table_of(rows_of("a", 2))
    step(before)
    before.add(rows_of("b", 1))
    before.remove("a")
    assert [(row.row_id, row.steps_remaining) for row in before] == [("a/0", 2)]


def test_a_request_that_is_removed_during_an_action_stays_removed() -> None:
    table = table_of(rows_of("a", 2), rows_of("b", 2))
    batch = together(table, "a", "b")
    (row,) = table.remove("a").advance(batch, 1.0)
    assert (row.row_id, row.steps_remaining) == ("b/0", 1)


def test_an_action_leaves_a_new_request_with_a_removed_ones_id_alone() -> None:
    table = table_of(rows_of("a", 2))
    batch = together(table, "a")
    (row,) = table.remove("a").add(rows_of("a", 2, arrival=5.0)).advance(batch, 1.0)
    assert row.steps_remaining == 2


def test_removing_what_is_not_there_changes_nothing() -> None:
    table = table_of(rows_of("a", 2))
    assert table.remove("b") == table


def test_an_id_can_be_in_the_table_once_only() -> None:
    with pytest.raises(ValueError, match="request a is in the table"):
        table_of(rows_of("a", 2), rows_of("a", 3))


def test_rows_of_two_requests_are_not_added_as_one() -> None:
    with pytest.raises(ValueError, match="not rows of one request"):
        Table().add([*rows_of("a", 2), *rows_of("b", 2)])


def test_a_request_starts_with_all_rows_at_one_stage() -> None:
    (row,) = rows_of("a", 2)
    with pytest.raises(ValueError, match="at one stage"):
        Table().add([row, Row("a/1", row.request, Stage.ENCODE, 2)])


@pytest.mark.parametrize(("stage", "steps"), [(Stage.STEP, 0), (Stage.DECODE, 1), (Stage.ENCODE, -1)])
def test_a_stage_without_its_steps_is_refused(stage: Stage, steps: int) -> None:
    with pytest.raises(ValueError, match="cannot remain"):
        rows_of("a", steps, stage=stage)


@pytest.mark.parametrize("values", [{"evaluations": 0}, {"weight": 0.0}, {"weight": float("inf")}])
def test_a_request_that_cannot_be_ordered_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Request("a", SMALL, **{"evaluations": 1, "arrival_seconds": 0.0, **values})  # type: ignore[arg-type]


def test_tenants_are_charged_for_their_rows_by_weight() -> None:
    table = table_of(rows_of("a", 9, tenant="one"), rows_of("b", 9, tenant="two", weight=4.0))
    assert table.advance(together(table, "a", "b"), 8.0).virtual_seconds == {"one": 4.0, "two": 1.0}


def test_a_tenant_that_comes_back_has_saved_nothing_up() -> None:
    table = table_of(rows_of("a", 9, tenant="one"))
    table = table.advance(together(table, "a"), 5.0).add(rows_of("b", 9, tenant="two"))
    assert table.virtual_seconds == {"one": 5.0, "two": 5.0}


def test_a_tenant_that_comes_back_soon_has_not_got_rid_of_what_it_had() -> None:
    table = table_of(rows_of("a", 9, tenant="one"), rows_of("b", 9, tenant="two"))
    table = table.advance(together(table, "a"), 5.0).remove("a").add(rows_of("c", 9, tenant="one"))
    assert table.virtual_seconds == {"one": 5.0, "two": 0.0}


def test_a_request_that_is_removed_during_an_action_is_charged_all_the_same() -> None:
    table = table_of(rows_of("a", 9, tenant="one"), rows_of("b", 9, tenant="two"))
    table = table.advance(together(table, "a", "b"), 2.0)
    table = table.remove("a").advance(together(table, "a"), 5.0)
    assert table.virtual_seconds == {"one": 6.0, "two": 1.0}


def test_tenants_without_work_are_forgotten_in_the_end() -> None:
    table = table_of(rows_of("a", 1, tenant="one"), rows_of("b", 9, tenant="two"))
    while "b" in table:
        table = step(table)
    assert table == Table()
    assert run(table, LINEAR) == {}
