"""Spans, metrics and logs of the shapes that mlotel emits, sent by the plain SDK and found in the real backends."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from backends import Jaeger, Prometheus, eventually, get
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel_stack import Stack

pytestmark = pytest.mark.stack
PROTOCOLS = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])


def exporters(stack: Stack, protocol: str) -> tuple[Any, Any, Any]:
    if protocol == "grpc":
        url = stack.env("grpc")["OTEL_EXPORTER_OTLP_ENDPOINT"]
        return GrpcSpans(url, insecure=True), GrpcMetrics(url, insecure=True), GrpcLogs(url, insecure=True)
    url = stack.env()["OTEL_EXPORTER_OTLP_ENDPOINT"]
    return HttpSpans(f"{url}/v1/traces"), HttpMetrics(f"{url}/v1/metrics"), HttpLogs(f"{url}/v1/logs")


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def digest_of(name: str) -> str:
    return f"blake3:{uuid.uuid5(uuid.NAMESPACE_URL, name).hex * 2}"


@contextmanager
def tracing(stack: Stack, service: str, protocol: str = "http/protobuf") -> Iterator[trace.Tracer]:
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporters(stack, protocol)[0]))
    yield provider.get_tracer("mlotel", "0.0.0")
    provider.shutdown()


def run_span(
    tracer: trace.Tracer, component: str, *, read: trace.Link | None = None, write: str | None = None,
    error: Exception | None = None,
) -> tuple[trace.SpanContext, trace.SpanContext | None]:  # fmt: skip
    """Emit a run span with the I/O spans asked for; return its context and that of the write span."""
    written = None
    with tracer.start_as_current_span(
        component,
        attributes={
            A.MLOTEL_COMPONENT_NAME: component,
            A.MLOTEL_RUN_ID: uuid.uuid4().hex,
            A.CICD_PIPELINE_NAME: "delays",
        },
    ) as span:
        if read is not None:
            digest = str((read.attributes or {})[A.MLOTEL_ARTIFACT_DIGEST])
            attributes = {A.MLOTEL_IO_DIRECTION: "input", A.MLOTEL_ARTIFACT_DIGEST: digest}
            tracer.start_span("read features", links=[read], attributes=attributes).end()
        if write is not None:
            output = tracer.start_span(
                "write features", attributes={A.MLOTEL_IO_DIRECTION: "output", A.MLOTEL_ARTIFACT_DIGEST: write}
            )
            output.end()
            written = output.get_span_context()
        span.set_attribute(A.MLOTEL_RUN_STATE, "failed" if error else "ok")
        if error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")
    return span.get_span_context(), written


@PROTOCOLS
def test_a_span_is_found_by_the_digest_of_its_artifact(stack: Stack, jaeger: Jaeger, protocol: str) -> None:
    """Jaeger finds a write span by the artifact's digest alone, whichever protocol carried it."""
    service, digest = unique("by-digest"), digest_of(unique("features"))
    with tracing(stack, service, protocol) as tracer:
        _, written = run_span(tracer, "featurize", write=digest)
        run_span(tracer, "other", write=digest_of("other"))

    found = jaeger.span(service, {A.MLOTEL_ARTIFACT_DIGEST: digest})

    assert written is not None
    assert (found.trace_id, found.span_id) == (f"{written.trace_id:032x}", f"{written.span_id:016x}")
    assert found.name == "write features"


def test_the_link_of_a_read_points_at_the_producers_write(stack: Stack, jaeger: Jaeger) -> None:
    """Jaeger shows the link of a read span as a FOLLOWS_FROM reference to the write span in another trace."""
    service, digest = unique("linked"), digest_of(unique("features"))
    with tracing(stack, service) as tracer:
        _, written = run_span(tracer, "featurize", write=digest)
        assert written is not None
        link = trace.Link(written, {A.MLOTEL_LINK_TYPE: "consumes", A.MLOTEL_ARTIFACT_DIGEST: digest})
        run_span(tracer, "train", read=link)

    read = jaeger.span(service, {A.MLOTEL_ARTIFACT_DIGEST: digest, A.MLOTEL_IO_DIRECTION: "input"})

    assert ("FOLLOWS_FROM", f"{written.trace_id:032x}", f"{written.span_id:016x}") in read.references
    assert read.trace_id != f"{written.trace_id:032x}"


