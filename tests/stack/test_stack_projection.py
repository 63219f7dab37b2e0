"""A lineage that is sent as a trace: what the real Jaeger shows of it, and that nothing else takes it for runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx
import pytest
from backends import Jaeger, Prometheus, eventually, get

from mlotel.store.files import FileStore
from mlotel.store.jaeger import JaegerStore
from mlotel_stack import Stack

pytestmark = pytest.mark.stack

# Each in a process, and so in a trace, of its own.
STEPS = {
    "ingest": "run.log_output(b'{unique} raw', name='raw', uri='raw.bin')",
    "left": "run.log_input(b'{unique} raw', name='raw'); run.log_output(b'{unique} a', name='a')",
    "right": "run.log_input(b'{unique} raw', name='raw'); run.log_output(b'{unique} b', name='b')",
    "join": "run.log_input(b'{unique} a', name='a'); run.log_input(b'{unique} b', name='b');"
    " run.log_output(b'{unique} end', name='end')",
}


@dataclass(frozen=True)
class Pipeline:
    """Four runs in Jaeger and in a store of their own; the last joins what two made of the first one's output."""

    stack: Stack
    service: str
    folder: Path

    def mlotel(self, *arguments: str) -> Any:
        """Run the command line, which sends to the stack's collector; returns the JSON that it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "mlotel", *arguments, "--format", "json"],
            cwd=self.folder, env=self.environment(), timeout=120, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
        return kept | {
            "MLOTEL_STORE": str(self.folder / "store"),
            "OTEL_SERVICE_NAME": self.service,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.stack.endpoints["otlp_http"],
        }

    def run(self, component: str, body: str) -> None:
        opening = f"with mlotel.component({component!r}, pipeline='p', params={{'depth': 3}}) as run:"
        code = f"import mlotel\n{opening}\n    {body}"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder, env=self.environment(), timeout=120, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def pipeline(stack: Stack, jaeger: Jaeger, tmp_path: Path) -> Pipeline:
    made = Pipeline(stack, f"projection-{uuid.uuid4().hex[:8]}", tmp_path)
    for component, body in STEPS.items():
        made.run(component, body.format(unique=made.service))
    for component in STEPS:
        jaeger.span(made.service, {"mlotel.component.name": component})
    return made


def trace(jaeger: Jaeger, trace_id: str, **parameters: object) -> list[Any]:
    """The spans of a trace as Jaeger's page gets them; with `raw`, as its storage has them."""
    try:
        found = get(f"{jaeger.url}/api/traces/{trace_id}", **parameters)
    except urllib.error.HTTPError as error:
        error.close()
        return []
    return [span for each in found["data"] for span in each["spans"]]


def whole(jaeger: Jaeger, sent: Any, times: int = 1) -> list[Any]:
    """Wait until Jaeger's storage has a projection as often as it was sent, and return what its page shows."""
    eventually(lambda: len(trace(jaeger, sent["trace_id"], raw="true")) == times * sent["spans"])
    return trace(jaeger, sent["trace_id"])


def tags(span: Any) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def test_jaeger_shows_the_lineage_as_one_trace(pipeline: Pipeline, jaeger: Jaeger) -> None:
    """One tree: each run below the latest write that it read, at its real time, linked to what it stands for."""
    document = pipeline.mlotel("lineage", "name:end")
    sent = pipeline.mlotel("lineage", "name:end", "--send-trace")
    spans = whole(jaeger, sent)

    assert len(spans) == sent["spans"] == 1 + 4 + len(document["edges"])
    names = {span["spanID"]: span["operationName"] for span in spans}
    tree, follows = networkx.DiGraph(), set()
    tree.add_nodes_from(names)
    for span in spans:
        for reference in span["references"]:
            if reference["refType"] == "CHILD_OF":
                tree.add_edge(reference["spanID"], span["spanID"])
            else:
                follows.add((span["operationName"], reference["traceID"], reference["spanID"]))
    assert networkx.is_arborescence(tree)
    above = {names[child]: names[parent] for parent, child in tree.edges if names[child] in STEPS}
    assert above == {"ingest": "lineage of end", "left": "write raw", "right": "write raw", "join": "write b"}
    inside = {(name, names[span_id]) for name, trace_id, span_id in follows if trace_id == sent["trace_id"]}
    assert inside == {("read raw", "write raw"), ("read a", "write a"), ("read b", "write b")}
    for run in document["runs"]:
        (span,) = [each for each in spans if each["operationName"] == run["component"]]
        original = jaeger.span(
            pipeline.service, {"mlotel.run.id": run["run_id"], "mlotel.component.name": run["component"]}
        )
        assert (run["component"], original.trace_id, original.span_id) in follows
        (there,) = [each for each in trace(jaeger, original.trace_id) if each["spanID"] == original.span_id]
        assert (span["startTime"], span["duration"]) == (there["startTime"], there["duration"])
        assert tags(span)["mlotel.param.depth"] == 3
        assert not span["warnings"]
        assert tags(span)["mlotel.projection.service"] == pipeline.service


