"""What a real pipeline sends over OTLP is what `semconv/*.yaml` says, and nothing else."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).resolve().parents[2]

PIPELINE = """
import numpy as np
import pyarrow as pa
from datetime import timedelta
from pathlib import Path

import mlotel
from mlotel.drift import Reference

table = pa.table({"distance": [1.0, None, 3.0], "origin": ["JFK", "LGA", "EWR"]})

described = dict(version="1", description="Makes a table.", owner="team", tags=["a", "b"], experiment="one")
with mlotel.component("make", pipeline="p", params={"n": 3, "name": "x", "rate": 0.5, "on": True}, **described) as run:
    mlotel.io.write_table(table, "made.parquet")
    run.log_metrics({"rmse": 1.5})
    run.set_tag("reason", "test")

@mlotel.component("use", params=True)
def use(table, depth: int):
    return np.arange(depth)

use(mlotel.io.read_table("made.parquet"), 3)

with mlotel.component("predict", pipeline="p") as run:
    run.log_input(mlotel.io.read_table("made.parquet"), name="made", uri="s3://user:secret@bucket/made.parquet")
    run.log_output(np.arange(4.0), name="scores", type="predictions", derived_from="made")
    run.log_predictions(np.array([0.1, 0.5, np.nan, 0.9]), model="delay", version="7", keys=[1, 2, 3, 4], variant="b")

reference = Reference.fit(pa.table({"x": np.arange(600.0)}), model="delay", version="7")
with mlotel.component("predict") as run:
    run.log_input(pa.table({"x": np.arange(600.0, 1200.0)}), name="shifted", reference=reference)
    run.log_predictions(np.arange(600.0, 1200.0), reference=reference)

with mlotel.component("classify") as run:
    run.log_predictions(["late", "on-time", "late"], model="delay")
    run.log_predictions(["late", None], keys=["x", "y"])
    run.log_input(iter([1]), name="stream")

for content in (b"1", b"2"):
    with mlotel.component("make") as run:
        run.log_output(content, name="content")
with mlotel.component("use", stale_after=timedelta(microseconds=1)) as run:
    run.log_input(b"1", name="content")
mlotel.start_component("use", attempt=2, queue_time=timedelta(seconds=1.5)).end()

for error in (ValueError("no"), KeyboardInterrupt()):
    try:
        with mlotel.component("outer"), mlotel.component("inner"):
            raise error
    except BaseException:
        pass

from mlotel.serving import Monitor

served = pa.table({"distance": np.arange(600.0), "prediction": ["late", "on-time"] * 300})
monitor = Monitor(mlotel.Reference.fit(served, model="delay", version="7"), component="serve", variant="b")
with monitor.request():
    monitor.observe({"distance": 3.0}, "late")
try:
    with monitor.request():
        raise ValueError("no")
except ValueError:
    pass

with mlotel.component("many") as run:
    for i in range(130):
        run.log_input(f"{i}".encode(), name=f"part {i}")
