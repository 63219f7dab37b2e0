"""The OTLP exporters, wrapped so that a collector that is away costs nothing and loses nothing.

What could not be sent is spooled in OTLP/JSON lines, which `mlotel replay` sends later. A signal that the backend
refuses for good (Jaeger takes neither logs nor metrics) is switched off with one warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mlotel._runtime import guard, logger
from mlotel.sdk._settings import Settings, Signal
from mlotel.store.encoding import LineEncoder, SpanLines
from mlotel.store.journal import Journal

__all__ = ["Gate", "LogExporter", "MetricsExporter", "TraceExporter", "make_exporter", "refusal"]

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


class Gate(Generic[T]):
    """Decides for each batch of one signal: send it, spool it, or (refused for good) let it go."""

    def __init__(
        self,
        signal: Signal,
        export: Callable[[T], bool],
        spool: Callable[[T], None],
        refused: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signal = signal
        self._export = export
        self._spool = spool
        self._refused = refused
        self._clock = clock
        self._closed_until = float("-inf")
        self._off = False
        self.failing = False
        self.closing = False

    def send(self, batch: T) -> bool:
        """Return whether `batch` arrived; if not, it is in the spool or its signal is off."""
        if self._off:
            return True
        if self.closing or self._clock() < self._closed_until:
            self._spool(batch)
            return False
        if self._export(batch):
            self.failing = False
            return True
        if self._refused():
            self._off, self.failing = True, False
            logger.warning("mlotel: the backend takes no %s: they are not sent any more", self._signal)
            return True
        self._closed_until = self._clock() + _PAUSE_S
        if not self.failing:
            self.failing = True
            logger.warning(
                "mlotel: %s could not be sent and are kept for 'mlotel replay' where a store can be written",
                self._signal,
            )
        self._spool(batch)
        return False


class TraceExporter(SpanExporter):
    """Sends spans to the collector, or spools them."""

    def __init__(self, inner: Any, spool: Journal | None, refused: Callable[[], bool]) -> None:
        self._inner = inner
        self._spool = spool
        self._lines = SpanLines()
        self.gate: Gate[Sequence[ReadableSpan]] = Gate("traces", self._send, self._keep, refused)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS if self.gate.send(spans) else SpanExportResult.FAILURE

    def _send(self, spans: Sequence[ReadableSpan]) -> bool:
        return bool(self._inner.export(spans) is SpanExportResult.SUCCESS)

    def _keep(self, spans: Sequence[ReadableSpan]) -> None:
        if self._spool is not None:
            for span in spans:
                self._spool.append(self._lines.span(span))

    def shutdown(self) -> None:
        if not self.gate.closing:
            self.gate.closing = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class LogExporter(LogRecordExporter):
    """Sends log records to the collector, or spools them."""

    def __init__(self, inner: Any, spool: Journal | None, refused: Callable[[], bool]) -> None:
        self._inner = inner
        self._spool = spool
        self._encoders: dict[int, tuple[object, LineEncoder]] = {}
        self.gate: Gate[Sequence[Any]] = Gate("logs", self._send, self._keep, refused)

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        return LogRecordExportResult.SUCCESS if self.gate.send(batch) else LogRecordExportResult.FAILURE

    def _send(self, batch: Sequence[Any]) -> bool:
        return bool(self._inner.export(batch) is LogRecordExportResult.SUCCESS)

    def _keep(self, batch: Sequence[Any]) -> None:
        if self._spool is None:
            return
        for data in batch:
            record, scope = data.log_record, data.instrumentation_scope
            resource = data.resource
            known = self._encoders.get(id(resource))
            if known is None or known[0] is not resource:
                known = resource, LineEncoder(resource.attributes, scope.name, scope.version)
                self._encoders = {id(resource): known}
            severity = record.severity_number
            self._spool.append(
                known[1].event(
                    record.event_name or "",
                    time_ns=record.timestamp or 0,
                    trace_id=record.trace_id or 0,
                    span_id=record.span_id or 0,
                    attributes=record.attributes,
                    severity_number=9 if severity is None else severity.value,
                    severity_text=record.severity_text,
                    body=record.body,
                )
            )

    def shutdown(self) -> None:
        if not self.gate.closing:
            self.gate.closing = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class MetricsExporter(MetricExporter):
    """Sends metrics to the collector. They are not spooled: cumulative, the next ones hold what the lost ones said."""

    def __init__(self, inner: Any, refused: Callable[[], bool]) -> None:
        super().__init__(
            preferred_temporality=inner._preferred_temporality, preferred_aggregation=inner._preferred_aggregation
        )
        self._inner = inner
        self.gate: Gate[MetricsData] = Gate("metrics", self._send, lambda batch: None, refused)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        return MetricExportResult.SUCCESS if self.gate.send(metrics_data) else MetricExportResult.FAILURE

    def _send(self, batch: MetricsData) -> bool:
        return bool(self._inner.export(batch) is MetricExportResult.SUCCESS)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        if not self.gate.closing:
            self.gate.closing = True
            self._inner.shutdown()


def refusal(settings: Settings, signal: Signal) -> Callable[[], bool]:
    """Return a function that asks the backend, by an empty request, whether it refuses a signal for good."""

    def ask() -> bool:
        try:
            if settings.protocol_of(signal) == "grpc":
                return _grpc_refuses(settings, signal)
            return _http_refuses(settings, signal)
        except Exception as error:  # no answer is no refusal
            guard(f"asking whether {signal} are taken", error)
            return False

    return ask


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
