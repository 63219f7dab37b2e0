"""Writing what somebody says of runs and artifacts after the fact: to a store, and to an OpenTelemetry logger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanContext

from mlotel._runtime import EventSink
from mlotel.errors import ConfigurationError, StoreError
from mlotel.sdk._redaction import Redaction
from mlotel.sdk._tracer import Lines
from mlotel.store.encoding import LineEncoder

__all__ = ["Recorder"]


class Recorder:
    """Writes records, and says so where it cannot: who says something wants to know that it was heard.

    Args:
        lines: the store, None where there is none.
        encoder: makes lines of records.
        logs: an OpenTelemetry logger, None where there is none.
        redaction: what is kept back of what the store is told; `logs` knows it already.
    """

    def __init__(
        self,
        lines: Lines | None,
        encoder: LineEncoder,
        logs: EventSink | None,
        redaction: Redaction = Redaction(),  # noqa: B008 # a frozen value
    ) -> None:
        if lines is None and logs is None:
            raise ConfigurationError(
                "there is no place to write to: the embedded store is switched off, and no collector is configured"
            )
        self._lines = lines
        self._encoder = encoder
        self._logs = logs
        self._redaction = redaction

    def record(
        self, name: str, *, time_ns: int, context: SpanContext, attributes: Mapping[str, Any], body: str | None
    ) -> None:
        """Write one record. Raises StoreError where the store does not take it."""
        if self._lines is not None:
            line = self._encoder.event(
                name,
                time_ns=time_ns,
                trace_id=context.trace_id,
                span_id=context.span_id,
                attributes=self._redaction.attributes(attributes),
                severity_number=9,
                body=self._redaction.body(name, body),
            )
            if not self._lines.append(line):
                raise StoreError(f"{name} could not be written to the store: see that its disk has room and lets you")
        if self._logs is not None:
            self._logs.emit(name, time_ns=time_ns, context=context, attributes=attributes, body=body)