"""


def definitions() -> dict[str, dict]:
    files = sorted((ROOT / "semconv").glob("*.yaml"))
    return {group["id"]: group for file in files for group in yaml.safe_load(file.read_text("utf-8")).get("groups", ())}


GROUPS = definitions()
ATTRIBUTES = {entry["id"]: entry for group in GROUPS.values() for entry in group.get("attributes", ()) if "id" in entry}
LINK_ATTRIBUTES = {"mlotel.link.type", "mlotel.link.resolved_by", "mlotel.artifact.digest"}


def uses(group: dict) -> dict[str, object]:
    """Attribute → requirement level of a group and what it extends."""
    inherited = uses(GROUPS[group["extends"]]) if "extends" in group else {}
    own = {entry["ref"]: entry.get("requirement_level", "recommended") for entry in group.get("attributes", ())}
    return inherited | own


def definition_of(name: str) -> dict | None:
    """The definition of an attribute, or of the template that it fills in."""
    if name in ATTRIBUTES and not str(ATTRIBUTES[name]["type"]).startswith("template"):
        return ATTRIBUTES[name]
    templates = (entry for entry in ATTRIBUTES.values() if str(entry["type"]).startswith("template"))
    return next((entry for entry in templates if name.startswith(entry["id"] + ".")), None)


KINDS = {
    "string_value": "string",
    "int_value": "int",
    "double_value": "double",
    "bool_value": "boolean",
    "array_value": "array",
}


def wrong(signal: str, attributes: dict, allowed: dict[str, object]) -> list[str]:
    """Every way in which a signal's attributes are not what its group says."""
    required = {name for name, level in allowed.items() if level == "required"}
    found = [f"{signal}: {name} is required" for name in sorted(required - set(attributes))]
    for name, value in attributes.items():
        definition = definition_of(name)
        if definition is None or definition["id"] not in allowed:
            found.append(f"{signal}: {name} is not among its attributes")
            continue
        kind, declared = KINDS[value.WhichOneof("value")], definition["type"]
        if isinstance(declared, dict):
            if value.string_value not in {member["value"] for member in declared["members"]}:
                found.append(f"{signal}: {name} is {value.string_value!r}")
        elif declared.endswith("[]"):
            kinds = {KINDS[element.WhichOneof("value")] for element in value.array_value.values}
            if kind != "array" or not kinds <= {declared.removesuffix("[]")}:
                found.append(f"{signal}: {name} is of type {kind} of {kinds}")
        elif definition["id"] != "mlotel.param" and kind != declared.removeprefix("template[").removesuffix("]"):
            found.append(f"{signal}: {name} is of type {kind}")
    return found