def test_a_failed_run_is_marked_as_an_error(stack: Stack, jaeger: Jaeger) -> None:
    """Jaeger gives a failed run the tag error=true, beside the type and the message, and an ok run none."""
    service = unique("failing")
    with tracing(stack, service) as tracer:
        run_span(tracer, "train", error=ValueError("no rows"))
        run_span(tracer, "featurize")

    failed = jaeger.span(service, {A.MLOTEL_COMPONENT_NAME: "train"})
    passed = jaeger.span(service, {A.MLOTEL_COMPONENT_NAME: "featurize"})

    assert failed.tags["error"] is True
    assert failed.tags["error.type"] == "ValueError"
    assert failed.tags["otel.status_description"] == "ValueError: no rows"
    assert "error" not in passed.tags


@PROTOCOLS
def test_span_metrics_count_runs_by_component_and_outcome(stack: Stack, prometheus: Prometheus, protocol: str) -> None:
    """Prometheus has one series per component and outcome that counts runs, whose processes are not told apart."""
    service, component = unique("counted"), unique("train")
    for error in (None, None, KeyError("x")):
        with tracing(stack, service, protocol) as tracer:  # a resource of its own each, as separate processes have
            run_span(tracer, component, write=digest_of(component), error=error)

    selector = f'mlotel_span_calls_total{{mlotel_component_name="{component}"}}'
    eventually(lambda: sum(value for _, value in prometheus.query(selector)) == 3)
    counts = prometheus.query(selector)

    by_outcome = {(labels["mlotel_run_state"], labels.get("error_type")): value for labels, value in counts}
    assert by_outcome == {("ok", None): 2.0, ("failed", "KeyError"): 1.0}
    labels = next(labels for labels, _ in counts if labels["mlotel_run_state"] == "ok")
    assert labels == {
        "__name__": "mlotel_span_calls_total",
        "cicd_pipeline_name": "delays",
        "job": service,
        "mlotel_component_name": component,
        "mlotel_run_state": "ok",
        "service_name": service,
        "status_code": "STATUS_CODE_UNSET",
        "instance": labels["instance"],  # of the scrape: no process of the SDK's is told apart
    }


def test_retries_are_told_apart_by_their_attempt(stack: Stack, prometheus: Prometheus) -> None:
    """A first attempt has no label; all past the ninth are one series, so that trying for ever makes no more."""
    component = unique("train")
    with tracing(stack, unique("retried")) as tracer:
        for attempt in (None, 2, 9, 10, 11, 5000):
            attributes = {A.MLOTEL_COMPONENT_NAME: component, A.MLOTEL_RUN_STATE: "failed"}
            retry = {} if attempt is None else {A.MLOTEL_RUN_ATTEMPT: attempt}
            tracer.start_span(component, attributes={**attributes, **retry}).end()

    selector = f'mlotel_span_calls_total{{mlotel_component_name="{component}"}}'
    eventually(lambda: sum(value for _, value in prometheus.query(selector)) == 6)
    counts = {labels.get("mlotel_run_attempt"): value for labels, value in prometheus.query(selector)}
    assert counts == {None: 1, "2": 1, "9": 1, "10": 3}


def test_span_metrics_lead_to_a_trace(stack: Stack, prometheus: Prometheus) -> None:
    """The run counter and the duration histogram carry exemplars with the trace id of a run."""
    component = unique("train")
    with tracing(stack, unique("exemplar")) as tracer:
        run, _ = run_span(tracer, component)

    for metric in ("mlotel_span_calls_total", "mlotel_span_duration_seconds_bucket"):
        selector = f'{metric}{{mlotel_component_name="{component}"}}'
        exemplars = eventually(lambda selector=selector: prometheus.exemplars(selector))
        assert f"{run.trace_id:032x}" in {exemplar["trace_id"] for exemplar in exemplars}


def test_span_metrics_count_runs_alone(stack: Stack, prometheus: Prometheus) -> None:
    """Spans of reads, writes and other libraries, which came before the run's, are in no span metric."""
    service = unique("runs-only")
    with tracing(stack, service) as tracer:
        tracer.start_span("GET /").end()
        run_span(tracer, "featurize", write=digest_of(service))

    # A new series starts with one sample of 0, so that increase() sees its first run.
    counted = eventually(lambda: prometheus.query(f'mlotel_span_calls_total{{service_name="{service}"}} > 0'))

    assert [(labels["mlotel_component_name"], value) for labels, value in counted] == [("featurize", 1.0)]


