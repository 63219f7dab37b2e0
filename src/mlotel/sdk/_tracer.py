"""A tracer for the embedded store: each span is encoded and written by the thread that ends it.

It implements the OpenTelemetry API without the SDK, which takes 0.1 s to load and half of a run's time: copies and
locks for processors, samplers and exporters that the store does not have. Nothing is sampled: a lineage with holes
answers no question.
"""

from __future__ import annotations

import os
import random
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util._decorator import _agnosticcontextmanager

from mlotel._forks import after_in_child
from mlotel.store.encoding import LineEncoder

__all__ = ["Ids", "JournalSpan", "JournalTracer", "Lines", "RandomIds", "exception_attributes"]

_FLAGS = TraceFlags(0x03)  # sampled, and the trace id is random (W3C trace context level 2)
_UNSET = Status(StatusCode.UNSET)
_MOST_EVENTS = 128  # the latest, as the SDK keeps them; mlotel's own are log records


class Lines(Protocol):
    """Where lines of OTLP/JSON go; `mlotel.store.journal.Journal` is one."""

    def append(self, line: bytes) -> bool: ...


class Ids(Protocol):
    """Where trace and span ids come from; any SDK `IdGenerator` is one."""

    def generate_trace_id(self) -> int: ...

    def generate_span_id(self) -> int: ...


class RandomIds:
    """Ids from a generator of its own.

    Python's shared one is what pipelines seed: after ``random.seed(0)`` each process would draw the same ids.
    """

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))
        after_in_child(self._reseed)

    def _reseed(self) -> None:
        self._random.seed(os.urandom(32))

    def generate_span_id(self) -> int:
        """Return a random span id, never 0."""
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """Return a random trace id, never 0."""
        return self._random.getrandbits(128) or 1

    def run_id(self) -> str:
        """Return a new run id: 32 hex digits."""
        return f"{self._random.getrandbits(128):032x}"


class _Event:
    """An event of a span, in the shape that the encoder reads."""

    __slots__ = ("attributes", "name", "timestamp")
    dropped_attributes = 0

    def __init__(self, name: str, attributes: Mapping[str, Any] | None, timestamp: int) -> None:
        self.name = name
        self.attributes = attributes
        self.timestamp = timestamp


class JournalSpan(trace.Span):
    """A span that becomes a line when it ends; afterwards it takes no more changes."""

    __slots__ = (
        "_encoder",
        "_lines",
        "attributes",
        "context",
        "dropped_events",
        "end_time",
        "events",
        "kind",
        "links",
        "name",
        "parent",
        "start_time",
        "status",
    )
    dropped_attributes = dropped_links = 0

    def __init__(
        self,
        lines: Lines,
        encoder: LineEncoder,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, Any],
        links: list[Link],
        start_time: int,
    ) -> None:
        self._lines = lines
        self._encoder = encoder
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.attributes = attributes
        self.links = links
        self.start_time = start_time
        self.end_time: int | None = None
        self.status = _UNSET
        self.events: list[_Event] = []
        self.dropped_events = 0

    def get_span_context(self) -> SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return self.end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        if self.end_time is None:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        if self.end_time is None:
            self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        if self.end_time is None:
            if len(self.events) == _MOST_EVENTS:
                del self.events[0]
                self.dropped_events += 1
            self.events.append(_Event(name, attributes, time.time_ns() if timestamp is None else timestamp))

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        if self.end_time is None:
            self.links.append(Link(context, attributes))

    def update_name(self, name: str) -> None:
        if self.end_time is None:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        # OK is final, and UNSET changes nothing, as the specification says
        if self.end_time is not None or self.status.status_code is StatusCode.OK:
            return
        status = status if isinstance(status, Status) else Status(status, description)
        if status.status_code is not StatusCode.UNSET:
            self.status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self.add_event("exception", {**exception_attributes(exception, escaped), **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        if self.end_time is None:
            self.end_time = time.time_ns() if end_time is None else end_time
            self._lines.append(self._encoder.span(self))


def exception_attributes(exception: BaseException, escaped: bool) -> dict[str, str]:
    """Return the attributes of the event that a span records of an exception, as the SDK's spans do."""
    kind = type(exception)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return {
        "exception.type": f"{module}{kind.__qualname__}",
        "exception.message": str(exception),
        "exception.stacktrace": "".join(traceback.format_exception(exception)),
        "exception.escaped": str(escaped),
    }


class JournalTracer(trace.Tracer):
    """Makes spans that are written to `lines` when they end."""

    def __init__(self, lines: Lines, encoder: LineEncoder, ids: Ids) -> None:
        self._lines = lines
        self._encoder = encoder
        self._ids = ids

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> JournalSpan:
        ids = self._ids
        parent: SpanContext | None = trace.get_current_span(context).get_span_context()
        if parent is None or not parent.is_valid:
            parent = None
            trace_id = ids.generate_trace_id()
        else:
            trace_id = parent.trace_id
        return JournalSpan(
            self._lines,
            self._encoder,
            name,
            SpanContext(trace_id, ids.generate_span_id(), False, _FLAGS),
            parent,
            kind,
            dict(attributes) if attributes else {},
            list(links) if links else [],
            time.time_ns() if start_time is None else start_time,
        )

    @_agnosticcontextmanager  # what the API declares: usable as a decorator of async functions too
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[trace.Span]:
        span = self.start_span(name, context, kind, attributes, links, start_time)
        with trace.use_span(
            span,
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ):
            yield span