@dataclass
class Sink:
    """What was sent: OTLP requests, by signal."""

    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    logs: list[ExportLogsServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)

    def spans(self) -> list:
        return [s for r in self.traces for a in r.resource_spans for b in a.scope_spans for s in b.spans]

    def records(self) -> list:
        return [s for r in self.logs for a in r.resource_logs for b in a.scope_logs for s in b.log_records]

    def instruments(self) -> list:
        scopes = [b for r in self.metrics for a in r.resource_metrics for b in a.scope_metrics]
        return [metric for scope in scopes if scope.scope.name == "mlotel" for metric in scope.metrics]

    def resources(self) -> list:
        return [
            *(a.resource for r in self.traces for a in r.resource_spans),
            *(a.resource for r in self.logs for a in r.resource_logs),
            *(a.resource for r in self.metrics for a in r.resource_metrics),
        ]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """What the pipeline, a process of its own, sent by OTLP/HTTP."""
    sink = Sink()
    kinds = {
        "/v1/traces": (sink.traces, ExportTraceServiceRequest),
        "/v1/logs": (sink.logs, ExportLogsServiceRequest),
        "/v1/metrics": (sink.metrics, ExportMetricsServiceRequest),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received, kind = kinds[self.path]
            received.append(kind.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            folder = tmp_path_factory.mktemp("pipeline")
            (folder / "pipeline.py").write_text(textwrap.dedent(PIPELINE), "utf-8")
            environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
            environment |= {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
                "NO_PROXY": "127.0.0.1",
            }
            subprocess.run([sys.executable, "pipeline.py"], cwd=folder, env=environment, check=True, timeout=120)
        finally:
            server.shutdown()
            thread.join()
        yield sink


def attributes_of(item: object) -> dict:
    return {entry.key: entry.value for entry in item.attributes}


def is_io(span: object) -> bool:
    return "mlotel.io.direction" in attributes_of(span)


def is_prediction(span: object) -> bool:
    found = attributes_of(span)
    return "mlotel.record.key.hash" in found and "mlotel.component.name" not in found


def test_run_spans_have_the_attributes_defined(sent: Sink) -> None:
    """A run span has every required attribute and only such as its group lists, of the types declared."""
    allowed = uses(GROUPS["span.mlotel.run"])
    runs = [span for span in sent.spans() if not is_io(span) and not is_prediction(span)]
    assert {span.name for span in runs} == {"make", "use", "predict", "classify", "outer", "inner", "many"}
    assert [line for span in runs for line in wrong(span.name, attributes_of(span), allowed)] == []


def test_io_spans_have_the_attributes_defined(sent: Sink) -> None:
    """The same for the span of an artifact, and for its links."""
    allowed = uses(GROUPS["span.mlotel.io"])
    spans = [span for span in sent.spans() if is_io(span)]
    assert {"write made.parquet", "read made", "write scores"} <= {span.name for span in spans}
    assert [line for span in spans for line in wrong(span.name, attributes_of(span), allowed)] == []
    links = [link for span in spans for link in span.links]
    assert links
    on_links = dict.fromkeys(LINK_ATTRIBUTES, "recommended")
    assert [line for link in links for line in wrong("link", attributes_of(link), on_links)] == []


def test_prediction_spans_have_the_attributes_defined(sent: Sink) -> None:
    """The same for the spans of a few keyed predictions, on which no key stands in clear."""
    allowed = uses(GROUPS["span.mlotel.prediction"])
    spans = [span for span in sent.spans() if is_prediction(span)]
    assert len(spans) == 6
    assert [line for span in spans for line in wrong(span.name, attributes_of(span), allowed)] == []


def test_log_records_are_events_defined(sent: Sink) -> None:
    """Every log record has an event's name and that event's attributes."""
    events = {group["name"]: uses(group) for group in GROUPS.values() if group["type"] == "event"}
    records = sent.records()
    assert {"mlotel.run.start", "exception", "mlotel.artifact.manifest", "mlotel.artifact.stale"} <= {
        record.event_name for record in records
    }
    assert {record.event_name for record in records} <= set(events)
    assert [
        line
        for record in records
        for line in wrong(record.event_name, attributes_of(record), events[record.event_name])
    ] == []


def test_metrics_are_those_defined(sent: Sink) -> None:
    """Every metric has its unit, its description, its kind of data and no label but those its group lists."""
    defined = {group["metric_name"]: group for group in GROUPS.values() if group["type"] == "metric"}
    data = {"counter": "sum", "updowncounter": "sum", "gauge": "gauge", "histogram": "histogram"}
    seen = set()
    for metric in sent.instruments():
        group = defined[metric.name]
        kind = metric.WhichOneof("data")
        assert (metric.unit, metric.description, kind) == (group["unit"], group["brief"], data[group["instrument"]])
        points = getattr(metric, kind).data_points
        assert [line for point in points for line in wrong(metric.name, attributes_of(point), uses(group))] == []
        seen.add(metric.name)
    assert {
        "mlotel.run.duration",
        "mlotel.run.metric",
        "mlotel.prediction.count",
        "mlotel.data.rows",
        "mlotel.data.stale",
        "mlotel.feature.values",
        "mlotel.feature.reference.ratio",
        "mlotel.model.reference.rows",
        "mlotel.prediction.duration",
        "mlotel.telemetry.dropped",
    } <= seen


def test_histograms_have_the_boundaries_advised(sent: Sink) -> None:
    """A histogram whose group advises bucket boundaries has those."""
    advised = {
        group["metric_name"]: group["annotations"]["mlotel"]["boundaries"]
        for group in GROUPS.values()
        if "annotations" in group
    }
    bounds = {
        metric.name: list(metric.histogram.data_points[0].explicit_bounds)
        for metric in sent.instruments()
        if metric.WhichOneof("data") == "histogram"
    }
    assert bounds
    assert bounds == {name: advised[name] for name in bounds}


def test_the_resource_has_the_attributes_defined(sent: Sink) -> None:
    """The resource holds what its group lists, beside what the SDK says of itself."""
    allowed = uses(GROUPS["entity.mlotel.process"])
    for resource in sent.resources():
        own = {key: value for key, value in attributes_of(resource).items() if not key.startswith("telemetry.")}
        assert wrong("resource", own, allowed) == []


def test_every_scope_is_mlotel_with_its_version_and_no_schema(sent: Sink) -> None:
    """Spans and records come from the scope `mlotel` with the package's version; there is no schema URL."""
    import mlotel

    scopes = [b for r in sent.traces for a in r.resource_spans for b in a.scope_spans]
    scopes += [b for r in sent.logs for a in r.resource_logs for b in a.scope_logs]
    assert {(s.scope.name, s.scope.version, s.schema_url) for s in scopes} == {("mlotel", mlotel.__version__, "")}
