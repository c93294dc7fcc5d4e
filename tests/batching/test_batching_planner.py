"""The next action: who shares it, and what is done first."""

import math

import pytest

from serving.batching.curve import Curve
from serving.batching.limits import Limits
from serving.batching.planner import plan
from serving.batching.table import Batch, Table
from serving.batching.work import Shape, Stage
from tests.batching.builders import (
    BUCKETS,
    FLAT,
    KINKED,
    LARGE,
    LIMITS,
    LINEAR,
    SMALL,
    curve_of,
    names,
    rows_of,
    run,
    table_of,
)


def equals(count: int, steps: int = 10, **more: object) -> Table:
    return table_of(*(rows_of(f"r{index}", steps, **more) for index in range(count)))  # type: ignore[arg-type]


def test_there_is_no_action_without_work() -> None:
    assert plan(Table(), LINEAR, LIMITS, 0.0) is None


@pytest.mark.parametrize("count", [1, 2, 8, 50])
def test_where_company_saves_nothing_requests_run_alone(count: int) -> None:
    assert names(plan(equals(count), LINEAR, LIMITS, 0.0)) == ["r0/0"]


def test_where_company_is_cheap_and_many_wait_the_largest_batch_is_filled() -> None:
    batch = plan(equals(50), FLAT, LIMITS, 0.0)
    assert len(names(batch)) == 8


def test_two_requests_share_a_step_when_the_second_adds_less_than_three_quarters() -> None:
    no_gain_asked = Limits(BUCKETS, merge_gain=0.0)
    assert len(names(plan(equals(2), curve_of({1: 1.0, 2: 1.74}), no_gain_asked, 0.0))) == 2
    assert len(names(plan(equals(2), curve_of({1: 1.0, 2: 1.76}), no_gain_asked, 0.0))) == 1


def test_the_more_wait_the_more_pay_for_company() -> None:
    curve = curve_of({1: 1.0, 2: 1.8})
    assert len(names(plan(equals(2), curve, LIMITS, 0.0))) == 1
    assert len(names(plan(equals(12), curve, Limits({(Stage.STEP, SMALL): (1, 2)}), 0.0))) == 2


def test_images_of_one_request_share_whenever_it_saves_time() -> None:
    table = table_of(rows_of("a", 10, images=2))
    assert len(names(plan(table, curve_of({1: 1.0, 2: 1.7}), LIMITS, 0.0))) == 2
    assert len(names(plan(table, curve_of({1: 1.0, 2: 1.95}), LIMITS, 0.0))) == 1


def test_images_of_one_request_are_finished_one_after_another_where_company_saves_nothing() -> None:
    table, order = table_of(rows_of("a", 2, images=2)), []
    while (batch := plan(table, LINEAR, LIMITS, 0.0)) is not None:
        order.append((names(batch)[0], batch.kind.stage.name))
        table = table.advance(batch, 1.0)
    first, second = ([(f"a/{index}", stage) for stage in ("STEP", "STEP", "DECODE")] for index in range(2))
    assert order == [*first, *second]


def test_a_request_is_encoded_once_for_all_its_images() -> None:
    batch = plan(table_of(rows_of("a", 2, images=3, stage=Stage.ENCODE)), LINEAR, LIMITS, 0.0)
    assert names(batch) == ["a/0", "a/1", "a/2"]
    assert batch is not None
    assert (batch.size, batch.evaluations) == (1, 1)


def test_shapes_are_never_mixed() -> None:
    table = table_of(rows_of("a", 5), rows_of("b", 6, shape=LARGE), rows_of("c", 7))
    assert names(plan(table, FLAT, LIMITS, 0.0)) == ["a/0", "c/0"]


def test_rows_with_and_without_guidance_are_never_mixed() -> None:
    table = table_of(rows_of("a", 5), rows_of("b", 6, evaluations=2), rows_of("c", 7))
    assert names(plan(table, FLAT, LIMITS, 0.0)) == ["a/0", "c/0"]


def test_a_batch_is_padded_to_the_smallest_size_there_is() -> None:
    batch = plan(equals(3), KINKED, LIMITS, 0.0)
    assert batch is not None
    assert (len(batch.rows), batch.size, batch.evaluations) == (3, 4, 4)


