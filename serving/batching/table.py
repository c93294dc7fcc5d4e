"""The state of one device: whose rows there are, how far each is, and what each tenant has had."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from serving.batching.work import Kind, Row, Stage


@dataclass(frozen=True)
class Batch:
    """The device's next action.

    Attributes:
        kind: what is done, at which shape.
        rows: which rows take part, the one that decided first. When encoding, all rows of each request.
        size: rows to pad to (requests, when encoding): one of the sizes the limits allow.
    """

    kind: Kind
    rows: tuple[Row, ...]
    size: int

    def __repr__(self) -> str:
        return f"Batch({self.kind.stage.name}, {[row.row_id for row in self.rows]}, padded to {self.size})"

    @property
    def evaluations(self) -> int:
        """What the curve counts it as, padding included."""
        return self.size * self.kind.evaluations


@dataclass(frozen=True)
class Table:
    """All accepted work that is not done. Immutable: every change is a new table.

    Attributes:
        requests: the rows of each request that are not done, by its id.
        virtual_seconds: what each tenant has had of the device, divided by its weight. A tenant that comes back starts
            level with the one that is furthest behind, so idling saves nothing up.
    """

    requests: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    virtual_seconds: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Table({len(self.requests)} requests, {len(self)} rows)"

    def __len__(self) -> int:
        return sum(map(len, self.requests.values()))

    def __iter__(self) -> Iterator[Row]:
        for rows in self.requests.values():
            yield from rows

    def __contains__(self, request_id: str) -> bool:
        return request_id in self.requests

    def add(self, rows: Sequence[Row]) -> "Table":
        """The table with one more request.

        Args:
            rows: all of the request's rows, at one stage: ENCODE, or STEP when there is nothing to encode.
        """
        request = rows[0].request
        if any(row.request is not request or row.stage is not rows[0].stage for row in rows):
            raise ValueError(f"{list(rows)} are not rows of one request at one stage")
        if request.request_id in self.requests:
            raise ValueError(f"request {request.request_id} is in the table")
        level = _level(self.requests, self.virtual_seconds)
        had = max(self.virtual_seconds.get(request.tenant, level), level)
        requests = {**self.requests, request.request_id: tuple(rows)}
        return Table(requests, {**self.virtual_seconds, request.tenant: had})

    def remove(self, request_id: str) -> "Table":
        """The table without a request: cancelled, out of time or failed. Without effect when it is not there."""
        requests = {known: rows for known, rows in self.requests.items() if known != request_id}
        return Table(requests, _still_needed(requests, self.virtual_seconds))

    def advance(self, batch: Batch, seconds: float) -> "Table":
        """The table after an action that took so long: rows move on, and leave after they are decoded.

        Rows that are no longer as they were when the batch was planned are left alone; their tenants are charged.
        """
        requests = dict(self.requests)
        moved = {row.row_id: row for row in batch.rows}
        for request_id in {row.request.request_id for row in batch.rows} & requests.keys():
            after = tuple(_moved_on(row) if moved.get(row.row_id) == row else row for row in requests[request_id])
            left = tuple(row for row in after if row is not None)
            requests[request_id] = left
            if not left:
                del requests[request_id]
        charged = dict(self.virtual_seconds)
        level = _level(self.requests, charged)
        for row in batch.rows:
            tenant = row.request.tenant
            charged[tenant] = charged.get(tenant, level) + seconds / len(batch.rows) / row.request.weight
        return Table(requests, _still_needed(requests, charged))


def _moved_on(row: Row) -> Row | None:
    """The row after its next action; None when it is done."""
    if row.stage is Stage.DECODE:
        return None
    left = row.steps_remaining - (row.stage is Stage.STEP)
    return replace(row, stage=Stage.STEP if left else Stage.DECODE, steps_remaining=left)


def _level(requests: Mapping[str, tuple[Row, ...]], virtual_seconds: Mapping[str, float]) -> float:
    """What the tenant has had that is furthest behind, of those with work."""
    return min((virtual_seconds[rows[0].request.tenant] for rows in requests.values()), default=0.0)


def _still_needed(requests: Mapping[str, tuple[Row, ...]], virtual_seconds: Mapping[str, float]) -> dict[str, float]:
    """Without idle tenants that would start level with the others anyway, so that it does not grow for ever."""
    present = {rows[0].request.tenant for rows in requests.values()}
    level = _level(requests, virtual_seconds) if present else math.inf
    return {tenant: had for tenant, had in virtual_seconds.items() if tenant in present or had > level}
