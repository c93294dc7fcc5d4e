"""Whether systems did the same work: pictures of one job are the same, but for roundings."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.serving.load import Outcome


def levels_apart(outcomes: Sequence[Outcome], others: Sequence[Outcome]) -> int:
    """The largest difference of any channel of any picture, of 255; jobs that failed on a side are left out.

    Raises:
        RuntimeError: no job has a picture on both sides, or two pictures differ in size.
    """
    pairs = [
        (_pixels(one.picture), _pixels(other.picture))
        for one, other in zip(outcomes, others, strict=True)
        if one.picture is not None and other.picture is not None
    ]
    if not pairs:
        raise RuntimeError("no two pictures to compare")
    for one, other in pairs:
        if one.shape != other.shape:
            raise RuntimeError(f"a picture has shape {one.shape} on one side and {other.shape} on the other")
    return max(int(np.abs(one - other).max()) for one, other in pairs)


def _pixels(picture: bytes) -> npt.NDArray[np.int16]:
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"), np.int16)
