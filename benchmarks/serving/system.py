"""What the load is put on."""

from typing import Protocol

from benchmarks.serving.job import Job


class System(Protocol):
    """Servers that make pictures."""

    @property
    def name(self) -> str:
        """What it is called in the table."""

    @property
    def process_ids(self) -> list[int]:
        """Of the processes that were started; they may have started others."""

    async def start(self) -> None:
        """Start it and wait until it can make pictures.

        Raises:
            RuntimeError: it has ended, or takes too long.
        """

    async def stop(self) -> None:
        """End all of its processes, however far `start` came."""

    async def make(self, job: Job) -> bytes:
        """The file of the picture. Raises what goes wrong."""
