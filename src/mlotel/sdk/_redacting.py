"""What stands before tracers, sinks of events, meters and the data set of predictions where something is kept back.

Made only where `configure` was told to: without it, no call passes through here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Observation
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util._decorator import _agnosticcontextmanager

from mlotel._runtime import EventSink, PredictionSink, Runtime, ServingMeters
from mlotel.sdk._redaction import RECORD_KEY, SPAN_NAME, Redaction
from mlotel.sdk._tracer import exception_attributes
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    from mlotel.store.predictions.rows import KeyedRows

__all__ = ["RedactingMeter", "redacted"]


def redacted(runtime: Runtime, redaction: Redaction) -> Runtime:
    """Return a runtime of which nothing leaves but what `redaction` lets through; its instruments see to it already."""
    return replace(
        runtime,
        tracer=RedactingTracer(runtime.tracer, redaction),
        events=RedactingEvents(runtime.events, redaction),
        logs=None if runtime.logs is None else RedactingEvents(runtime.logs, redaction),
        predictions=None if runtime.predictions is None else RedactingPredictions(runtime.predictions, redaction),
        serving_meters=_serving_meters(runtime.serving_meters, redaction),
    )


class RedactingSpan(trace.Span):
    """A span that is told what may leave; what else it is asked, the span behind it answers."""

    def __init__(self, span: trace.Span, redaction: Redaction) -> None:
        self._span = span
        self._redaction = redaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)

    def get_span_context(self) -> SpanContext:
        return self._span.get_span_context()

    def is_recording(self) -> bool:
        return self._span.is_recording()

    def set_attribute(self, key: str, value: Any) -> None:
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(self._redaction.attributes(attributes))

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        self._span.add_event(name, self._redaction.attributes(attributes), timestamp)

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        self._span.add_link(context, self._redaction.attributes(attributes))

    def update_name(self, name: str) -> None:
        self._span.update_name(self._redaction.text(SPAN_NAME, name))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        status = status if isinstance(status, Status) else Status(status, description)
        self._span.set_status(Status(status.status_code, self._redaction.status(status.description)))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self.add_event("exception", {**exception_attributes(exception, escaped), **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        self._span.end(end_time)


class RedactingTracer(trace.Tracer):
    """Makes spans of another tracer's that are told what may leave."""

    def __init__(self, tracer: trace.Tracer, redaction: Redaction) -> None:
        self._tracer = tracer
        self._redaction = redaction

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
    ) -> trace.Span:
        redaction = self._redaction
        span = self._tracer.start_span(
            redaction.text(SPAN_NAME, name),
            context,
            kind,
            redaction.attributes(attributes),
            [Link(each.context, redaction.attributes(each.attributes)) for each in links or ()],
            start_time,
            record_exception,
            set_status_on_exception,
        )
        return RedactingSpan(span, redaction)

    @_agnosticcontextmanager  # as in the API
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
        with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception):
            yield span


class RedactingEvents:
    """Hands events on to a sink with what may leave of them."""

    def __init__(self, events: EventSink, redaction: Redaction) -> None:
        self._events = events
        self._redaction = redaction

    def emit(self, name: str, *, attributes: Mapping[str, Any], body: str | None = None, **event: Any) -> None:
        redaction = self._redaction
        self._events.emit(name, attributes=redaction.attributes(attributes), body=redaction.body(name, body), **event)


class RedactingPredictions:
    """Hands keyed predictions on to a data set with what may leave of their texts; the hash of a key stays."""

    def __init__(self, predictions: PredictionSink, redaction: Redaction) -> None:
        self._predictions = predictions
        self._redaction = redaction

    def lost(self, number: int) -> None:
        self._predictions.lost(number)

    def add(self, rows: KeyedRows) -> None:
        text = self._text
        self._predictions.add(
            replace(
                rows,
                keys=None if rows.keys is None else [str(text(RECORD_KEY, key)) for key in rows.keys],
                texts=None if rows.texts is None else self._column(rows.texts),
                variant=text(A.FEATURE_FLAG_RESULT_VARIANT, rows.variant),
                model=text(A.MLOTEL_MODEL_NAME, rows.model),
                model_version=text(A.MLOTEL_MODEL_VERSION, rows.model_version),
            )
        )

    def _text(self, key: str, text: str | None) -> str | None:
        return None if text is None else self._redaction.text(key, text)

    def _column(self, texts: Any) -> Any:
        import pyarrow as pa  # there are predictions: it is loaded already

        known = texts.dictionary_encode()  # the hook is asked once for each class
        told = [self._text(A.MLOTEL_PREDICTION_CLASS, each) for each in known.dictionary.to_pylist()]
        return pa.array(told, pa.string()).take(known.indices)


class RedactingMeters:
    """A provider of another one's meters, which are told what may leave."""

    def __init__(self, provider: Any, redaction: Redaction) -> None:
        self._provider = provider
        self._redaction = redaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def stands_before(self, provider: object) -> bool:
        return self._provider is provider

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Any:
        about = None if attributes is None else self._redaction.attributes(attributes)
        return RedactingMeter(self._provider.get_meter(name, version, schema_url, about), self._redaction)


def _serving_meters(meters: ServingMeters, redaction: Redaction) -> ServingMeters:
    known: list[RedactingMeters] = []

    def redacting() -> tuple[Any, bool]:
        provider, own = meters()
        if provider is None:
            return None, own
        if not known or not known[0].stands_before(provider):  # who asks knows a provider by its identity
            known[:] = [RedactingMeters(provider, redaction)]
        return known[0], own

    return redacting


class RedactingMeter:
    """A meter whose instruments, of whatever kind, are told what may leave of their labels."""

    def __init__(self, meter: Any, redaction: Redaction) -> None:
        self._meter = meter
        self._redaction = redaction

    def __getattr__(self, name: str) -> Any:
        make = getattr(self._meter, name)
        return functools.partial(self._observable if name.startswith("create_observable") else self._make, make)

    def _make(self, make: Callable[..., Any], *arguments: Any, **options: Any) -> _Instrument:
        return _Instrument(make(*arguments, **options), self._redaction)

    def _observable(
        self, make: Callable[..., Any], name: str, callbacks: Sequence[Callable[..., Any]], *about: Any, **options: Any
    ) -> Any:
        return make(name, [self._observing(each) for each in callbacks], *about, **options)

    def _observing(self, callback: Callable[..., Iterable[Observation]]) -> Callable[..., Iterable[Observation]]:
        def observe(options: Any) -> Iterable[Observation]:
            for each in callback(options):
                yield Observation(each.value, self._redaction.attributes(each.attributes), each.context)

        return observe


class _Instrument:
    def __init__(self, instrument: Any, redaction: Redaction) -> None:
        self._instrument = instrument
        self._redaction = redaction

    def __getattr__(self, name: str) -> Callable[..., None]:
        call = getattr(self._instrument, name)  # add, record or set

        def told(value: float, attributes: Mapping[str, Any] | None = None, context: Context | None = None) -> None:
            call(value, self._redaction.attributes(attributes), context)

        return told
