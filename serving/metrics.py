"""What Prometheus is told: one object a server, made in its application and handed to whoever has something to count.

Names, labels and buckets are in this file only. Times are in seconds. Methods are cheap, from any thread.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from imagegen.v1.common_pb2 import Phase, Tier, WorkerStatus
from serving.errors import phase_name, tier_name

# From a refusal to a picture of a hundred steps on a slow device.
_CALL_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_STEP_BUCKETS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24)
_ROW_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class Metrics:
    """What every server counts.

    Attributes:
        registry: what `/metrics` shows.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = self.counter(
            "requests",
            "Calls answered, by gRPC status and, where they failed, by reason.",
            "method",
            "status",
            "reason",
        )
        self._request_seconds = self.histogram("request_seconds", "From arrival to answer.", _CALL_BUCKETS, "method")
        self._cancellations = self.counter(
            "cancellations",
            "Requests stopped early: in which phase, and by an id, a client or a deadline.",
            "phase",
            "cause",
        )
        self._ready = self.gauge("ready", "1 while calls are served; 0 while loading and draining.", "tier")
        self._cache_hits = self.counter("cache_hits", "Lookups that found what they sought.", "cache")
        self._cache_misses = self.counter("cache_misses", "Lookups that did not.", "cache")

    def ready(self, tier: Tier.ValueType, *, is_ready: bool) -> None:
        """The server of this tier serves calls, or does not."""
        self._ready.labels(tier_name(tier)).set(is_ready)

    def answered(self, method: str, status: str, reason: str | None, seconds: float) -> None:
        """A call has ended: its Service/Method, the name of its gRPC status, the reason of its error."""
        self._requests.labels(method, status, "" if reason is None else reason).inc()
        self._request_seconds.labels(method).observe(seconds)

    def cancelled(self, phase: Phase.ValueType, cause: str) -> None:
        """A request was stopped in this phase; cause: id, client or deadline."""
        self._cancellations.labels(phase_name(phase), cause).inc()

    def looked_up(self, cache: str, *, hit: bool) -> None:
        """Something was sought in a cache of this name."""
        (self._cache_hits if hit else self._cache_misses).labels(cache).inc()

    def counter(self, name: str, sentence: str, *labels: str) -> Counter:
        """A counter `kandinsky_NAME_total`."""
        return Counter(f"kandinsky_{name}", sentence, labels, registry=self.registry)

    def gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        """A gauge `kandinsky_NAME`."""
        return Gauge(f"kandinsky_{name}", sentence, labels, registry=self.registry)

    def histogram(self, name: str, sentence: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """A histogram `kandinsky_NAME`."""
        return Histogram(f"kandinsky_{name}", sentence, labels, registry=self.registry, buckets=buckets)


class WorkerMetrics(Metrics):
    """What a worker counts besides: its device and its rows."""

    def __init__(self) -> None:
        super().__init__()
        self._step_seconds = self.histogram("step_seconds", "One action of the device.", _STEP_BUCKETS, "stage")
        self._batch_rows = self.histogram("batch_rows", "Rows in one action of the device.", _ROW_BUCKETS, "stage")
        self._busy_seconds = self.counter("device_busy_seconds", "Time in which the device was at work.")
        self._queue_wait_seconds = self.histogram("queue_wait_seconds", "Waiting for a device.", _CALL_BUCKETS)
        self._queued_work_seconds = self.gauge(
            "queued_work_seconds", "Device seconds of accepted work that is not done."
        )
        self._running_rows = self.gauge("running_rows", "Rows between their first and last use of the device.")
        self._queued_rows = self.gauge("queued_rows", "Rows that have not started.")
        self._lookups: dict[str, tuple[int, int]] = {}  # hits and misses of each cache, as told before
        self._recompiles = self.counter("recompiles", "Graphs compiled after the server was ready.")
        self._memory_bytes = self.gauge("device_memory_bytes", "Memory of the device that this process holds.")

    def action(self, stage: str, rows: int, seconds: float) -> None:
        """The device has done one action: its stage (encode, step or decode) and how many rows took part."""
        self._step_seconds.labels(stage).observe(seconds)
        self._batch_rows.labels(stage).observe(rows)
        self._busy_seconds.inc(seconds)

    def waited(self, seconds: float) -> None:
        """A request has waited so long for its turn."""
        self._queue_wait_seconds.observe(seconds)

    def status(self, status: WorkerStatus) -> None:
        """What the worker tells of itself has changed."""
        self._queued_work_seconds.set(status.queued_work_seconds)
        self._running_rows.set(status.running_rows)
        self._queued_rows.set(status.queued_rows)
        for cache in status.caches:
            hits, misses = self._lookups.get(cache.name, (0, 0))
            self._cache_hits.labels(cache.name).inc(cache.hits - hits)
            self._cache_misses.labels(cache.name).inc(cache.misses - misses)
            self._lookups[cache.name] = (cache.hits, cache.misses)

    def recompiled(self, graphs: int) -> None:
        """So many graphs have been compiled for a shape that was not warmed up."""
        self._recompiles.inc(graphs)

    def device_memory(self, size_bytes: int) -> None:
        """So much of the device's memory is held."""
        self._memory_bytes.set(size_bytes)


class GatewayMetrics(Metrics):
    """What the gateway counts besides: its workers."""

    def __init__(self) -> None:
        super().__init__()
        self._worker_work = self.gauge(
            "worker_queued_work_seconds", "Work that a worker holds, as far as the gateway knows.", "tier", "worker"
        )
        self._retries = self.counter("retries", "Requests sent to another worker.", "tier")

    def worker_work(self, tier: Tier.ValueType, worker: str, seconds: float) -> None:
        """What a worker holds."""
        self._worker_work.labels(tier_name(tier), worker).set(seconds)

    def worker_gone(self, tier: Tier.ValueType, worker: str) -> None:
        """A worker is known no longer."""
        self._worker_work.remove(tier_name(tier), worker)

    def retried(self, tier: Tier.ValueType) -> None:
        """A request was sent to another worker."""
        self._retries.labels(tier_name(tier)).inc()
