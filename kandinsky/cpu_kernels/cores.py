"""How many of the machine's cores are this process's."""

import os


def core_count() -> int:
    """OMP_NUM_THREADS, by which containers are told what is theirs, or else all."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else len(os.sched_getaffinity(0))
