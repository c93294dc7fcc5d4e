"""Which worker gets the next call: a pure function of what the gateway knows of them."""

import enum
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple


class Standing(enum.IntEnum):
    """Whether a worker gets work, the best first; each is asked only when there is no better one.

    Those that should get none are asked last rather than never: only a call tells whether they are back.
    """

    READY = 0
    EJECTED = 1
    DRAINING = 2
    UNREACHABLE = 3


class Identity(NamedTuple):
    """A worker between two losses of its connection: one that comes back to its address is another."""

    address: str
    generation: int


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker, as far as a choice goes.

    Attributes:
        identity: its name in the table.
        standing: whether it gets work.
        queued_seconds: device seconds of the work it has: what it reported, and what it was sent since.
        own_seconds: what the call to be sent would take there.
        calls: how many calls of this gateway it is working on.
        share: from 0 to 1, how much of its part it may have; below 1 while it is let back in.
    """

    identity: Identity
    standing: Standing
    queued_seconds: float
    own_seconds: float = 0.0
    calls: int = 0
    share: float = 1.0

    @property
    def cost(self) -> tuple[float, int]:
        """What is to be kept small: when the call would be done and, where nothing is known of that, company."""
        return (self.queued_seconds + self.own_seconds) / self.share, self.calls


def choose(
    table: Sequence[WorkerView], tried: Collection[Identity], dice: Random, key: bytes | None = None
) -> WorkerView | None:
    """The worker to send a call to; None when all have been tried.

    It is the one that would be done first, of a random half of those in the best standing: gateways that know the same
    at the same time do not all choose the same worker. Half rather than two, because what they know is rarely old.

    Args:
        table: all workers of the tier.
        tried: those this request has been sent to in vain.
        dice: a source of randomness.
        key: what the call is about. The worker that gets all calls with this key may have the answer in its cache; it
            is preferred while others would not have begun before it, had they the whole work to do.
    """
    untried = [worker for worker in table if worker.identity not in tried]
    if not untried:
        return None
    candidates = _in_the_best_standing(untried)
    some = dice.sample(candidates, max(min(len(candidates), 2), (len(candidates) + 1) // 2))
    best = min(some, key=lambda worker: worker.cost)
    if key is not None:
        favourite = max(candidates, key=lambda worker: _weight(key, worker.identity.address))
        if favourite.queued_seconds / favourite.share <= best.queued_seconds + best.own_seconds:
            return favourite
    return best


def _in_the_best_standing(workers: Sequence[WorkerView]) -> list[WorkerView]:
    ready = [worker for worker in workers if worker.standing is Standing.READY]
    ejected = [worker for worker in workers if worker.standing is Standing.EJECTED]
    if len(ejected) > len(ready):  # where most seem bad the fault is not theirs, and the others could not carry it all
        return ready + ejected
    best = min(worker.standing for worker in workers)
    return [worker for worker in workers if worker.standing is best]


def _weight(key: bytes, address: str) -> bytes:
    """Rendezvous hashing: a key moves only when its worker comes or goes."""
    return hashlib.blake2b(address.encode(), key=key[:64], digest_size=8).digest()


def fewest_calls(table: Sequence[WorkerView]) -> int:
    """How many calls the worker has that gets work and has the fewest; 0 where none gets work."""
    return min((worker.calls for worker in table if worker.standing is Standing.READY), default=0)
