"""What is timed at start is a step of rows that have been in company before."""

from collections.abc import Sequence

from worker.calibration import staying_together


def test_only_the_first_call_steps_rows_that_have_not_met() -> None:
    calls: list[tuple[list[str], int]] = []

    def step(states: Sequence[str], size: int) -> list[str]:
        calls.append((list(states), size))
        return [f"{state} after a step" for state in states]

    action = staying_together(step, "a row", 2)
    for _ in range(3):
        action()
    fresh, met = ["a row"] * 2, ["a row after a step"] * 2
    assert calls == [(fresh, 2), (met, 2), (met, 2)]
