"""Which worker gets the next call: a pure function of what the gateway knows of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerLoad:
    """One worker, as far as the choice goes.

    Attributes:
        address: its name in the table.
        reachable: no, when the last attempt to connect failed.
        outstanding: calls it has been sent and has not answered.
    """

    address: str
    reachable: bool
    outstanding: int


def choose(table: Sequence[WorkerLoad], tried: Collection[str], turn: int) -> str | None:
    """The address of the worker to send a call to; None when all have been tried.

    Reachable workers come first, then those with the fewest calls outstanding; among equals they take turns. Workers
    that seem unreachable are asked last rather than never: only a call tells whether they are back.

    Args:
        table: all workers of the tier, always in the same order.
        tried: addresses that this request has been sent to in vain.
        turn: a number that grows by one with each choice.
    """
    untried = [worker for worker in table if worker.address not in tried]
    if not untried:
        return None
    best = min(_cost(worker) for worker in untried)
    equals = [worker.address for worker in untried if _cost(worker) == best]
    return equals[turn % len(equals)]


def _cost(worker: WorkerLoad) -> tuple[bool, int]:
    return not worker.reachable, worker.outstanding
