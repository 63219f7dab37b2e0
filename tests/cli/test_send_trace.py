"""`mlotel lineage --send-trace`: a lineage as one trace; tests/stack has the same on the real Jaeger."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx
import pipelines
import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from pipelines import Book, BookStore, Io, otlp_lines
from random_pipelines import books
from test_cli_schemas import validator

from mlotel.lineage import around, downstream, upstream
from mlotel.model import Lineage
from mlotel.sdk.projection import Projection, project
from mlotel.semconv import attributes as A
from mlotel.store.memory import MemoryStore

if TYPE_CHECKING:
    from conftest import Mlotel

HOSTILE = "x\x1b[31m\n</script>'; DROP TABLE\x9b"


@pytest.fixture
def diamond(book: Book) -> Book:
    """One source, two ways from it, and a run that joins them, and failed."""
    raw = book.run("ingest", ["feed"], ["raw"], tags={"day": "1"})
    left = book.run("left", [Io("raw", link=raw.outputs[0])], ["a"], params={"depth": 3})
    right = book.run("right", [Io("raw", link=raw.outputs[0], resolved_by="digest")], ["b"], metrics={"rows": 7.0})
    reads = [Io("a", link=left.outputs[0]), Io("b", link=right.outputs[0])]
    error = {"type": "ValueError", "message": HOSTILE}
    book.run("join", reads, [Io("end", name=HOSTILE)], state="failed", error=error, version="2")
    return book


@pytest.fixture
def collector() -> Iterator[Collector]:
    """What takes OTLP over HTTP and keeps the spans."""
    with Collector() as running:
        yield running


class Collector:
    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.headers.append(dict(self.headers))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def spans(self) -> list[Any]:
        return [s for r in self.requests for a in r.resource_spans for b in a.scope_spans for s in b.spans]

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def by_name(projection: Projection) -> dict[str, ReadableSpan]:
    return {span.name: span for span in projection.spans}


def whole(book: Book) -> Lineage:
    return around(BookStore(book.made), book.made[-1])


@given(books())
def test_any_lineage_is_one_tree_with_a_span_for_each_run_read_and_write(book: Book) -> None:
    """Whatever the graph, the spans are one tree below one root, by networkx, and stand for each run and edge once."""
    for walk in (upstream, downstream, around):
        lineage = walk(BookStore(book.made), book.made[-1])
        projection = project(lineage)

        tree = networkx.DiGraph()
        tree.add_nodes_from(span.context.span_id for span in projection.spans)
        tree.add_edges_from((span.parent.span_id, span.context.span_id) for span in projection.spans if span.parent)
        assert networkx.is_arborescence(tree)
        assert {span.context.trace_id for span in projection.spans} == {int(projection.trace_id, 16)}
        kinds = [span.attributes[A.MLOTEL_PROJECTION_KIND] for span in projection.spans]
        counts = [sum(edge.kind == kind for edge in lineage.edges) for kind in ("read", "write")]
        assert len(kinds) == len(tree) == 1 + len(lineage.runs) + sum(counts)
        assert [kinds.count(kind) for kind in ("lineage", "run", "read", "write")] == [1, len(lineage.runs), *counts]


@given(books())
def test_each_link_leads_into_the_trace_or_to_an_original(book: Book) -> None:
    """A link names a span of the projection itself, or the span that its own stands for."""
    projection = project(whole(book))
    here = {span.context.span_id for span in projection.spans}
    originals = {int(run.span_id, 16): int(run.trace_id, 16) for run in book.made}
    originals |= {
        int(each.span_id, 16): int(run.trace_id, 16) for run in book.made for each in (*run.inputs, *run.outputs)
    }
    for span in projection.spans:
        for link in span.links:
            if link.attributes[A.MLOTEL_LINK_TYPE] == "projection_of":
                assert originals[link.context.span_id] == link.context.trace_id
            else:
                assert link.context.trace_id == int(projection.trace_id, 16)
                assert link.context.span_id in here


@given(books())
def test_the_same_answer_is_the_same_trace(book: Book) -> None:
    """Its bytes on the wire are the same whenever it is made, and another answer has another id."""
    lineage = whole(book)
    again = Lineage(lineage.root, lineage.runs[::-1], lineage.artifacts[::-1], lineage.edges[::-1], lineage.partial)
    one, other = project(lineage), project(again)

    def told(projection: Projection) -> set[str]:
        return {MessageToJson(encode_spans([span])) for span in projection.spans}

    assert one.trace_id == other.trace_id
    assert told(one) == told(other)
    assert project(Lineage("f" * 32, lineage.runs, lineage.artifacts, lineage.edges)).trace_id != one.trace_id


def test_a_run_is_below_the_latest_write_that_it_read(diamond: Book) -> None:
    """The timeline follows the data: of two ways the longer one is the parent, and the reads link to both."""
    spans = by_name(project(whole(diamond)))
    parents = {
        name: next((each.name for each in spans.values() if each.context == span.parent), None)
        for name, span in spans.items()
        if span.attributes[A.MLOTEL_PROJECTION_KIND] in ("run", "lineage")
    }
    assert parents == {
        "lineage of join": None,
        "ingest": "lineage of join",
        "left": "write raw",
        "right": "write raw",
        "join": "write b",
    }
    consumed = {
        name: [each.name for each in spans.values() for link in spans[name].links if each.context == link.context]
        for name in ("read a", "read b")
    }
    assert consumed == {"read a": ["write a"], "read b": ["write b"]}


def test_times_states_and_what_is_known_are_the_originals(diamond: Book) -> None:
    """A run's span has its times, status, parameters, metrics and tags, and links to it; the root covers all."""
    spans = by_name(project(whole(diamond)))
    for run in diamond.made:
        span = spans[run.component]
        assert (span.start_time, span.end_time) == (run.start_ns, run.end_ns)
        assert span.links[0].context.span_id == int(run.span_id, 16)
        assert span.attributes[A.MLOTEL_RUN_STATE] == run.state
        assert span.attributes[A.MLOTEL_PROJECTION_SERVICE] == "tests"
    root = spans["lineage of join"]
    assert root.start_time == min(run.start_ns for run in diamond.made)
    assert root.end_time == max(run.end_ns for run in diamond.made)
    failed = spans["join"].status
    assert (failed.status_code.name, failed.description) == ("ERROR", f"ValueError: {HOSTILE}")
    assert spans["write raw"].start_time == diamond.made[0].outputs[0].time_ns


