"""What a worker tells Prometheus of its queue."""

from contextlib import aclosing
from typing import Any

from kandinsky.ops import device_memory_bytes
from serving.metrics import WorkerMetrics
from worker.engine import Engine


async def report(engine: Engine[Any, Any, Any], metrics: WorkerMetrics) -> None:
    """Keep the metrics up to date until cancelled."""
    async with aclosing(engine.watch()) as states:
        async for status in states:
            metrics.status(status)
            metrics.device_memory(device_memory_bytes())
