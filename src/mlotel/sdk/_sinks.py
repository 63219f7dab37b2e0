"""Where ended spans and events go: the journal of the embedded store, and OpenTelemetry loggers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext

from mlotel._runtime import EventSink
from mlotel.semconv import SCOPE_NAME
from mlotel.store.encoding import LineEncoder, SpanLines

__all__ = ["JournalEvents", "JournalProcessor", "Lines", "LoggerEvents", "NoEvents", "Tee"]


class Lines(Protocol):
    """Where lines of OTLP/JSON go; `mlotel.store.journal.Journal` is one."""

    def append(self, line: bytes) -> bool: ...


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


class JournalEvents:
    """Writes events to the journal at once: a start record outlives the process that wrote it."""

    def __init__(self, journal: Lines, resource: Resource, version: str) -> None:
        self._journal = journal
        self._encoder = LineEncoder(resource.attributes, SCOPE_NAME, version)

    def emit(
        self,
        name: str,
        *,
        time_ns: int,
        context: SpanContext,
        attributes: Mapping[str, Any],
        severity: int = 9,
        body: str | None = None,
    ) -> None:
        self._journal.append(
            self._encoder.event(
                name,
                time_ns=time_ns,
                trace_id=context.trace_id,
                span_id=context.span_id,
                attributes=attributes,
                severity_number=severity,
                body=body,
            )
        )


class LoggerEvents:
    """Emits events as log records of an OpenTelemetry logger."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def emit(
        self,
        name: str,
        *,
        time_ns: int,
        context: SpanContext,
        attributes: Mapping[str, Any],
        severity: int = 9,
        body: str | None = None,
    ) -> None:
        self._logger.emit(
            LogRecord(
                timestamp=time_ns,
                observed_timestamp=time.time_ns(),
                context=trace.set_span_in_context(trace.NonRecordingSpan(context), Context()),
                severity_number=SeverityNumber(severity),
                severity_text=SeverityNumber(severity).name,
                body=body,
                attributes=dict(attributes),
                event_name=name,
            )
        )


class NoEvents:
    """Takes events and keeps none."""

    def emit(self, name: str, **_: Any) -> None:
        return


class Tee:
    """Emits each event to several sinks."""

    def __init__(self, sinks: Sequence[EventSink]) -> None:
        self._sinks = tuple(sinks)

    def emit(self, name: str, **event: Any) -> None:
        for sink in self._sinks:
            sink.emit(name, **event)
