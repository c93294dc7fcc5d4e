"""What several rows bring to a shared step, joined once for as long as the same rows stay together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mindspore import Tensor

from kandinsky.graph import Graph

Member = TypeVar("Member")


@dataclass(frozen=True, eq=False)
class Company(Generic[Member]):
    """Rows' conditioning and what it is joined to. Each of the rows carries it, so it lives as long as one of them.

    Attributes:
        members: what was joined, in this order.
        joined: of all of them.
    """

    members: tuple[Member, ...]
    joined: tuple[Tensor, ...]


def keep_company(
    last: "Company[Member] | None", members: Sequence[Member], join: Callable[[Sequence[Member]], tuple[Tensor, ...]]
) -> "Company[Member]":
    """The last company where it is of these very members, else a new one."""
    if last is not None and tuple(map(id, last.members)) == tuple(map(id, members)):
        return last
    return Company(tuple(members), join(members))


def joined(join: Graph, evaluations: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Each tensor of all evaluations, (evaluations, …).

    Args:
        join: a model's compiled `kandinsky.sampling.Joiner`.
        evaluations: what steers each, as many tensors as the others have, each (1, …).
    """
    if len(evaluations) == 1:
        return evaluations[0]
    parts = (part for same in zip(*evaluations, strict=True) for part in same)
    result: tuple[Tensor, ...] = join(len(evaluations), *parts)
    return result


def padded(rows: Sequence[Member], size: int | None) -> list[Member]:
    """The rows, the last of them repeated up to the size of a compiled batch; None for as many as there are."""
    return [*rows, *[rows[-1]] * (0 if size is None else size - len(rows))]