def test_parameters_metrics_and_tags_are_told(diamond: Book) -> None:
    """They are read from the run's own attributes, and stand on the span under the same names."""
    store = MemoryStore(otlp_lines(diamond).encode().splitlines())
    (end,) = store.find_artifacts(name=HOSTILE)
    spans = by_name(project(upstream(store, end)))
    assert spans["left"].attributes[f"{A.MLOTEL_PARAM}.depth"] == 3
    assert spans["right"].attributes[f"{A.MLOTEL_METRIC}.rows"] == 7.0
    assert spans["ingest"].attributes[f"{A.MLOTEL_TAG}.day"] == "1"
    assert spans["join"].attributes[A.MLOTEL_COMPONENT_VERSION] == "2"


def test_what_has_not_ended_is_left_out(book: Book) -> None:
    """A running run has no span, and its reads and writes have none, so that it is another trace once it has ended."""
    first = book.run("first", [], ["a"])
    book.run("second", [Io("a", link=first.outputs[0])], ["b"], state="running")
    book.run("third", [Io("a", link=first.outputs[0])], state="lost")
    projection = project(downstream(BookStore(book.made), first))

    assert set(by_name(projection)) == {"lineage of first", "first", "write a", "third", "read a"}
    assert (projection.runs, projection.unended) == (2, 1)


def test_a_dependency_by_hand_is_a_link_and_a_parent_where_no_data_is(book: Book) -> None:
    """Who depends on a run is below it unless data says otherwise, and links to it either way."""
    first = book.run("first", [], ["a"])
    second = book.run("second", depends_on=[first])
    third = book.run("third", [Io("a", link=first.outputs[0])], depends_on=[second])
    spans = by_name(project(upstream(BookStore(book.made), third)))

    assert spans["second"].parent == spans["first"].context
    assert spans["third"].parent == spans["write a"].context
    for name, above in (("second", "first"), ("third", "second")):
        assert spans[above].context in [link.context for link in spans[name].links]