def test_guided_rows_count_twice() -> None:
    batch = plan(equals(4, evaluations=2), FLAT, Limits({(Stage.STEP, SMALL): (4,)}), 0.0)
    assert batch is not None
    assert (len(batch.rows), batch.size, batch.evaluations) == (4, 4, 8)


def test_nobody_joins_where_padding_costs_more_than_company_saves() -> None:
    curve = curve_of({1: 1.0, 2: 1.2, 8: 6.0})
    assert len(names(plan(equals(3), curve, Limits({(Stage.STEP, SMALL): (1, 2, 8)}), 0.0))) == 2


def test_a_batch_stops_short_of_a_kink_and_goes_beyond_it_when_that_pays() -> None:
    sizes = Limits({(Stage.STEP, SMALL): tuple(range(1, 9))})
    assert len(names(plan(equals(6), curve_of({1: 1.0, 4: 1.0, 5: 2.0, 8: 2.0}), sizes, 0.0))) == 4
    assert len(names(plan(equals(40), curve_of({1: 1.0, 4: 2.0, 5: 4.0, 8: 4.0}), sizes, 0.0))) == 8


def test_a_shape_without_buckets_runs_alone() -> None:
    table = equals(20, shape=Shape(64, 64))
    assert len(names(plan(table, FLAT, LIMITS, 0.0))) == 1


def test_a_finished_row_is_decoded_before_others_step() -> None:
    table = table_of(rows_of("long", 30), rows_of("done", 1))
    batch = plan(table, LINEAR, LIMITS, 0.0)
    assert names(batch) == ["done/0"]
    assert batch is not None
    decode = plan(table.advance(batch, 1.0), LINEAR, LIMITS, 1.0)
    assert decode is not None
    assert (names(decode), decode.kind.stage) == (["done/0"], Stage.DECODE)


def test_a_newcomer_is_encoded_early_where_it_can_then_share_the_steps() -> None:
    table = table_of(rows_of("a", 20), rows_of("b", 30, stage=Stage.ENCODE))
    batch = plan(table, FLAT, LIMITS, 0.0)
    assert batch is not None
    assert (names(batch), batch.kind.stage) == (["b/0"], Stage.ENCODE)
    assert names(plan(table.advance(batch, 1.5), FLAT, LIMITS, 1.5)) == ["a/0", "b/0"]


@pytest.mark.parametrize(
    ("curve", "steps", "evaluations"),
    [(LINEAR, 20, 1), (FLAT, 1, 1), (FLAT, 20, 2)],
    ids=["steps are not shared", "one step is left to share", "with guidance and without"],
)
def test_a_newcomer_waits_where_encoding_it_early_does_not_pay(curve: Curve, steps: int, evaluations: int) -> None:
    table = table_of(rows_of("a", steps), rows_of("b", 30, stage=Stage.ENCODE, evaluations=evaluations))
    assert names(plan(table, curve, LIMITS, 0.0)) == ["a/0"]


def test_nobody_is_encoded_early_when_the_largest_batch_is_full_without() -> None:
    ready = [rows_of("first", 5), *(rows_of(f"r{index}", 40) for index in range(7))]
    early = rows_of("early", 20, stage=Stage.ENCODE)
    assert names(plan(table_of(*ready, early), FLAT, LIMITS, 0.0))[0] == "first/0"
    assert names(plan(table_of(*ready[:-1], early), FLAT, LIMITS, 0.0)) == ["early/0"]


def test_whoever_is_encoded_early_takes_those_along_that_encode_for_less_in_company() -> None:
    table = table_of(
        rows_of("a", 20, evaluations=2),
        rows_of("unguided", 25, stage=Stage.ENCODE),
        rows_of("b", 30, evaluations=2, stage=Stage.ENCODE),
        rows_of("large", 30, shape=LARGE, stage=Stage.ENCODE),
    )
    cheap = curve_of({rows: 0.9 + 0.1 * rows for rows in range(1, 17)}, {1: 1.5, 8: 3.0})
    assert names(plan(table, cheap, LIMITS, 0.0)) == ["b/0", "unguided/0"]


