"""Head sampling: other libraries' spans are sampled, and every recorded run has its whole upstream."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.propagators.textmap import default_getter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import mlotel
from mlotel import ArtifactContext
from mlotel.errors import ConfigurationError
from mlotel.sdk.sampling import LineageSampler, lineage_sampler
from mlotel.semconv import attributes as A
from mlotel.testing import CapturedRuns

Script = Callable[..., "subprocess.CompletedProcess[str]"]

RATIO = 0.1
RUN = {A.MLOTEL_COMPONENT_NAME: "train", A.MLOTEL_RUN_ID: "1"}
READ = {A.MLOTEL_IO_DIRECTION: "input", A.MLOTEL_RUN_ID: "1"}

# A service in which each request writes what the next ones read, between spans of another library.
SERVICE = """
    import json, logging, random, sys
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from mlotel.sdk.sampling import LineageSampler
    import mlotel

    logging.basicConfig(format="%(name)s: %(message)s")
    usual = ParentBased(TraceIdRatioBased(float(sys.argv[2])))
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    samplers = {"usual": usual, "lineage": LineageSampler(usual), "inside": ParentBased(LineageSampler(usual))}
    provider = TracerProvider(sampler=samplers[sys.argv[1]])
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    other, draw, requests = trace.get_tracer("other"), random.Random(7), []

    for number in range(150):
        with other.start_as_current_span("request") as request:
            requests.append(request.get_span_context().trace_id)
            with mlotel.component("featurize") as run:
                for earlier in draw.sample(range(number), min(number, 3)):
                    run.log_input(b"features %d" % earlier, name="features")
                with other.start_as_current_span("query"), other.start_as_current_span("fetch"):
                    with mlotel.component("clean"):
                        with other.start_as_current_span("query"):
                            pass
                run.log_output(b"features %d" % number, name="features")
            with other.start_as_current_span("query"):
                pass

    found = [
        {
            "scope": span.instrumentation_scope.name,
            "name": span.name,
            "trace": span.context.trace_id,
            "id": span.context.span_id,
            "parent": span.parent and span.parent.span_id,
            "links": [link.context.span_id for link in span.links],
        }
        for span in exporter.get_finished_spans()
    ]
    counted = {
        metric.name: sum(point.value for point in metric.data.data_points)
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "mlotel.telemetry.dropped" and any(point.value for point in metric.data.data_points)
    }
    print(json.dumps({"spans": found, "requests": requests, "counted": counted}))
    """


def served(script: Script, sampler: str, ratio: float = RATIO) -> tuple[dict[str, Any], list[str]]:
    done = script(SERVICE, sampler, str(ratio), MLOTEL_STORE=None)
    return json.loads(done.stdout), done.stderr.splitlines()


def holes(spans: list[dict[str, Any]]) -> int:
    """Links that lead to no recorded span."""
    recorded = {span["id"] for span in spans}
    return sum(link not in recorded for span in spans for link in span["links"])


def test_every_recorded_run_has_its_whole_upstream(script: Script) -> None:
    """All runs, reads and writes are there; of the other library exactly the spans of the traces that are chosen."""
    found, said = served(script, "lineage")
    ours = [span for span in found["spans"] if span["scope"] == "mlotel"]
    others = [span for span in found["spans"] if span["scope"] == "other"]
    names = [span["name"] for span in ours]

    assert holes(found["spans"]) == 0
    assert (names.count("featurize"), names.count("clean"), names.count("write features")) == (150, 150, 150)
    assert names.count("read features") == sum(len(span["links"]) for span in ours) == 3 * 150 - 6
    # as the W3C ratio sampler decides, computed without it
    chosen = [trace for trace in found["requests"] if trace % 2**64 < RATIO * 2**64]
    assert 0 < len(chosen) < 60
    assert sorted(span["trace"] for span in others) == sorted(5 * chosen)
    assert (said, found["counted"]) == ([], {})


def test_what_another_sampler_drops_is_counted_and_told_once(script: Script) -> None:
    """The usual ratio sampler leaves holes; one warning says what to do, and a counter how many runs are missing."""
    found, said = served(script, "usual")
    recorded = sum(span["name"] in ("featurize", "clean") for span in found["spans"])

    assert holes(found["spans"]) > 0
    assert 0 < recorded < 300
    assert found["counted"] == {"mlotel.telemetry.dropped": 300 - recorded}
    (warning,) = said
    assert "drops runs" in warning
    assert "OTEL_TRACES_SAMPLER=mlotel_lineage" in warning


def test_below_another_sampler_it_is_another_sampler(script: Script) -> None:
    """Asked about roots alone it cannot keep lineage whole, and that is told."""
    found, said = served(script, "inside")
    assert found["counted"]["mlotel.telemetry.dropped"] > 0
    assert len(said) == 1


def test_a_sampler_that_keeps_all_is_not_complained_of(script: Script) -> None:
    """A foreign sampler that drops nothing costs no word and counts nothing."""
    found, said = served(script, "usual", 1.0)
    assert (holes(found["spans"]), said, found["counted"]) == (0, [], {})


@pytest.mark.parametrize(
    ("flags", "note"), [("00", "the span that wrote it was not sampled: its lineage ends here"), ("01", None)]
)
def test_a_read_says_where_lineage_ends(flags: str, note: str | None, mlotel_runs: CapturedRuns) -> None:
    """What a run elsewhere wrote that was not sampled has a link that leads nowhere, and a note that says so."""
    with mlotel.component("use") as run:
        run.log_input(b"x", "x", context=ArtifactContext(f"00-{1:032x}-{2:016x}-{flags}"))
    (read,) = mlotel_runs.runs[0].inputs
    assert read.link is not None
    assert read.note == note


# -- span by span


class Service:
    """A process with a tracer provider of its own."""

    def __init__(self, sampler: Sampler) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("test")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]


def sampler(ratio: float, **options: Any) -> LineageSampler:
    return LineageSampler(ParentBased(TraceIdRatioBased(ratio)), **options)


@pytest.mark.parametrize("below", ["mlotel's", "the usual"])
def test_what_a_run_calls_is_sampled_as_if_it_were_not_recorded(below: str) -> None:
    """A service that a run calls records no more than without the run; without mlotel's sampler it follows the flag."""
    caller = Service(sampler(0.0))
    called = Service(sampler(0.0) if below == "mlotel's" else ParentBased(TraceIdRatioBased(0.0)))
    headers: dict[str, str] = {}
    with caller.tracer.start_as_current_span("run", attributes=RUN), caller.tracer.start_as_current_span("client"):
        TraceContextTextMapPropagator().inject(headers)
    with caller.tracer.start_as_current_span("run", attributes=RUN):
        direct: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(direct)
    for sent in (headers, direct):
        context = TraceContextTextMapPropagator().extract(sent, getter=default_getter)
        with (
            called.tracer.start_as_current_span("server", context=context),
            called.tracer.start_as_current_span("run", attributes=RUN),
            called.tracer.start_as_current_span("query"),
        ):
            pass

    assert caller.names == ["run", "run"]
    assert called.names == (["run", "run"] if below == "mlotel's" else ["query", "run", "server"])