@PROTOCOLS
def test_a_metric_reaches_prometheus(stack: Stack, prometheus: Prometheus, protocol: str) -> None:
    """A counter is in Prometheus under its converted name; its instance is its component, not its process."""
    component = unique("score")
    resource = Resource({"service.name": "delays", "service.instance.id": uuid.uuid4().hex,
                         A.MLOTEL_COMPONENT_NAME: component})  # fmt: skip
    reader = PeriodicExportingMetricReader(exporters(stack, protocol)[1])
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    provider.get_meter("mlotel").create_counter("mlotel.prediction.count", "{prediction}").add(
        7, {A.MLOTEL_COMPONENT_NAME: component}
    )
    provider.shutdown()

    found = eventually(
        lambda: prometheus.query(f'mlotel_prediction_count_total{{mlotel_component_name="{component}"}}')
    )

    assert [(labels["job"], labels["instance"], value) for labels, value in found] == [("delays", component, 7.0)]


@PROTOCOLS
def test_logs_are_written_to_a_private_file(stack: Stack, protocol: str) -> None:
    """A start record stands in the collector's log file as OTLP/JSON, in a folder of its owner alone."""
    run_id = uuid.uuid4().hex
    provider = LoggerProvider(resource=Resource({"service.name": "delays"}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporters(stack, protocol)[2]))
    provider.get_logger("mlotel").emit(
        LogRecord(
            event_name=events.MLOTEL_RUN_START,
            severity_number=SeverityNumber.INFO,
            attributes={A.MLOTEL_RUN_ID: run_id},
        )
    )
    provider.shutdown()

    path = stack.run_dir / "collector/otlp/logs.jsonl"
    line = eventually(lambda: path.exists() and [line for line in path.read_text().splitlines() if run_id in line])
    record = json.loads(line[0])["resourceLogs"][0]["scopeLogs"][0]["logRecords"]

    assert [entry["eventName"] for entry in record if run_id in json.dumps(entry)] == [events.MLOTEL_RUN_START]
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_logs_are_rotated(own_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """A full log file is set aside under another name, and the records go on in a new one; none is lost."""
    small = tmp_path / "small.yaml"
    # What is written at once must fit into one file: four records a batch.
    small.write_text(
        "exporters: {file/logs: {rotation: {max_megabytes: 1}}}\n"
        "processors: {batch: {send_batch_size: 4, send_batch_max_size: 4}}\n"
    )
    stack = own_stack(collector_configs=(small,))
    provider = LoggerProvider(resource=Resource({"service.name": "delays"}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporters(stack, "http/protobuf")[2]))
    logger = provider.get_logger("mlotel")
    for number in range(30):
        logger.emit(LogRecord(body=f"<{number}>" + "x" * 100_000))
    provider.shutdown()

    def written() -> list[str]:
        texts = [path.read_text(encoding="utf-8") for path in (stack.run_dir / "collector/otlp").glob("logs*.jsonl")]
        return sorted((found for text in texts for found in re.findall(r"<(\d+)>", text)), key=int)

    eventually(lambda: len(written()) == 30)
    assert written() == [str(number) for number in range(30)]
    assert len(list((stack.run_dir / "collector/otlp").glob("logs-*.jsonl"))) >= 2


def test_an_alert_reaches_alertmanager(own_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """A rule file given to the stack is evaluated on its metrics, and its alert is in Alertmanager."""
    rule = tmp_path / "failed.yml"
    expression = 'sum by (mlotel_component_name) (mlotel_span_calls_total{mlotel_run_state="failed"}) > 0'
    alert = {"alert": "RunFailed", "expr": expression, "labels": {"severity": "page"}}
    rule.write_text(json.dumps({"groups": [{"name": "runs", "rules": [alert]}]}))  # JSON is YAML
    stack = own_stack(rules=(rule,))
    with tracing(stack, "delays") as tracer:
        run_span(tracer, "train", error=ValueError("no rows"))
        run_span(tracer, "featurize")

    alerts = eventually(lambda: get(f"{stack.endpoints['alertmanager']}/api/v2/alerts"))

    assert [alert["labels"] for alert in alerts] == [
        {"alertname": "RunFailed", "mlotel_component_name": "train", "severity": "page"}
    ]
