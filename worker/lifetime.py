"""An engine from its first action to its last: what a worker's application does with it while the server lives."""

import asyncio
from typing import Any

from serving.device_thread import DeviceThread
from serving.metrics import WorkerMetrics
from worker.engine import Engine
from worker.reporting import report
from worker.service import stop_when_broken


class Lifetime:
    """Runs an engine once there is one; before that, draining and handing over have nothing to do.

    Args:
        device: the engine's, closed with it.
        metrics: what the engine is reported to.
    """

    def __init__(self, device: DeviceThread, metrics: WorkerMetrics) -> None:
        self._device = device
        self._metrics = metrics
        self._engine: Engine[Any, Any, Any] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, engine: Engine[Any, Any, Any]) -> None:
        """The engine is warm: it works and is reported from now on."""
        engine.ready()
        self._engine = engine
        working = asyncio.create_task(engine.run())
        working.add_done_callback(stop_when_broken)
        self._tasks = [working, asyncio.create_task(report(engine, self._metrics))]

    def drain(self) -> None:
        """Tell those who watch that no new work will be taken."""
        if self._engine is not None:
            self._engine.drain()

    def hand_over(self) -> None:
        """End the work that is left, where it is."""
        if self._engine is not None:
            self._engine.hand_over()

    async def close(self) -> None:
        """Stop, and free the device."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._device.close()
