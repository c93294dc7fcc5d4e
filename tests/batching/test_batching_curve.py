"""What actions cost, from measurements."""

import math

import pytest

from serving.batching.curve import Curve
from serving.batching.work import Shape, Stage
from tests.batching.builders import LARGE, SMALL


def test_a_measured_action_costs_what_was_measured() -> None:
    curve = Curve().measured(Stage.STEP, SMALL, 2, 0.3)
    assert curve.step_seconds(Stage.STEP, SMALL, 2) == 0.3


def test_between_measurements_the_curve_is_a_straight_line() -> None:
    curve = Curve({(Stage.STEP, SMALL): {2: 1.0, 4: 1.4, 8: 5.0}})
    assert curve.step_seconds(Stage.STEP, SMALL, 3) == pytest.approx(1.2)
    assert curve.step_seconds(Stage.STEP, SMALL, 5) == pytest.approx(2.3)


def test_outside_the_measurements_merging_is_not_taken_to_pay() -> None:
    curve = Curve({(Stage.STEP, SMALL): {2: 1.0, 4: 1.4}})
    assert curve.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(0.5)
    assert curve.step_seconds(Stage.STEP, SMALL, 8) == pytest.approx(2.8)


def test_a_shape_that_was_not_measured_follows_the_nearest_in_proportion_to_its_pixels() -> None:
    curve = Curve({(Stage.STEP, SMALL): {1: 1.0}, (Stage.STEP, Shape(2048, 2048)): {1: 100.0}})
    assert curve.step_seconds(Stage.STEP, LARGE, 1) == pytest.approx(4.0)
    assert curve.step_seconds(Stage.STEP, Shape(1024, 2048), 1) == pytest.approx(50.0)


def test_each_stage_has_measurements_of_its_own() -> None:
    curve = Curve().measured(Stage.STEP, SMALL, 1, 1.0)
    assert curve.step_seconds(Stage.DECODE, SMALL, 1) == 0.0


def test_measurements_are_averaged_and_the_new_one_counts_a_fifth() -> None:
    before = Curve().measured(Stage.STEP, SMALL, 1, 1.0)
    after = before.measured(Stage.STEP, SMALL, 1, 1.4)
    assert after.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(1.08)
    assert before.step_seconds(Stage.STEP, SMALL, 1) == 1.0


@pytest.mark.parametrize(("seconds", "expected"), [(1.5, 1.1), (100.0, 1.1), (0.0, 0.8)])
def test_a_hiccup_counts_for_half_as_much_again_at_most(seconds: float, expected: float) -> None:
    curve = Curve().measured(Stage.STEP, SMALL, 1, 1.0).measured(Stage.STEP, SMALL, 1, seconds)
    assert curve.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(expected)


def test_what_took_no_time_at_first_is_learnt_nevertheless() -> None:
    curve = Curve().measured(Stage.STEP, SMALL, 1, 0.0).measured(Stage.STEP, SMALL, 1, 1.0)
    assert curve.step_seconds(Stage.STEP, SMALL, 1) == pytest.approx(0.2)


def test_measurements_may_come_in_any_order() -> None:
    curve = Curve().measured(Stage.STEP, SMALL, 4, 4.0).measured(Stage.STEP, SMALL, 1, 1.0)
    assert curve.step_seconds(Stage.STEP, SMALL, 2) == pytest.approx(2.0)


@pytest.mark.parametrize(("evaluations", "seconds"), [(0, 1.0), (1, -1.0), (1, math.nan)])
def test_nonsense_is_not_taken_for_a_measurement(evaluations: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="no measurement"):
        Curve().measured(Stage.STEP, SMALL, evaluations, seconds)
