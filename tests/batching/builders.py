"""Requests, curves and runs for the tests of the planner."""

import math

from serving.batching.curve import Curve
from serving.batching.limits import Limits
from serving.batching.planner import plan
from serving.batching.table import Batch, Table
from serving.batching.work import Priority, Request, Row, Shape, Stage

SMALL = Shape(256, 256)
LARGE = Shape(512, 512)
SIZES = (1, 2, 4, 8)
BUCKETS = {(stage, shape): SIZES for stage in Stage for shape in (SMALL, LARGE)}
LIMITS = Limits(BUCKETS)


def curve_of(
    step_seconds: dict[int, float], encode_seconds: dict[int, float] | None = None, decode_seconds: float = 0.0
) -> Curve:
    """Seconds at SMALL: of a step by evaluations, of encoding by requests, and of decoding each row."""
    return Curve(
        {
            (Stage.ENCODE, SMALL): encode_seconds or {1: 0.0},
            (Stage.STEP, SMALL): step_seconds,
            (Stage.DECODE, SMALL): {1: decode_seconds},
        }
    )


LINEAR = curve_of({1: 1.0}, {1: 1.5}, 0.5)
FLAT = curve_of({rows: 0.6 + 0.4 * rows for rows in range(1, 17)}, {1: 1.5, 8: 3.0}, 0.5)
# Four evaluations cost as much as one, a fifth as much as four more.
KINKED = curve_of({1: 1.0, 4: 1.0, 5: 2.0, 8: 2.0, 16: 8.0}, {1: 1.5, 8: 3.0}, 0.5)
CURVES = {"linear": LINEAR, "flat": FLAT, "kinked": KINKED}


def rows_of(
    name: str,
    steps: int,
    *,
    arrival: float = 0.0,
    deadline: float = math.inf,
    images: int = 1,
    stage: Stage = Stage.STEP,
    shape: Shape = SMALL,
    evaluations: int = 1,
    tenant: str = "",
    weight: float = 1.0,
    priority: Priority = Priority.NORMAL,
) -> list[Row]:
    """The rows of a request: name/0, name/1, …"""
    request = Request(name, shape, evaluations, arrival, deadline, tenant, weight, priority)
    return [Row(f"{name}/{index}", request, stage, steps) for index in range(images)]


def table_of(*requests: list[Row]) -> Table:
    table = Table()
    for rows in requests:
        table = table.add(rows)
    return table


def names(batch: Batch | None) -> list[str]:
    """Of the batch's rows, in order."""
    assert batch is not None
    return [row.row_id for row in batch.rows]


def seconds_of(batch: Batch, curve: Curve) -> float:
    return curve.step_seconds(batch.kind.stage, batch.kind.shape, batch.evaluations)


def run(table: Table, curve: Curve, limits: Limits = LIMITS, now: float = 0.0) -> dict[str, float]:
    """Work the table off; when each request was done."""
    done: dict[str, float] = {}
    while (batch := plan(table, curve, limits, now)) is not None:
        seconds = seconds_of(batch, curve)
        now += seconds
        table = table.advance(batch, seconds)
        done |= {row.request.request_id: now for row in batch.rows if row.request.request_id not in table}
    return done
