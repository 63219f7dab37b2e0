"""Sampling on the real collector and Jaeger: what is kept of runs, failures and lineages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backends import Jaeger, eventually, get
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from mlotel.store.jaeger import JaegerStore
from mlotel_stack import Stack

pytestmark = pytest.mark.stack

PIPELINE = {
    "ingest": "run.log_output(b'{unique} raw', name='raw')",
    "train": "run.log_input(b'{unique} raw', name='raw'); run.log_output(b'{unique} model', name='model')",
    "predict": "run.log_input(b'{unique} model', name='model'); run.log_output(b'{unique} scores', name='scores')",
}
FAILING = "run.log_input(b'{unique} raw', name='raw'); raise ValueError('no')"


class Pipeline:
    """Programs, each in a process of its own, that send to a stack's collector."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.service = f"sampling-{uuid.uuid4().hex[:8]}"
        self.jaeger = Jaeger(stack.endpoints["jaeger_ui"])

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
        return kept | {
            "MLOTEL_STORE": str(self.folder / "store"),
            "OTEL_SERVICE_NAME": self.service,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.stack.endpoints["otlp_http"],
            **variables,
        }

    def start(self, component: str, body: str, **variables: str) -> subprocess.Popen[str]:
        body = body.format(unique=self.service)
        code = f"import mlotel, sys\nwith mlotel.component({component!r}) as run:\n    {body}"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=self.folder, env=self.environment(**variables), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, component: str, body: str, status: int = 0, **variables: str) -> str:
        with self.start(component, body, **variables) as process:
            _, errors = process.communicate(timeout=120)
        assert process.returncode == status, errors
        return errors

    def mlotel(self, *arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "mlotel", *arguments, "--format", "json"],
            cwd=self.folder, env=self.environment(), timeout=120, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def names(self) -> list[str]:
        """What Jaeger has of this pipeline."""
        return sorted(span.name for span in self.jaeger.spans(self.service))

    def decided(self) -> int:
        """How many traces the collector has decided on."""
        with urllib.request.urlopen(self.stack.endpoints["collector_self"], timeout=30) as answer:
            text = answer.read().decode()
        counts = re.findall(r"(?m)^otelcol_processor_tail_sampling_global_count_traces_sampled\S* (\S+)$", text)
        return sum(int(float(count)) for count in counts)


@pytest.fixture
def tail(own_stack: Callable[..., Stack], tmp_path: Path) -> Callable[..., Pipeline]:
    """A stack whose collector samples tails; its settings are given as in docs/collector.md."""

    def start(**settings: str) -> Pipeline:
        environ = {"MLOTEL_TAIL_WAIT": "2s", "MLOTEL_TAIL_WAIT_AFTER_ROOT": "1s", **settings}
        overlays = ("jaeger", "tail-sampling", "prometheus")
        return Pipeline(own_stack(overlays=overlays, collector_environ=environ), tmp_path)

    return start


def test_failures_and_flagged_lineages_are_kept(tail: Callable[..., Pipeline]) -> None:
    """Where nothing else is: of what failed the whole trace, of what is flagged the whole lineage, from the store."""
    pipeline = tail(MLOTEL_TAIL_RUNS_PERCENT="0", MLOTEL_TAIL_OTHERS_PERCENT="0")
    for component, body in PIPELINE.items():
        pipeline.run(component, body)
    pipeline.run("check", FAILING, status=1)
    eventually(lambda: pipeline.decided() == 4)
    eventually(lambda: pipeline.names() == ["check", "read raw"])

    (flag,) = pipeline.mlotel("flag", "name:scores", "--why", "a customer complains")
    assert flag["kind"] == "flag"
    sent = pipeline.mlotel("lineage", "name:scores", "--send-trace")
    trace = f"{pipeline.jaeger.url}/api/traces/{sent['trace_id']}"
    eventually(lambda: pipeline.decided() == 5)
    eventually(lambda: {"mlotel.lineage"} == {span.service for span in pipeline.jaeger.spans("mlotel.lineage")})
    (shown,) = get(trace)["data"]
    assert sorted(span["operationName"] for span in shown["spans"]) == sorted(
        ["lineage of scores", *PIPELINE, "write raw", "read raw", "write model", "read model", "write scores"]
    )
    assert pipeline.names() == ["check", "read raw"]


def test_metrics_and_files_know_what_jaeger_does_not(tail: Callable[..., Pipeline]) -> None:
    """Span metrics count every run, and the collector's files answer for the whole lineage, and send it."""
    pipeline = tail(MLOTEL_TAIL_RUNS_PERCENT="0", MLOTEL_TAIL_OTHERS_PERCENT="0")
    for component, body in PIPELINE.items():
        pipeline.run(component, body)
    eventually(lambda: pipeline.decided() == 3)

    def counted() -> set[str]:
        with urllib.request.urlopen(pipeline.stack.endpoints["collector_metrics"], timeout=30) as answer:
            text = answer.read().decode()
        return set(re.findall(r'mlotel_span_calls_total{[^}]*mlotel_component_name="(\w+)"[^}]*} 1(?:\.0)?\b', text))

    eventually(lambda: counted() == set(PIPELINE))
    files = pipeline.stack.run_dir / "collector" / "otlp" / "traces.jsonl"
    eventually(lambda: "write scores" in files.read_text(encoding="utf-8"))
    sent = pipeline.mlotel("lineage", "name:scores", "--store", str(files), "--send-trace")
    eventually(lambda: len(pipeline.jaeger.spans("mlotel.lineage")) == sent["spans"] == 9)
    assert pipeline.names() == []


