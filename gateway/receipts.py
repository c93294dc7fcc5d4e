"""The receipt of a request from the receipts of its parts, and of a part whose worker was lost before it sent one."""

import time
from collections.abc import Callable, Mapping, Sequence

from imagegen.v1.common_pb2 import Receipt, WorkerUse
from imagegen.v1.decoder_pb2 import Progress


def merge(parts: Sequence[Receipt], *, retries: int, total_seconds: float) -> Receipt:
    """What a request cost.

    Args:
        parts: of what workers did for it, in order, those included that were lost.
        retries: how often the gateway turned to another worker.
        total_seconds: from the request's arrival at the gateway to its answer.
    """
    merged = Receipt()
    for part in parts:
        merged.queued_seconds += part.queued_seconds
        merged.encoding_seconds += part.encoding_seconds
        merged.denoising_seconds += part.denoising_seconds
        merged.decoding_seconds += part.decoding_seconds
        merged.prior_steps += part.prior_steps
        merged.denoising_steps += part.denoising_steps
        if not part.prior_steps:  # a prior's tells of its own steps, a picture's of the UNet's only
            for size, steps in part.steps_by_batch_size.items():
                merged.steps_by_batch_size[size] += steps
        merged.cache_hit = merged.cache_hit or part.cache_hit
        merged.workers.extend(part.workers)
        merged.truncations.extend(part.truncations)
        merged.retries += part.retries
    merged.retries += retries
    merged.total_seconds = total_seconds
    return merged


class Attempt:
    """What a decoder has done for a request, as far as its events tell.

    Args:
        use: who it is.
        steps_done: where it began, by the image's number.
        clock: seconds, rising.
    """

    def __init__(
        self, use: WorkerUse, steps_done: Mapping[int, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._use = use
        self._began_with = steps_done
        self._steps: dict[int, int] = {}
        self._clock = clock
        self._sent_seconds = clock()
        self._stepping_seconds: float | None = None

    def note(self, progress: Progress) -> None:
        """Takes an event in."""
        if self._stepping_seconds is None:
            self._stepping_seconds = self._clock()
        self._steps[progress.image_index] = progress.step

    def receipt(self) -> Receipt:
        """What it has cost until now; the first step counts as queued, as its beginning was not seen."""
        now = self._clock()
        stepping = now if self._stepping_seconds is None else self._stepping_seconds
        return Receipt(
            queued_seconds=stepping - self._sent_seconds,
            denoising_seconds=now - stepping,
            denoising_steps=sum(steps - self._began_with.get(image, 0) for image, steps in self._steps.items()),
            workers=[self._use],
        )
