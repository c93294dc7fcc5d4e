"""What several rows bring to a shared step, joined once for as long as the same rows stay together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Member = TypeVar("Member")
Joined = TypeVar("Joined")


@dataclass(frozen=True, eq=False)
class Company(Generic[Member, Joined]):
    """Rows' conditioning and what it is joined to. Each of the rows carries it, so it lives as long as one of them.

    Attributes:
        members: what was joined, in this order.
        joined: of all of them.
    """

    members: tuple[Member, ...]
    joined: Joined


def keep_company(
    last: "Company[Member, Joined] | None", members: Sequence[Member], join: Callable[[Sequence[Member]], Joined]
) -> "Company[Member, Joined]":
    """The last company where it is of these very members, else a new one."""
    if last is not None and tuple(map(id, last.members)) == tuple(map(id, members)):
        return last
    return Company(tuple(members), join(members))


def padded(rows: Sequence[Member], size: int | None) -> list[Member]:
    """The rows, the last of them repeated up to the size of a compiled batch; None for as many as there are."""
    return [*rows, *[rows[-1]] * (0 if size is None else size - len(rows))]
