"""The OTLP exporters, wrapped so that a collector that is away costs nothing and loses nothing.

What could not be sent is spooled in OTLP/JSON lines, which `mlotel replay` sends later. A signal that the backend
refuses for good (Jaeger takes neither logs nor metrics) is switched off with one warning.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from mlotel import uris
from mlotel._log import logger
from mlotel._runtime import guard
from mlotel.sdk._settings import Settings, Signal
from mlotel.sdk._sinks import Event
from mlotel.store.encoding import LineEncoder, SpanLines
from mlotel.store.journal import Journal

__all__ = [
    "Backend",
    "Gate",
    "LogExporter",
    "MetricsExporter",
    "Pending",
    "TraceExporter",
    "TraceProcessor",
    "make_exporter",
]

_PAUSE_S = 5.0
"""After a failed export the next ones are spooled at once for so long: the exporter's own retries take ten seconds."""

T = TypeVar("T")


def make_exporter(settings: Settings, signal: Signal) -> Any:
    """Return the official exporter of a signal, for the protocol and endpoint that are asked for."""
    options: dict[str, Any] = {"endpoint": settings.endpoint_of(signal)}
    if settings.headers is not None:
        options["headers"] = dict(settings.headers)
    grpc = settings.protocol_of(signal) == "grpc"
    if grpc and settings.endpoint is not None:
        options["insecure"] = settings.endpoint.startswith("http://")
    # imported by need: gRPC alone takes longer to load than all the rest
    if signal == "traces":
        if grpc:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[assignment] # same shape
                OTLPSpanExporter,
            )
        return OTLPSpanExporter(**options)
    if signal == "logs":
        if grpc:
            from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        else:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # type: ignore[assignment] # same shape
                OTLPLogExporter,
            )
        return OTLPLogExporter(**options)
    if grpc:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # type: ignore[assignment] # same shape
            OTLPMetricExporter,
        )
    return OTLPMetricExporter(**options)


class Pending(Generic[T]):
    """What was handed over and not yet taken by the collector, in order, to be spooled if it never is.

    The SDK's batch processors drop the oldest items of a full queue, and keep to themselves what is still queued when
    the process ends. Single dict operations need no lock, which a fork might find held.

    Args:
        encode: Makes an item a line of OTLP/JSON.
        spool: Where lines go; None where there is no place for them.
        limit: How many items may wait; the oldest goes to the spool then.
    """

    def __init__(self, encode: Callable[[T], bytes], spool: Journal | None, limit: int) -> None:
        self._encode = encode
        self._spool = spool
        self._limit = limit
        self._items: dict[int, T] = {}
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forget(reference))  # they are the parent's

    def add(self, key: int, item: T) -> None:
        """Take an item that is about to be queued."""
        self._items[key] = item
        if len(self._items) > self._limit:
            self.keep([next(iter(self._items))])

    def __contains__(self, key: int) -> bool:
        return key in self._items

    def done(self, keys: Iterable[int]) -> None:
        """Forget items that arrived."""
        for key in keys:
            self._items.pop(key, None)

    def keep(self, keys: Iterable[int]) -> None:
        """Spool items that did not arrive."""
        for key in keys:
            item = self._items.pop(key, None)
            if item is not None and self._spool is not None:
                self._spool.append(self._encode(item))

    def drain(self) -> None:
        """Spool all that is left."""
        self.keep(list(self._items))


def _forget(reference: weakref.ref[Pending[Any]]) -> None:
    pending = reference()
    if pending is not None:
        pending._items = {}


