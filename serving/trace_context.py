"""What a call to another server carries, so that its span there belongs to the span here."""

from contextvars import ContextVar

# W3C trace context as metadata; empty while nothing is traced.
trace_metadata: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("trace_metadata", default=())
