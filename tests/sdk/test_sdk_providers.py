"""Beside an application's own OpenTelemetry, and towards collectors that do not answer."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlotel.store.files import FileStore

Script = Callable[..., "subprocess.CompletedProcess[str]"]

SET_PROVIDERS = """
    from opentelemetry import trace, metrics, _logs
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    spans, reader, logs = InMemorySpanExporter(), InMemoryMetricReader(), InMemoryLogRecordExporter()

    def set_providers():
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(spans))
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(MeterProvider([reader]))
        loggers = LoggerProvider()
        loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
        _logs.set_logger_provider(loggers)
        return tracers

    def names():
        return [span.name for span in spans.get_finished_spans()]
    """


def test_an_applications_providers_are_used(script: Script, tmp_path: Path) -> None:
    """Spans, metrics and log records go where the application's own go, and to no store that nobody asked for."""
    script(
        SET_PROVIDERS
        + """
    import mlotel
    tracers = set_providers()
    with tracers.get_tracer("app").start_as_current_span("request"):
        with mlotel.component("a", version="1") as run:
            run.log_input(b"x", "x")
            run.log_metrics({"m": 2})
            run.log_predictions([1.0, 2.0])
    try:
        with mlotel.component("b"):
            raise ValueError("x")
    except ValueError:
        pass
    assert names() == ["read x", "a", "request", "b"], names()
    read, a, request, b = spans.get_finished_spans()
    assert a.parent.span_id == request.context.span_id and read.parent.span_id == a.context.span_id
    assert (a.instrumentation_scope.name, a.instrumentation_scope.version) == ("mlotel", mlotel.__version__)
    assert b.status.status_code.name == "ERROR" and b.attributes["error.type"] == "ValueError"
    found = {
        metric.name
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"mlotel.run.duration", "mlotel.run.active", "mlotel.run.metric", "mlotel.prediction.count"} <= found, found
    events = [data.log_record.event_name for data in logs.get_finished_logs()]
    start, end = "mlotel.run.start", "mlotel.run.end"
    assert [name for name in events if name != end] == [start, start, "exception"], events
    assert trace.get_tracer_provider() is tracers
    """,
        MLOTEL_STORE=None,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_providers_set_after_the_first_run_are_used_from_then_on(script: Script, tmp_path: Path) -> None:
    """And what is running at that moment ends where it began."""
    script(
        SET_PROVIDERS
        + """
    import mlotel
    before = trace.get_tracer_provider()
    with mlotel.component("first"):
        pass
    assert trace.get_tracer_provider() is before, "mlotel must not set a global provider"
    with mlotel.component("outer"):
        tracers = set_providers()
        with mlotel.component("inner"):
            pass
    with mlotel.component("last"):
        pass
    assert trace.get_tracer_provider() is tracers
    assert "inner" in names() and "last" in names() and "first" not in names(), names()
    """,
        MLOTEL_STORE=tmp_path / "store",
    )
    with FileStore(tmp_path / "store") as store:
        states = {run.component: run.state for run in store.runs()}
    assert states["first"] == "ok"
    assert states["outer"] == "ok"


def test_providers_set_one_after_the_other_write_each_span_once(script: Script, tmp_path: Path) -> None:
    """Each new provider makes the runtime anew; the tracer provider keeps its one processor for the store."""
    script(
        """
        import mlotel
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        with mlotel.component("first"):
            pass
        metrics.set_meter_provider(MeterProvider())
        mlotel.configure(service_name="other")
        with mlotel.component("second"):
            pass
        """,
        MLOTEL_STORE=tmp_path / "store",
    )
    lines = [line for path in (tmp_path / "store").rglob("*.jsonl") for line in path.read_text().splitlines()]
    spans = [line for line in lines if "resourceSpans" in line]
    assert [sum(f'"name":"{name}"' in line for line in spans) for name in ("first", "second")] == [1, 1]


def test_no_global_provider_is_ever_set(script: Script) -> None:
    """With or without a collector, the API's stand-ins stay: the application may still set its own."""
    script(
        """
        import mlotel
        from opentelemetry import trace, metrics, _logs
        before = trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()
        with mlotel.component("a"):
            pass
        mlotel.configure(endpoint="http://127.0.0.1:9")
        with mlotel.component("b"):
            pass
        assert before == (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())
        mlotel.shutdown(0.1)
        """
    )


def test_an_applications_tracer_with_a_store_that_is_asked_for(script: Script, tmp_path: Path) -> None:
    """MLOTEL_STORE beside an application's provider: both have the runs."""
    script(
        SET_PROVIDERS
        + """
    import mlotel
    set_providers()
    with mlotel.component("a") as run:
        run.log_input(b"x", "x")
    assert names() == ["read x", "a"], names()
    """
    )
    with FileStore(tmp_path / "store") as store:
        (run,) = store.runs()
        assert (run.state, [a.name for a in run.inputs]) == ("ok", ["x"])


def test_a_tracer_alone_leaves_start_records_in_the_store(script: Script, tmp_path: Path) -> None:
    """An application without a logger provider: a run that is killed is on record all the same."""
    script(
        SET_PROVIDERS
        + """
    import os, mlotel
    trace.set_tracer_provider(TracerProvider())
    with mlotel.component("a"):
        os._exit(0)
    """,
        MLOTEL_STORE=None,
    )
    with FileStore(tmp_path / ".mlotel") as store:
        assert [(run.component, run.state) for run in store.runs()] == [("a", "lost")]


# -- collectors


class _Collector(BaseHTTPRequestHandler):
    status = 200
    requests: list[tuple[str, bytes, dict[str, str]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        type(self).requests.append((self.path, body, dict(self.headers)))
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[tuple[str, type[_Collector]]]:
    """A collector over HTTP that notes what it gets; its class says how it answers."""
    handler = type("Collector", (_Collector,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


def _sent_spans(handler: type[_Collector]) -> list[str]:
    import gzip

    names = []
    for path, body, headers in handler.requests:
        if path == "/v1/traces" and body:
            content = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
            request = ExportTraceServiceRequest.FromString(content)
            names += [s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return names


def test_runs_reach_a_collector_before_the_process_ends(
    script: Script, collector: tuple[str, type[_Collector]], tmp_path: Path
) -> None:
    """By OTEL_EXPORTER_OTLP_ENDPOINT alone; headers are sent, and of what was on its way nothing stays on disk."""
    endpoint, handler = collector
    done = script(
        """
        import mlotel
        with mlotel.component("a") as run:
            run.log_input(b"x", "x")
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20x",
        MLOTEL_STORE=None,
    )
    assert done.stderr == ""
    assert _sent_spans(handler) == ["read x", "a"]
    assert {path for path, _, _ in handler.requests} == {"/v1/traces", "/v1/logs", "/v1/metrics"}
    assert {headers["authorization"] for _, _, headers in handler.requests} == {"Bearer x"}
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_an_exporter_named_none_sends_nothing(script: Script, collector: tuple[str, type[_Collector]]) -> None:
    """OTEL_LOGS_EXPORTER=none and OTEL_METRICS_EXPORTER=none leave traces."""
    endpoint, handler = collector
    script(
        "import mlotel\nwith mlotel.component('a'):\n    pass",
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_LOGS_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
    )
    assert {path for path, _, _ in handler.requests} == {"/v1/traces"}


def _spooled(store: Path) -> list[str]:
    """The spans in the spool, each line read by OpenTelemetry's own protobuf classes."""
    names = []
    for path in sorted((store / "spool").rglob("*.jsonl")):
        assert path.stat().st_mode & 0o077 == 0
        for line in path.read_bytes().splitlines():
            if b"resourceSpans" in line:
                document = json.loads(line)
                for resource in document["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        for span in scope["spans"]:
                            for key in ("traceId", "spanId", "parentSpanId"):  # hex in OTLP/JSON, base64 in protobuf's
                                span.pop(key, None)
                            span.pop("links", None)
                request = json_format.ParseDict(document, ExportTraceServiceRequest())
                names += [s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return names


SLOW = """
    import logging, time, mlotel
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    start = time.perf_counter()
    for _ in range(50):
        with mlotel.component("a") as run:
            run.log_input(b"x", "x")
    print(time.perf_counter() - start)
    """


@pytest.mark.parametrize("kind", ["refused", "silent", "503"])
def test_a_collector_that_does_not_answer_costs_little_and_loses_nothing(
    script: Script, collector: tuple[str, type[_Collector]], tmp_path: Path, kind: str
) -> None:
    """The program is as fast as ever, ends soon, says one sentence, and its spans are in the spool."""
    endpoint, handler = collector
    handler.status = 503
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if kind == "refused":
            silent.close()
        before = time.monotonic()
        done = script(SLOW, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint if kind == "503" else f"http://127.0.0.1:{port}")
        seconds = time.monotonic() - before
    assert float(done.stdout) < 60  # fifty runs that waited for an answer would take ten seconds each
    assert seconds < 90
    assert sorted(_spooled(tmp_path / "store")) == ["a"] * 50 + ["read x"] * 50
    ours = [line for line in done.stderr.splitlines() if line.startswith("mlotel: ")]
    assert 1 <= len(ours) <= 3, done.stderr
    assert "Traceback" not in done.stderr


def test_a_signal_that_is_refused_is_not_sent_again_and_traces_are_kept(
    script: Script, collector: tuple[str, type[_Collector]], tmp_path: Path
) -> None:
    """404 means never: one warning a signal, no further tries; spans are what runs are, so they go to the spool."""
    endpoint, handler = collector
    handler.status = 404
    done = script(SLOW, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert sorted(_spooled(tmp_path / "store")) == ["a"] * 50 + ["read x"] * 50
    ours = [line for line in done.stderr.splitlines() if line.startswith("mlotel: ")]
    assert len(ours) == len(set(ours)) == 3, done.stderr
