"""Spans of calls, by OpenTelemetry to a collector. Imported only where --tracing asks for it: off, it costs nothing.

A call's span belongs to its caller's, by W3C trace context in the metadata. A worker's span has a child for each thing
the request went through, as its receipt tells: queue, encode, denoise, decode. A collector that is away costs spans,
never requests.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from imagegen.v1.common_pb2 import Receipt, Tier
from serving.errors import tier_name
from serving.trace_context import trace_metadata

_PARTS = ("queued", "encoding", "denoising", "decoding")
_COUNTS = ("prior_steps", "denoising_steps", "cache_hit", "retries")

# How long a collector that is away may hold a stopping server up.
_EXPORT_SECONDS = 1

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """The spans of one server.

    Args:
        endpoint: the collector's OTLP/gRPC address; http:// for no TLS.
        tier: which server this is.
    """

    def __init__(self, endpoint: str, tier: Tier.ValueType) -> None:
        self._tier = tier
        name = f"kandinsky-{tier_name(tier).lower()}"
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS))
        )
        self._tracer = self._provider.get_tracer(__name__)

    @contextmanager
    def call(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Iterator[None]:
        """The span of a call, for the length of the body; what is called in it is given the trace's context."""
        parent = _propagator.extract({name: value for name, value in metadata if isinstance(value, str)})
        service, _, rpc = method.strip("/").partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc}
        with self._tracer.start_as_current_span(
            method.strip("/"),
            parent,
            SpanKind.SERVER,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ):
            headers: dict[str, str] = {}
            _propagator.inject(headers)
            trace_metadata.set(tuple(headers.items()))
            yield

    def describe(self, answer: Message) -> None:
        """Says on the span of the current call what its answer tells of its costs."""
        receipt = _receipt_of(answer)
        if receipt is None:
            return
        span = trace.get_current_span()
        for part in _PARTS:
            span.set_attribute(f"kandinsky.{part}_seconds", getattr(receipt, f"{part}_seconds"))
        for count in _COUNTS:
            span.set_attribute(f"kandinsky.{count}", getattr(receipt, count))
        for rows, steps in receipt.steps_by_batch_size.items():
            span.set_attribute(f"kandinsky.steps_in_batches_of.{rows}", steps)
        if self._tier != Tier.TIER_GATEWAY:
            self._add_parts(receipt)

    def ended(self, request_id: str, tenant_id: str, status: str, reason: str | None) -> None:
        """Says on the span of the current call what became of it."""
        span = trace.get_current_span()
        span.set_attribute("kandinsky.request_id", request_id)
        span.set_attribute("kandinsky.tenant", tenant_id)
        span.set_attribute("rpc.grpc.status", status)
        if reason is not None:
            span.set_attribute("kandinsky.reason", reason)
        if status != "OK":
            span.set_status(StatusCode.ERROR, status)

    async def close(self) -> None:
        """Sends what is left."""
        await asyncio.to_thread(self._provider.shutdown)

    def _add_parts(self, receipt: Receipt) -> None:
        """Children one after another, up to now."""
        lengths = {part: round(getattr(receipt, f"{part}_seconds") * 1e9) for part in _PARTS}
        start = time.time_ns() - sum(lengths.values())
        for part, length in lengths.items():
            if length > 0:
                self._tracer.start_span(part, start_time=start).end(start + length)
            start += length


def _receipt_of(answer: Message) -> Receipt | None:
    """Its receipt, or that of the result it holds; None: it has none."""
    holders: tuple[Any, Any] = (answer, getattr(answer, "result", None))
    for holder in holders:
        if holder is not None and "receipt" in holder.DESCRIPTOR.fields_by_name and holder.HasField("receipt"):
            receipt: Receipt = holder.receipt
            return receipt
    return None
