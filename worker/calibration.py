"""What is timed before a worker is ready."""

from collections.abc import Callable, Sequence
from typing import TypeVar

State = TypeVar("State")


def staying_together(
    step: Callable[[Sequence[State], int], list[State]], state: State, size: int
) -> Callable[[], object]:
    """An action that can be repeated: the next step of so many rows that stay together.

    Its first call compiles, and joins what steers the rows, which rows that stay together need not do again.

    Args:
        step: of the worker's actions.
        state: a row before its first step, of two steps or more.
        size: how many of it.
    """
    stepped: list[State] = []

    def action() -> None:
        if stepped:
            step(stepped, size)
        else:
            stepped.extend(step([state] * size, size))

    return action
