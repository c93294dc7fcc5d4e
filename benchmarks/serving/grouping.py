"""What can run together of a batch that a dynamic batcher has gathered: it knows nothing of sizes."""

from collections.abc import Sequence

from benchmarks.serving.job import Job


def by_side(jobs: Sequence[Job], largest: int) -> list[list[int]]:
    """The places of jobs of one size, in their order, at most so many together."""
    places: dict[int, list[int]] = {}
    for place, job in enumerate(jobs):
        places.setdefault(job.side_px, []).append(place)
    return [alike[start : start + largest] for alike in places.values() for start in range(0, len(alike), largest)]


def compiled_size(count: int, batch_sizes: Sequence[int]) -> int:
    """The smallest compiled batch that holds so many rows."""
    return min(size for size in batch_sizes if size >= count)