def test_no_store_takes_a_projection_for_runs(diamond: Book) -> None:
    """Beside the runs that it shows, a projection changes no answer of a store, and is no torn line of it."""
    lines = otlp_lines(diamond).encode().splitlines()
    plain = MemoryStore(lines)
    lineage = upstream(plain, plain.find_artifacts(name=HOSTILE)[0])
    group = json.loads(MessageToJson(encode_spans(project(lineage).spans)))
    line = json.dumps(group).encode()
    beside = MemoryStore([*lines, line])

    assert beside.runs() == plain.runs()
    assert MemoryStore([line]).runs() == ()
    assert upstream(beside, beside.find_artifacts(name=HOSTILE)[0]) == lineage
    for digest in {each.digest for run in diamond.made for each in (*run.inputs, *run.outputs)}:
        assert beside.find_artifacts(digest=digest) == plain.find_artifacts(digest=digest)


def test_the_command_sends_and_says_which_trace(
    diamond: Book, store: Callable[[], Path], mlotel: Mlotel, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to the configured collector with its headers; the document is what its schema describes."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=team")
    path = store()
    said = mlotel("lineage", diamond.made[-1].run_id, "--store", path, "--send-trace", "--format", "json")
    told = mlotel("lineage", diamond.made[-1].run_id, "--store", path, "--send-trace")

    assert (said.code, said.err) == (0, "")
    validator("projection").validate(said.json)
    half = len(collector.spans()) // 2
    sent = {span.trace_id.hex() for span in collector.spans()}
    assert sent == {said.json["trace_id"]}
    assert said.json == {
        "trace_id": sent.pop(), "endpoint": f"{collector.endpoint}/v1/traces", "runs": 4, "spans": half, "unended": 0
    }  # fmt: skip
    assert collector.spans()[:half] == collector.spans()[half:]
    trace = said.json["trace_id"]
    assert told.out == f"sent trace {trace} to {collector.endpoint}/v1/traces: 4 runs, {half} spans\n"
    assert collector.headers[0]["x-scope-orgid"] == "team"
    services = {
        attribute.value.string_value
        for request in collector.requests
        for group in request.resource_spans
        for attribute in group.resource.attributes
        if attribute.key == "service.name"
    }
    assert services == {"mlotel.lineage"}


def test_what_is_left_out_is_told(
    tmp_path: Path, mlotel: Mlotel, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that has not ended is counted on standard error; where none has, nothing is sent."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setattr(pipelines, "START", time.time_ns())  # a run that began just now and has not ended is running
    book = Book()
    first = book.run("first", [], ["a"])
    second = book.run("second", [Io("a", link=first.outputs[0])], state="running")
    path = tmp_path / "runs.jsonl"
    path.write_text(otlp_lines(book))

    partly = mlotel("lineage", second.run_id, "--store", path, "--send-trace")
    assert (partly.code, partly.err) == (
        0, "mlotel: 1 run left out, not having ended: send the trace again later\n"
    )  # fmt: skip
    sent = len(collector.spans())
    none = mlotel("lineage", second.run_id, "--depth", "0", "--store", path, "--send-trace")
    assert (none.code, none.err) == (1, "mlotel: nothing to send: no run of this lineage has ended\n")
    assert len(collector.spans()) == sent


@pytest.mark.parametrize(
    ("environment", "options", "says"),
    [
        ({}, (), "no collector is configured: set OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, (), "OTEL_SDK_DISABLED"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, (), "no collector"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:secret@127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"},
            (),
            "http://127.0.0.1:1/v1/traces did not take the spans",
        ),
        ({}, ("--format", "html"), "--send-trace prints no lineage"),
    ],
)
def test_why_nothing_was_sent_is_told_in_one_line(
    environment: dict[str, str],
    options: tuple[str, ...],
    says: str,
    diamond: Book,
    store: Callable[[], Path],
    mlotel: Mlotel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No collector, one switched off or away, a format that makes no sense: exit code 2, and no secret is told."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outcome = mlotel("lineage", diamond.made[-1].run_id, "--store", store(), "--send-trace", *options)

    assert (outcome.code, outcome.out) == (2, "")
    assert says in outcome.err
    assert "secret" not in outcome.err
    assert "Traceback" not in outcome.err