def test_the_image_that_is_nearest_to_its_end_goes_first_and_is_decoded_at_once() -> None:
    table = table_of(rows_of("a", 2, images=2))
    second = table.requests["a"][1]
    table = table.advance(Batch(second.kind, (second,), 1), 1.0)
    batch = plan(table, LINEAR, LIMITS, 1.0)
    assert names(batch) == ["a/1"]
    assert batch is not None
    decode = plan(table.advance(batch, 1.0), LINEAR, LIMITS, 2.0)
    assert decode is not None
    assert (names(decode), decode.kind.stage) == (["a/1"], Stage.DECODE)


def test_a_deadline_in_danger_allows_only_the_company_it_has_time_for() -> None:
    others = [rows_of(f"r{index}", 40) for index in range(7)]
    assert len(names(plan(table_of(*others, rows_of("a", 10, deadline=11.0)), FLAT, LIMITS, 0.0))) == 1
    assert len(names(plan(table_of(*others, rows_of("a", 10, deadline=15.0)), FLAT, LIMITS, 0.0))) == 2
    assert len(names(plan(table_of(*others, rows_of("a", 10)), FLAT, LIMITS, 0.0))) == 8


def test_a_deadline_in_danger_is_not_held_up_by_encodings_it_has_no_time_for() -> None:
    others = rows_of("other", 40, stage=Stage.ENCODE)
    assert names(plan(table_of(others, rows_of("a", 10, deadline=11.5)), KINKED, LIMITS, 0.0)) == ["a/0"]
    assert names(plan(table_of(others, rows_of("a", 10, deadline=12.5)), KINKED, LIMITS, 0.0)) == ["other/0"]


def test_a_deadline_that_is_lost_anyway_keeps_nobody_from_joining() -> None:
    others = [rows_of(f"r{index}", 40) for index in range(7)]
    assert len(names(plan(table_of(*others, rows_of("a", 10, deadline=5.0)), FLAT, LIMITS, 0.0))) == 8


def test_what_has_no_steps_does_not_keep_others_from_being_encoded_early() -> None:
    curve = curve_of({rows: 0.06 + 0.04 * rows for rows in range(1, 17)}, {1: 1.5})
    waiting = [rows_of(f"r{index}", 200, shape=LARGE) for index in range(30)]
    first, joining = rows_of("a", 10), rows_of("b", 30, stage=Stage.ENCODE)
    without_steps = rows_of("z", 0, stage=Stage.ENCODE)
    assert names(plan(table_of(first, without_steps, joining, *waiting), curve, LIMITS, 0.0)) == ["b/0"]


def test_what_runs_is_not_set_aside_for_equals() -> None:
    table, leaders = equals(5), []
    now = 0.0
    while (batch := plan(table, LINEAR, LIMITS, now)) is not None:
        now += 1.0
        leaders.append(names(batch)[0])
        table = table.advance(batch, 1.0)
    assert leaders == [f"r{index}/0" for index in range(5) for _ in range(11)]


def test_the_same_table_gives_the_same_plan_in_whatever_order_it_was_filled() -> None:
    requests = [rows_of(f"r{index}", 3 + index % 4, images=1 + index % 2, arrival=index % 3) for index in range(10)]
    assert plan(table_of(*requests), FLAT, LIMITS, 3.0) == plan(table_of(*reversed(requests)), FLAT, LIMITS, 3.0)


def test_an_unmeasured_device_serves_first_come_first_served() -> None:
    table = table_of(rows_of("b", 5, arrival=1.0), rows_of("a", 50, arrival=0.0))
    done = run(table, Curve(), now=2.0)
    assert list(done) == ["a", "b"]


@pytest.mark.parametrize(
    "settings",
    [{"ageing": -1.0}, {"ageing": 1.1}, {"patience": math.inf}, {"merge_gain": 1.0}],
)
def test_settings_under_which_rows_could_starve_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [(), (0, 1), (2, 1), (1, 1)])
def test_sizes_that_are_no_sizes_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending sizes"):
        Limits({(Stage.STEP, SMALL): sizes})