def test_below_a_run_in_a_trace_that_is_chosen_everything_is_sampled() -> None:
    """As without mlotel; and such a run's context says nothing of it."""
    service = Service(sampler(1.0))
    with (
        service.tracer.start_as_current_span("request"),
        service.tracer.start_as_current_span("run", attributes=RUN) as run,
        service.tracer.start_as_current_span("query"),
    ):
        assert len(run.get_span_context().trace_state) == 0
    assert service.names == ["query", "run", "request"]


def test_reads_and_writes_go_with_their_run() -> None:
    """Of a leaf as of any other component; a run below a leaf is recorded all the same."""
    service = Service(sampler(0.0, leaves=["answer"]))
    leaf = {**RUN, A.MLOTEL_COMPONENT_NAME: "answer"}
    with (
        service.tracer.start_as_current_span("answer", attributes=leaf),
        service.tracer.start_as_current_span("read of the answer", attributes=READ),
    ):
        pass
    with (
        service.tracer.start_as_current_span("answer", attributes=leaf),
        service.tracer.start_as_current_span("run", attributes=RUN),
        service.tracer.start_as_current_span("read", attributes=READ),
    ):
        pass
    with (
        service.tracer.start_as_current_span("run", attributes=RUN),
        service.tracer.start_as_current_span("answer", attributes=leaf),
        service.tracer.start_as_current_span("read of the answer", attributes=READ),
    ):
        pass
    assert service.names == ["read", "run", "run"]


