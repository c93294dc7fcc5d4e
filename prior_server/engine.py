"""The prior's requests in the planner's words."""

import math
from typing import TypeAlias

from imagegen.v1.common_pb2 import Priority
from prior_server.actions import Embeddings, PriorInput, PriorState
from prior_server.values import Values
from serving.batching import work
from serving.batching.limits import Limits
from serving.batching.work import Kind, Shape, Stage
from serving.tenants import current_tenant
from worker.engine import Engine
from worker.service import PRIORITIES

PriorEngine: TypeAlias = Engine[PriorInput, PriorState, Embeddings]

# Embeddings have no size; all have the same.
SHAPE = Shape(1, 1)


def limits_of(sizes: tuple[int, ...]) -> Limits:
    """The planner's limits where texts are encoded, and steps run, in batches of these sizes."""
    return Limits({(Stage.ENCODE, SHAPE): sizes, (Stage.STEP, SHAPE): sizes})


def step_kind(values: Values) -> Kind:
    """What the steps of these values can be shared with."""
    return Kind(Stage.STEP, SHAPE, values.rows * (2 if values.guidance_scale > 1.0 else 1))


def planned(
    request_id: str, values: Values, priority: Priority.ValueType, arrival_seconds: float, remaining: float | None
) -> work.Request:
    """What the planner knows of a request.

    Args:
        request_id: unique in the engine.
        values: the request's.
        priority: likewise.
        arrival_seconds: when it came, by the engine's clock.
        remaining: seconds after that in which it must be done; None for no limit.
    """
    tenant = current_tenant.get()
    return work.Request(
        request_id=request_id,
        shape=SHAPE,
        evaluations=step_kind(values).evaluations,
        arrival_seconds=arrival_seconds,
        deadline_seconds=math.inf if remaining is None else arrival_seconds + remaining,
        tenant=tenant.id,
        weight=tenant.weight,
        priority=PRIORITIES.get(priority, work.Priority.NORMAL),
    )


def steps_left(origin: PriorInput) -> list[int]:
    """Steps that each content needs; a picture needs none."""
    return [origin.values.steps if isinstance(content, str) else 0 for content in origin.contents]
