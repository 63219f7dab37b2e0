"""mlotel on the real stack: a user's program, and what Jaeger, Prometheus and the collector's files then hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from backends import Jaeger, Prometheus, eventually

from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel_stack import Stack

pytestmark = pytest.mark.stack
PROTOCOLS = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])

# Two processes joined by a file alone, as two tasks of an orchestrator are.
FEATURIZE = """
import mlotel, pyarrow as pa
with mlotel.component("featurize", pipeline="delays") as run:
    flights = run.log_input(pa.table({"delay": [1.0, 2.0, None, 4.0]}), name="flights")
    mlotel.io.write_table(flights.slice(0, 3), "features.parquet", "features")
"""
TRAIN = """
import mlotel
try:
    with mlotel.component("train", version="2", pipeline="delays") as run:
        features = mlotel.io.read_table("features.parquet", "features")
        run.log_metrics({"auc": 0.75})
        run.log_predictions(features["delay"], model="delay", version="7")
        raise ValueError("no labels yet")
except ValueError:
    pass
"""


@dataclass(frozen=True)
class Ran:
    """A pipeline that ran: the name of its service, and its folder."""

    service: str
    folder: Path


def run_python(code: str, folder: Path, environment: dict[str, str]) -> None:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    done = subprocess.run(
        # urllib3 leaves the sockets of a pool that it clears to the garbage collector
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", code],
        cwd=folder,
        env={**inherited, **environment},
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.fixture(scope="module")
def pipelines(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """The pipeline, sent by each protocol."""
    ran = {}
    for protocol in ("http/protobuf", "grpc"):
        service, folder = f"delays-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("pipeline")
        environment = {**stack.env(protocol), "OTEL_SERVICE_NAME": service, "MLOTEL_STORE": "none"}
        for code in (FEATURIZE, TRAIN):
            run_python(code, folder, environment)
        ran[protocol] = Ran(service, folder)
    return ran


@PROTOCOLS
def test_an_artifacts_digest_finds_its_writer_in_jaeger(
    pipelines: dict[str, Ran], jaeger: Jaeger, protocol: str
) -> None:
    """The digest of a file that lies somewhere leads to the span that wrote it."""
    import pyarrow.parquet as pq

    ran = pipelines[protocol]
    digest = pq.read_schema(ran.folder / "features.parquet").metadata[b"mlotel.digest"].decode()
    writer = jaeger.span(ran.service, {A.MLOTEL_ARTIFACT_DIGEST: digest, A.MLOTEL_IO_DIRECTION: "output"})
    assert (writer.name, writer.tags[A.MLOTEL_ARTIFACT_ROWS]) == ("write features", 3)


@PROTOCOLS
def test_a_reader_in_another_process_refers_to_the_writer(
    pipelines: dict[str, Ran], jaeger: Jaeger, protocol: str
) -> None:
    """The consumer's read span has a FOLLOWS_FROM reference to the producer's write span, in the producer's trace."""
    service = pipelines[protocol].service
    reader = jaeger.span(service, {A.MLOTEL_ARTIFACT_NAME: "features", A.MLOTEL_IO_DIRECTION: "input"})
    writer = jaeger.span(service, {A.MLOTEL_ARTIFACT_NAME: "features", A.MLOTEL_IO_DIRECTION: "output"})
    assert ("FOLLOWS_FROM", writer.trace_id, writer.span_id) in reader.references
    assert reader.trace_id != writer.trace_id
    assert reader.tags[A.MLOTEL_LINK_RESOLVED_BY] == "embedded"


@PROTOCOLS
def test_a_failed_run_is_an_error(pipelines: dict[str, Ran], jaeger: Jaeger, protocol: str) -> None:
    """Jaeger marks the span of a run that raised, and shows what it raised."""
    run = jaeger.span(pipelines[protocol].service, {A.MLOTEL_COMPONENT_NAME: "train"})
    assert run.tags["error"] is True
    assert run.tags[A.ERROR_TYPE] == "ValueError"
    assert run.tags["otel.status_description"] == "ValueError: no labels yet"


@PROTOCOLS
def test_metrics_of_runs_reach_prometheus(pipelines: dict[str, Ran], prometheus: Prometheus, protocol: str) -> None:
    """What the runs logged, and how they ended, stands in Prometheus with labels of low cardinality."""
    job = pipelines[protocol].service
    expected = {
        f'mlotel_run_metric{{job="{job}",mlotel_metric_name="auc"}}': 0.75,
        f'mlotel_data_rows{{job="{job}",mlotel_component_name="featurize",mlotel_io_direction="input"}}': 4,
        f'mlotel_data_missing_ratio{{job="{job}",mlotel_component_name="featurize",mlotel_io_direction="input"}}': 0.25,
        f'mlotel_prediction_count_total{{job="{job}",mlotel_model_name="delay",mlotel_model_version="7"}}': 3,
        f'mlotel_prediction_mean{{job="{job}"}}': 1.5,
        f'mlotel_prediction_missing{{job="{job}"}}': 1,
        f'mlotel_run_duration_seconds_count{{job="{job}",mlotel_run_state="failed",error_type="ValueError"}}': 1,
        f'mlotel_run_active{{job="{job}",mlotel_component_name="train"}}': 0,
    }
    for query, value in expected.items():
        found = eventually(lambda query=query: prometheus.query(query))
        assert [number for _, number in found] == [value], query
    labels = {name for series, _ in prometheus.query(f'{{job="{job}"}}') for name in series}
    assert not labels & {"mlotel_run_id", "mlotel_artifact_digest", "mlotel_artifact_uri", "trace_id"}


@PROTOCOLS
def test_span_metrics_count_the_outcomes(pipelines: dict[str, Ran], prometheus: Prometheus, protocol: str) -> None:
    """The collector's own count of runs has component and outcome, whatever the processes exported."""
    query = f'mlotel_span_calls_total{{service_name="{pipelines[protocol].service}"}}'

    def outcomes() -> dict[tuple[str, str], float]:
        found = prometheus.query(query)
        return {(labels["mlotel_component_name"], labels["mlotel_run_state"]): value for labels, value in found}

    # a new series is told as 0 first, so that an increase can be seen
    eventually(lambda: outcomes() == {("featurize", "ok"): 1, ("train", "failed"): 1})


@PROTOCOLS
def test_one_trace_id_is_found_in_all_three_signals(
    pipelines: dict[str, Ran], stack: Stack, jaeger: Jaeger, prometheus: Prometheus, protocol: str
) -> None:
    """The trace of a failed run, its exception's log record and its duration's exemplar belong together."""
    service = pipelines[protocol].service
    trace_id = jaeger.span(service, {A.MLOTEL_COMPONENT_NAME: "train"}).trace_id

    def records() -> list[str]:
        found = []
        for file in stack.run_dir.rglob("logs*.jsonl"):
            for line in file.read_text().splitlines():
                for resource in json.loads(line)["resourceLogs"]:
                    for scope in resource["scopeLogs"]:
                        found += [r["eventName"] for r in scope["logRecords"] if r.get("traceId") == trace_id]
        return found if events.EXCEPTION in found else []

    assert {events.MLOTEL_RUN_START, events.EXCEPTION, events.MLOTEL_RUN_END} <= set(eventually(records))
    exemplars = f'mlotel_run_duration_seconds_bucket{{job="{service}",mlotel_component_name="train"}}'
    assert eventually(lambda: [e for e in prometheus.exemplars(exemplars) if e["trace_id"] == trace_id])
