"""The embedded store as a span processor, for providers of the SDK's kind."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from mlotel.sdk._tracer import Lines
from mlotel.semconv import SCOPE_NAME
from mlotel.store.encoding import SpanLines

__all__ = ["JournalProcessor"]


class JournalProcessor(SpanProcessor):
    """Writes each span of mlotel's scope to the journal, in the thread that ends it."""

    def __init__(self, journal: Lines) -> None:
        self._journal = journal
        self._lines = SpanLines()

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if scope is not None and scope.name == SCOPE_NAME:
            self._journal.append(self._lines.span(span))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True