def test_it_is_found_by_its_kind_and_by_what_it_shows(pipeline: Pipeline, jaeger: Jaeger) -> None:
    """Jaeger's search finds projections as such, and those in which a run occurs."""
    run_id = pipeline.mlotel("lineage", "name:raw")["runs"][0]["run_id"]
    sent = pipeline.mlotel("lineage", "name:raw", "--both", "--send-trace")

    def found(wanted: dict[str, str]) -> set[str]:
        return {span.trace_id for span in jaeger.spans("mlotel.lineage", wanted)}

    eventually(lambda: sent["trace_id"] in found({"mlotel.projection.kind": "lineage"}))
    assert found({"mlotel.projection.kind": "run", "mlotel.projection.node": run_id}) == {sent["trace_id"]}


def test_sent_twice_it_is_one_trace(pipeline: Pipeline, jaeger: Jaeger) -> None:
    """The second time makes no other trace, and Jaeger shows each span once, though its storage has it twice."""
    once = pipeline.mlotel("lineage", "name:end", "--send-trace")
    first = whole(jaeger, once)
    again = pipeline.mlotel("lineage", "name:end", "--send-trace")
    second = whole(jaeger, again, times=2)

    assert again == once

    def comparable(spans: list[Any]) -> list[str]:
        return sorted(json.dumps({**span, "processID": "", "warnings": None}, sort_keys=True) for span in spans)

    assert comparable(second) == comparable(first)
    with_it = {span.trace_id for span in jaeger.spans("mlotel.lineage", {"mlotel.projection.node": node_of(first)})}
    assert with_it == {once["trace_id"]}


def node_of(spans: list[Any]) -> str:
    return next(tags(span)["mlotel.projection.node"] for span in spans if span["operationName"] == "join")


def test_no_store_takes_it_for_runs(pipeline: Pipeline, jaeger: Jaeger) -> None:
    """Lineage over Jaeger, and over the collector's files, is the same after a projection was sent as before."""
    address = pipeline.stack.endpoints["jaeger_query_grpc"]
    files = pipeline.stack.run_dir / "collector" / "otlp" / "traces.jsonl"

    def answers() -> Any:
        with JaegerStore(address) as remote, FileStore(files) as local:
            return [
                (
                    sorted(run.run_id for run in store.runs()),
                    [run.run_id for run in store.runs(component="join")],
                    store.find_artifacts(name="raw"),
                )
                for store in (remote, local)
            ], remote.problems

    with FileStore(pipeline.folder / "store") as kept:
        latest = kept.runs(limit=1)[0].run_id
    eventually(lambda: latest in files.read_text(encoding="utf-8"))
    before = answers()
    lineage = pipeline.mlotel("lineage", "name:end", "--jaeger", address)
    sent = pipeline.mlotel("lineage", "name:end", "--jaeger", address, "--send-trace")
    whole(jaeger, sent)
    eventually(lambda: sent["trace_id"] in files.read_text(encoding="utf-8"))

    assert answers() == before
    assert without_ages(pipeline.mlotel("lineage", "name:end", "--jaeger", address)) == without_ages(lineage)


def without_ages(document: Any) -> Any:
    return {**document, "runs": [{**run, "stale": None} for run in document["runs"]]}


def test_span_metrics_do_not_count_it(pipeline: Pipeline, prometheus: Prometheus, jaeger: Jaeger) -> None:
    """After a projection Prometheus has one call of each run, as before, and no series of the projection's service.

    Nor of a span that looks like a run, and says that it belongs to a projection.
    """

    def calls(service: str) -> dict[str, float]:
        found = prometheus.query(f'mlotel_span_calls_total{{service_name="{service}"}}')
        return {labels["mlotel_component_name"]: value for labels, value in found}

    eventually(lambda: calls(pipeline.service) == dict.fromkeys(STEPS, 1.0))
    whole(jaeger, pipeline.mlotel("lineage", "name:end", "--send-trace"))
    alike = f"alike-{uuid.uuid4().hex[:8]}"
    post(pipeline.stack, alike, {"mlotel.component.name": "alike", "mlotel.projection.kind": "run"})
    jaeger.span(alike, {"mlotel.projection.kind": "run"})

    pipeline.run("later", "pass")  # counted after all that
    eventually(lambda: calls(pipeline.service) == {**dict.fromkeys(STEPS, 1.0), "later": 1.0})
    assert calls("mlotel.lineage") == {}
    assert calls(alike) == {}


def post(stack: Stack, service: str, attributes: dict[str, str]) -> None:
    now = time.time_ns()
    span = {
        "traceId": uuid.uuid4().hex, "spanId": uuid.uuid4().hex[:16], "name": "alike", "kind": 1,
        "startTimeUnixNano": str(now), "endTimeUnixNano": str(now), "attributes": texts(attributes),
    }  # fmt: skip
    group = {"resource": {"attributes": texts({"service.name": service})}, "scopeSpans": [{"spans": [span]}]}
    body = json.dumps({"resourceSpans": [group]}).encode()
    request = urllib.request.Request(
        f"{stack.endpoints['otlp_http']}/v1/traces", body, {"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(request, timeout=30).close()


def texts(attributes: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
