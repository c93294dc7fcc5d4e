"""The real gateway, but for the choice of a worker: each in turn. What routing by queued work is compared with."""

import itertools
from collections.abc import Collection, Sequence
from random import Random

from gateway import __main__ as gateway
from gateway import workers
from gateway.routing import Identity, WorkerView

_turn = itertools.count()


def in_turn(
    table: Sequence[WorkerView],
    tried: Collection[Identity],
    dice: Random,  # noqa: ARG001 - the signature of gateway.routing.choose
    key: bytes | None = None,  # noqa: ARG001
) -> WorkerView | None:
    """The next worker of those that have not been tried."""
    untried = [worker for worker in table if worker.identity not in tried]
    return untried[next(_turn) % len(untried)] if untried else None


if __name__ == "__main__":
    workers.choose = in_turn  # type: ignore[attr-defined]  # which the module imports for itself
    gateway.main()