def test_a_leaf_is_sampled_as_other_spans_are() -> None:
    """At the ratio, its reads with it, by its trace id alone."""
    service = Service(sampler(RATIO, leaves=["answer"]))
    traces = []
    for _ in range(300):
        with (
            service.tracer.start_as_current_span(
                "answer", attributes={**RUN, A.MLOTEL_COMPONENT_NAME: "answer"}
            ) as run,
            service.tracer.start_as_current_span("read", attributes=READ),
        ):
            traces.append(run.get_span_context().trace_id)
    chosen = [trace for trace in traces if trace % 2**64 < RATIO * 2**64]
    assert [span.context.trace_id for span in service.spans if span.name == "answer"] == chosen
    assert service.names.count("read") == len(chosen)


def test_a_full_trace_state_gives_up_its_oldest_entry(caplog: pytest.LogCaptureFixture) -> None:
    """W3C allows 32 entries, the newest first; nothing is logged, and the mark is there."""
    service = Service(sampler(0.0))
    state = TraceState([(f"vendor{i}", "x") for i in range(32)])
    parent = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0), trace_state=state)
    context = set_span_in_context(NonRecordingSpan(parent))
    for _ in range(2):
        span = service.tracer.start_span("run", context=context, attributes=RUN)
        context = set_span_in_context(span)
        assert len(span.get_span_context().trace_state) == 32
        assert not {"vendor31"} & set(span.get_span_context().trace_state)
        assert "vendor30" in span.get_span_context().trace_state
    service.tracer.start_span("query", context=context).end()
    assert service.names == []
    assert caplog.records == []


def test_span_attributes_and_links_come_through() -> None:
    """The sampler takes nothing away from a span that it records."""
    service = Service(sampler(0.0))
    span = service.tracer.start_span("run", attributes={**RUN, "own": 1})
    span.set_status(Status(StatusCode.OK))
    span.end()
    (recorded,) = service.spans
    assert dict(recorded.attributes or {}) == {**RUN, "own": 1}


def test_what_cannot_be_used_is_refused_with_the_fix() -> None:
    """A ratio in place of a sampler, and one name in place of several."""
    with pytest.raises(ConfigurationError, match=r"LineageSampler\(ParentBased\(TraceIdRatioBased\(0\.01\)\)\)"):
        LineageSampler(0.01)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"write leaves=\['predict'\]"):
        LineageSampler(ALWAYS_ON, leaves="predict")


@pytest.mark.parametrize("argument", ["1.5", "-1", "nan", "half"])
def test_a_ratio_that_is_none_keeps_everything_and_is_told(argument: str, caplog: pytest.LogCaptureFixture) -> None:
    """A pipeline does not fail over a mistyped variable, nor loses spans by it."""
    service = Service(lineage_sampler(argument))
    service.tracer.start_span("query").end()
    assert service.names == ["query"]
    assert f"OTEL_TRACES_SAMPLER_ARG={argument} is no ratio from 0 to 1" in caplog.text


@pytest.mark.parametrize(("argument", "kept"), [(None, 1), ("", 1), ("1.0", 1), ("0", 0)])
def test_the_ratio_is_that_of_the_variable(argument: str | None, kept: int) -> None:
    """Everything where there is none, as for OpenTelemetry's own samplers."""
    service = Service(lineage_sampler(argument))
    service.tracer.start_span("query").end()
    assert len(service.names) == kept
