"""What is asked for: a base case, and cases that differ from it in one thing."""

import os
from dataclasses import dataclass, replace
from enum import Enum

SIDES_PX = (64, 128, 256)
BATCH_SIZES = (1, 2, 4)
CORES = os.cpu_count() or 1


class Decoders(Enum):
    """The decoders behind a gateway: how many, and how many threads each has; 0: as many as there are cores."""

    ONE = (1, 0)
    ONE_OF_ONE_THREAD = (1, 1)
    TWO_OF_ONE_THREAD = (2, 1)

    @property
    def workers(self) -> int:
        """Processes."""
        workers: int = self.value[0]
        return workers

    @property
    def threads(self) -> int:
        """OMP_NUM_THREADS of each."""
        return self.value[1] or CORES


@dataclass(frozen=True)
class Case:
    """Requests that are sent at the same time, all alike but for their seeds. Without arguments: the base.

    Attributes:
        side_px: width and height of a picture.
        steps: UNet steps that are run for each picture.
        images: pictures of one request.
        at_once: requests.
        decoders: who makes the pictures.
    """

    side_px: int = 128
    steps: int = 25
    images: int = 1
    at_once: int = 1
    decoders: Decoders = Decoders.ONE

    @property
    def pictures(self) -> int:
        """Of all requests."""
        return self.images * self.at_once


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        varied: what differs from the base.
        value: how.
        case: what is asked for.
    """

    varied: str
    value: str
    case: Case


BASE = Case()
# What more workers are for: one of them is never idle.
BUSY = replace(BASE, at_once=8)


def rows() -> list[Row]:
    """The table's rows. The base is in each part of it but that of the workers, which are compared when busy."""
    return [
        *(Row("size", f"{side_px} × {side_px} px", replace(BASE, side_px=side_px)) for side_px in SIDES_PX),
        *(Row("steps", str(steps), replace(BASE, steps=steps)) for steps in (5, 10, 25, 50)),
        *(Row("images of one request", str(images), replace(BASE, images=images)) for images in BATCH_SIZES),
        *(Row("requests at once", str(at_once), replace(BASE, at_once=at_once)) for at_once in (1, 2, 4, BUSY.at_once)),
        *(
            Row(
                f"workers, {BUSY.at_once} at once",
                f"{decoders.workers} × {decoders.threads} thread{'s' * (decoders.threads > 1)}",
                replace(BUSY, decoders=decoders),
            )
            for decoders in Decoders
        ),
    ]


def cases() -> list[Case]:
    """What is measured: each case once, the base first."""
    return list(dict.fromkeys([BASE, *(row.case for row in rows())]))