def test_by_default_runs_are_kept_and_other_traces_at_a_ratio(tail: Callable[..., Pipeline]) -> None:
    """A run's trace is kept with what other libraries did in it; of other traces the failures and the share."""
    pipeline = tail(MLOTEL_TAIL_OTHERS_PERCENT="0")
    for component, body in PIPELINE.items():
        pipeline.run(component, body)
    provider = TracerProvider(resource=Resource({"service.name": pipeline.service}))
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(f"{pipeline.stack.endpoints['otlp_http']}/v1/traces"))
    )
    tracer = provider.get_tracer("other")
    for name in ("ok", "failed", "ok"):
        with tracer.start_as_current_span(f"request {name}") as span:
            tracer.start_span(f"query of {name}").end()
            if name == "failed":
                span.set_status(Status(StatusCode.ERROR))
    with tracer.start_as_current_span("request with a run"):
        tracer.start_span("run", attributes={"mlotel.component.name": "x", "mlotel.run.id": "1"}).end()
    provider.shutdown()

    eventually(lambda: pipeline.decided() == 7)
    expected = [*PIPELINE, "write raw", "read raw", "write model", "read model", "write scores"]
    expected += ["request failed", "query of failed", "request with a run", "run"]
    eventually(lambda: pipeline.names() == sorted(expected))
    with JaegerStore(pipeline.stack.endpoints["jaeger_query_grpc"]) as store:
        assert {run.component for run in store.runs()} >= set(PIPELINE)


def test_a_run_that_fails_after_the_decision_is_kept_without_what_was_sent_before(
    tail: Callable[..., Pipeline],
) -> None:
    """Its reads came while nothing had failed, and waited for no longer than they were told to."""
    pipeline = tail(MLOTEL_TAIL_RUNS_PERCENT="0", MLOTEL_TAIL_OTHERS_PERCENT="0")
    variables = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
    waiting = "run.log_input(b'{unique}', name='raw'); sys.stdin.read(); {end}"
    endings = {"long and failed": "raise ValueError('late')", "long and ok": "pass"}
    processes = {
        component: pipeline.start(component, waiting.replace("{end}", end), **variables)
        for component, end in endings.items()
    }
    eventually(lambda: pipeline.decided() == 2)
    for process in processes.values():
        process.communicate(timeout=120)
    eventually(lambda: pipeline.decided() == 4)
    eventually(lambda: pipeline.names() == ["long and failed"])


def test_more_traces_than_may_wait_make_senders_wait(tail: Callable[..., Pipeline]) -> None:
    """None is forgotten undecided: what fails last of many traces that began at once is kept with all of its spans."""
    pipeline = tail(MLOTEL_TAIL_OTHERS_PERCENT="0", MLOTEL_TAIL_TRACES="4")
    provider = TracerProvider(resource=Resource({"service.name": pipeline.service}))
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(f"{pipeline.stack.endpoints['otlp_http']}/v1/traces"))
    )
    tracer = provider.get_tracer("other")
    for _ in range(12):
        with tracer.start_as_current_span("ok"):
            tracer.start_span("query").end()
    with tracer.start_as_current_span("failed") as span:
        tracer.start_span("query").end()
        span.set_status(Status(StatusCode.ERROR))
    provider.shutdown()
    eventually(lambda: pipeline.decided() == 13)
    eventually(lambda: pipeline.names() == ["failed", "query"])


def test_mlotels_own_provider_takes_the_sampler_by_its_name(stack: Stack, tmp_path: Path) -> None:
    """With a ratio of 0 for others all runs are in Jaeger, and a lineage over three processes is whole."""
    pipeline = Pipeline(stack, tmp_path)
    for component, body in PIPELINE.items():
        errors = pipeline.run(component, body, OTEL_TRACES_SAMPLER="mlotel_lineage", OTEL_TRACES_SAMPLER_ARG="0")
        assert errors == ""
    for component in PIPELINE:
        pipeline.jaeger.span(pipeline.service, {"mlotel.component.name": component})
    found = pipeline.mlotel("lineage", "name:scores", "--jaeger", stack.endpoints["jaeger_query_grpc"])
    latest = {run["component"] for run in found["runs"]}
    assert latest == set(PIPELINE)


def test_a_standard_sampler_is_obeyed_and_told(stack: Stack, tmp_path: Path) -> None:
    """Who sets traceidratio gets it, and one sentence on what it does to lineage."""
    pipeline = Pipeline(stack, tmp_path)
    errors = pipeline.run(
        "ingest", PIPELINE["ingest"], OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0", MLOTEL_STORE=""
    )
    (line,) = errors.splitlines()
    assert "OTEL_TRACES_SAMPLER=mlotel_lineage" in line
    pipeline.run("train", PIPELINE["train"])
    pipeline.jaeger.span(pipeline.service, {"mlotel.component.name": "train"})
    assert pipeline.names() == ["read raw", "train", "write model"]