class Gate(Generic[T]):
    """Decides for each batch of one signal: send it, keep it for later, or (refused for good) let it go."""

    def __init__(
        self,
        signal: Signal,
        export: Callable[[T], bool],
        backend: Backend,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signal = signal
        self._backend = backend
        self._export = export
        self._clock = clock
        self._closed_until = float("-inf")
        self._off = False
        self.failing = False
        self.closing = False

    def turn_off(self) -> None:
        """Let everything go from now on, without a word."""
        self._off, self.failing = True, False

    def send(self, batch: T) -> bool:
        """Return whether `batch` is done with: it arrived, or its signal is off."""
        if self._off:
            return True
        if self.closing or self._clock() < self._closed_until:
            return False
        try:
            arrived = self._export(batch)
        except Exception as error:  # some versions of the exporters raise what others log
            logger.debug("mlotel: export of %s", self._signal, exc_info=error)
            arrived = False
        if arrived:
            self.failing = False
            return True
        # traces are the data: who refuses them may be a mistyped path or a proxy, so they are kept in any case
        if self._signal != "traces" and self._backend.refuses():
            self._off, self.failing = True, False
            logger.warning("mlotel: %s takes no %s: they are not sent any more", self._backend.endpoint, self._signal)
            return True
        self._closed_until = self._clock() + _PAUSE_S
        self.tell()
        return False

    def tell(self) -> None:
        """Warn, once until something arrives again, that this signal does not."""
        if self.failing:
            return
        self.failing = True
        kept = "" if self._signal == "metrics" else " and are kept for 'mlotel replay' where a store can be written"
        logger.warning("mlotel: %s could not be sent to %s%s", self._signal, self._backend.endpoint, kept)


class _Closable:
    """What the three exporters have in common: they buffer nothing, and end once."""

    gate: Gate[Any]
    _inner: Any

    def shutdown(self, *_: Any, **__: Any) -> None:
        if not self.gate.closing:
            self.gate.closing = True
            self._inner.shutdown()

    def force_flush(self, *_: Any, **__: Any) -> bool:
        return True


class TraceProcessor(BatchSpanProcessor):
    """The SDK's batch processor, which also notes what is on its way."""

    def __init__(self, exporter: TraceExporter) -> None:
        super().__init__(exporter)
        self._waiting = exporter.pending

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._waiting.add(id(span), span)
        super().on_end(span)


class TraceExporter(_Closable, SpanExporter):
    """Sends spans to the collector, or spools them."""

    def __init__(self, inner: Any, spool: Journal | None, backend: Backend) -> None:
        self._inner = inner
        self.pending: Pending[ReadableSpan] = Pending(SpanLines().span, spool, _queue_size("OTEL_BSP"))
        self.gate: Gate[Sequence[ReadableSpan]] = Gate("traces", self._send, backend)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        waiting = [span for span in spans if id(span) in self.pending]  # the rest is in the spool already
        if not waiting or self.gate.send(waiting):
            self.pending.done(map(id, waiting))
            return SpanExportResult.SUCCESS
        self.pending.keep(map(id, waiting))
        return SpanExportResult.FAILURE

    def _send(self, spans: Sequence[ReadableSpan]) -> bool:
        return bool(self._inner.export(spans) is SpanExportResult.SUCCESS)


class LogExporter(_Closable, LogRecordExporter):
    """Sends log records to the collector, or spools them.

    `LoggerEvents` notes each record in `pending` under its observed time, which it makes unique; the SDK copies records
    on their way.
    """

    def __init__(self, inner: Any, spool: Journal | None, encoder: LineEncoder, backend: Backend) -> None:
        self._inner = inner
        self.pending: Pending[Event] = Pending(lambda event: event.encode(encoder), spool, _queue_size("OTEL_BLRP"))
        self.gate: Gate[Sequence[Any]] = Gate("logs", self._send, backend)

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        waiting = [data for data in batch if data.log_record.observed_timestamp in self.pending]
        keys = [data.log_record.observed_timestamp for data in waiting]
        if not waiting or self.gate.send(waiting):
            self.pending.done(keys)
            return LogRecordExportResult.SUCCESS
        self.pending.keep(keys)
        return LogRecordExportResult.FAILURE

    def _send(self, batch: Sequence[Any]) -> bool:
        return bool(self._inner.export(batch) is LogRecordExportResult.SUCCESS)


def _queue_size(prefix: str) -> int:
    """Return how many items the SDK's batch processor may hold, queued or on their way."""
    sizes = (("MAX_QUEUE_SIZE", 2048), ("MAX_EXPORT_BATCH_SIZE", 512))
    values = [os.environ.get(f"{prefix}_{name}", "").strip() or str(usual) for name, usual in sizes]
    return sum(int(value) if value.isdigit() else usual for value, (_, usual) in zip(values, sizes, strict=True))


class MetricsExporter(_Closable, MetricExporter):
    """Sends metrics to the collector. They are not spooled: cumulative, the next ones hold what the lost ones said."""

    def __init__(self, inner: Any, backend: Backend) -> None:
        super().__init__(
            preferred_temporality=inner._preferred_temporality, preferred_aggregation=inner._preferred_aggregation
        )
        self._inner = inner
        self.gate: Gate[MetricsData] = Gate("metrics", self._send, backend)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        return MetricExportResult.SUCCESS if self.gate.send(metrics_data) else MetricExportResult.FAILURE

    def _send(self, batch: MetricsData) -> bool:
        return bool(self._inner.export(batch) is MetricExportResult.SUCCESS)


class Backend:
    """Where a signal goes to: its address, and whether it is taken there at all."""

    def __init__(self, settings: Settings, signal: Signal) -> None:
        self._settings = settings
        self._signal = signal
        self.endpoint = uris.clean(settings.endpoint_of(signal) or settings.found_endpoint(signal))

    def refuses(self) -> bool:
        """Ask the backend, by an empty request, whether it refuses the signal for good."""
        try:
            if self._settings.protocol_of(self._signal) == "grpc":
                return _grpc_refuses(self._settings, self._signal)
            return _http_refuses(self._settings, self._signal)
        except Exception as error:  # no answer is no refusal
            guard(f"asking whether {self._signal} are taken", error)
            return False


def _http_refuses(settings: Settings, signal: Signal) -> bool:
    import requests

    endpoint = settings.endpoint_of(signal) or settings.found_endpoint(signal)
    try:
        answer = requests.post(
            endpoint,
            data=b"",
            headers={"Content-Type": "application/x-protobuf", **(settings.headers or {})},
            timeout=2,
        )
    except requests.RequestException:
        return False
    return answer.status_code in (404, 405, 501)


def _grpc_refuses(settings: Settings, signal: Signal) -> bool:
    import grpc

    service = {"traces": "trace", "logs": "logs", "metrics": "metrics"}[signal]
    endpoint = settings.endpoint or settings.found_endpoint(signal)
    target = endpoint.split("://", 1)[-1].rstrip("/")
    make: Any = grpc.secure_channel if endpoint.startswith("https://") else grpc.insecure_channel
    credentials = (grpc.ssl_channel_credentials(),) if endpoint.startswith("https://") else ()
    with make(target, *credentials) as channel:
        name = f"{service.capitalize()}Service"
        call = channel.unary_unary(f"/opentelemetry.proto.collector.{service}.v1.{name}/Export")
        try:
            call(b"", timeout=2)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNIMPLEMENTED)
    return False
