"""The words of the planner: requests, their rows, and which rows may share an action."""

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple


class Stage(enum.IntEnum):
    """What a row needs next, in this order. Encoding is once a request, steps and decoding are once a row."""

    ENCODE = 0
    STEP = 1
    DECODE = 2


class Shape(NamedTuple):
    """A working size in pixels. Work without pictures has any one shape, always the same."""

    width_px: int
    height_px: int

    @property
    def pixels(self) -> int:
        """Width × height."""
        return self.width_px * self.height_px


class Kind(NamedTuple):
    """What rows must have in common to share an action.

    Attributes:
        stage: what is done.
        shape: at which size.
        evaluations: of the network for each row (for each request, when encoding). A compiled graph belongs to rows
            with or without guidance, so these never share a step.
    """

    stage: Stage
    shape: Shape
    evaluations: int


class Priority(enum.Enum):
    """How long a request's work counts for against other requests of its tenant."""

    HIGH = 0.25
    NORMAL = 1.0
    LOW = 4.0


@dataclass(frozen=True, slots=True)
class Request:
    """What all rows of a request have in common.

    Attributes:
        request_id: unique in the table.
        shape: the size its rows work at.
        evaluations: of the network for each step of a row: 2 under guidance, else 1.
        arrival_seconds: when it came, by the clock of `plan`'s now_seconds.
        deadline_seconds: when it must be done, by the same clock; infinity for no deadline.
        tenant: who is charged for it.
        weight: the tenant's share of the device, relative to other tenants; above 0.
        priority: among requests of the tenant.
    """

    request_id: str
    shape: Shape
    evaluations: int
    arrival_seconds: float
    deadline_seconds: float = math.inf
    tenant: str = ""
    weight: float = 1.0
    priority: Priority = Priority.NORMAL

    def __post_init__(self) -> None:
        """Refuse what the planner could not order."""
        if self.evaluations < 1 or not 0 < self.weight < math.inf:
            raise ValueError(f"{self!r}: evaluations must be 1 or more, weight above 0 and finite")
        if not math.isfinite(self.arrival_seconds) or math.isnan(self.deadline_seconds):
            raise ValueError(f"{self!r}: arrival_seconds must be finite, deadline_seconds a number")

    @property
    def step_kind(self) -> Kind:
        """What its rows' steps can be shared with."""
        return Kind(Stage.STEP, self.shape, self.evaluations)


@dataclass(frozen=True, slots=True)
class Row:
    """One image, or one embedding, of a request, and how far it is.

    Attributes:
        row_id: unique in the table.
        request: whose row it is.
        stage: what it needs next.
        steps_remaining: 1 or more at STEP; at DECODE 0; at ENCODE 0 is possible.
    """

    row_id: str
    request: Request
    stage: Stage
    steps_remaining: int

    def __post_init__(self) -> None:
        """Refuse a number of steps that does not go with the stage."""
        allowed = {Stage.ENCODE: self.steps_remaining >= 0, Stage.STEP: self.steps_remaining >= 1}
        if not allowed.get(self.stage, self.steps_remaining == 0):
            raise ValueError(f"{self!r}: {self.steps_remaining} steps cannot remain at {self.stage.name}")

    def __repr__(self) -> str:
        return f"Row({self.row_id}, {self.stage.name}, {self.steps_remaining} steps)"

    @property
    def kind(self) -> Kind:
        """What it may share its next action with."""
        return self.request.step_kind if self.stage is Stage.STEP else Kind(self.stage, self.request.shape, 1)
