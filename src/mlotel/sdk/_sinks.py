"""Where events go: the embedded store, or an OpenTelemetry logger."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from mlotel._forks import Lock
from mlotel._runtime import EventSink
from mlotel._span_room import fitting
from mlotel.sdk._losses import Item, Losses
from mlotel.sdk._tracer import Lines
from mlotel.store.encoding import LineEncoder

if TYPE_CHECKING:
    from mlotel.store.predictions.rows import KeyedRows
    from mlotel.store.predictions.writer import PredictionLog

__all__ = ["CountedLines", "CountedPredictions", "Event", "JournalEvents", "LoggerEvents", "NoEvents", "Tee"]


class JournalEvents:
    """Writes events to the journal at once: a start record outlives the process that wrote it."""

    def __init__(self, lines: Lines, encoder: LineEncoder) -> None:
        self._lines = lines
        self._encoder = encoder

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
        self._lines.append(
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


@dataclass(frozen=True, slots=True)
class Event:
    """An event on its way to a collector."""

    name: str
    time_ns: int
    context: SpanContext
    attributes: Mapping[str, Any]
    severity: int
    body: str | None

    def encode(self, encoder: LineEncoder) -> bytes:
        """Return the event as a line of OTLP/JSON."""
        return encoder.event(
            self.name,
            time_ns=self.time_ns,
            trace_id=self.context.trace_id,
            span_id=self.context.span_id,
            attributes=self.attributes,
            severity_number=self.severity,
            body=self.body,
        )


class Waiting(Protocol):
    """Where events are noted that are on their way."""

    def add(self, key: int, item: Event) -> None: ...


class LoggerEvents:
    """Emits events as log records of an OpenTelemetry logger.

    Args:
        logger: The logger.
        waiting: Where each event is noted under its observed time, which is made unique.
        attributes_kept: How many attributes a record keeps; None for all.
    """

    def __init__(self, logger: Logger, waiting: Waiting | None = None, attributes_kept: int | None = None) -> None:
        self._logger = logger
        self._waiting = waiting
        self._lock = Lock()
        self._attributes_kept = attributes_kept
        self._observed = 0

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
        with self._lock:
            observed = self._observed = max(self._observed + 1, time.time_ns())
        if self._waiting is not None:
            self._waiting.add(observed, Event(name, time_ns, context, attributes, severity, body))
        self._logger.emit(
            LogRecord(
                timestamp=time_ns,
                observed_timestamp=observed,
                context=trace.set_span_in_context(trace.NonRecordingSpan(context), Context()),
                severity_number=SeverityNumber(severity),
                severity_text=SeverityNumber(severity).name,
                body=body,
                attributes=dict(fitting(attributes, self._attributes_kept)),
                event_name=name,
            )
        )


class CountedLines:
    """Lines on their way to the store, of which those are counted that it does not take."""

    def __init__(self, lines: Lines, losses: Losses) -> None:
        self._lines = lines
        self._losses = losses

    def append(self, line: bytes) -> bool:
        taken = self._lines.append(line)
        if not taken:
            item: Item = "log_record" if line.startswith(b'{"resourceLogs"') else "span"
            self._losses.dropped(item, 1, "store_unwritable", None)  # the store has said so
        return taken


class CountedPredictions:
    """Keyed predictions on their way to the data set, of which those are counted that it does not take."""

    def __init__(self, predictions: PredictionLog, losses: Losses) -> None:
        self._predictions = predictions
        self._losses = losses

    def add(self, rows: KeyedRows) -> None:
        if not self._predictions.add(rows):
            self.lost(len(rows))  # the data set has said so

    def lost(self, number: int) -> None:
        """Count predictions, also such as never came here: the store had no secret to hash their keys with."""
        self._losses.dropped("prediction", number, "store_unwritable", None)


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
