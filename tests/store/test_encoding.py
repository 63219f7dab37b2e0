"""The encoder against the official protobuf encoder, field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from mlotel.store.encoding import LineEncoder, SpanLines

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7


def ids_as_base64(document: Any) -> Any:
    """OTLP writes ids in hex, protobuf's JSON form reads bytes in base64: the one difference between the two."""
    from base64 import b64encode

    if isinstance(document, dict):
        return {
            key: b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else ids_as_base64(item)
            for key, item in document.items()
        }
    return [ids_as_base64(item) for item in document] if isinstance(document, list) else document


def as_request(line: bytes, kind: Any = ExportTraceServiceRequest) -> Any:
    """The line as the message a collector would make of it; raises where a field is unknown or of a wrong form."""
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json_format.ParseDict(ids_as_base64(json.loads(line)), kind())


def context(trace_id: int = TRACE, span_id: int = SPAN, remote: bool = False, **state: str) -> SpanContext:
    return SpanContext(trace_id, span_id, remote, TraceFlags(1), TraceState(list(state.items())))


@pytest.fixture
def ended() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        resource=Resource({"service.name": "shop", "process.pid": 7}, "https://example.org/resource"),
        span_limits=SpanLimits(
            max_span_attributes=3, max_links=1, max_events=1, max_event_attributes=1, max_link_attributes=1
        ),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def make(**fields: Any) -> ReadableSpan:
    defaults: dict[str, Any] = {
        "name": "train",
        "context": context(),
        "resource": Resource({"service.name": "shop"}),
        "instrumentation_scope": InstrumentationScope("mlotel", "1.0"),
        "start_time": 1_790_000_000_000_000_001,
        "end_time": 1_790_000_000_000_000_999,
    }
    return ReadableSpan(**{**defaults, **fields})


def assert_as_official(span: ReadableSpan) -> None:
    assert as_request(SpanLines().span(span)) == encode_spans([span])


@pytest.mark.parametrize("kind", list(SpanKind))
@pytest.mark.parametrize("status", [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR, 'ValueError: "é"\n')])
def test_kinds_and_states(kind: SpanKind, status: Status) -> None:
    """Each kind of span with each status is encoded as the official encoder does it."""
    assert_as_official(make(kind=kind, status=status))


@pytest.mark.parametrize(
    "parent", [None, context(span_id=5), context(span_id=2**64 - 1, remote=True)], ids=["root", "local", "remote"]
)
def test_parents_and_flags(parent: SpanContext | None) -> None:
    """The parent's id, and whether it is remote, are encoded as the official encoder does it."""
    assert_as_official(make(parent=parent))


def test_trace_state() -> None:
    """The trace state is one string of its members."""
    assert_as_official(make(context=context(vendor="1", other="x=y")))


def test_links_and_events() -> None:
    """Links and span events with attributes are encoded as the official encoder does it."""
    from opentelemetry.sdk.trace import Event

    links = [Link(context(1, 2), {"mlotel.link.type": "consumes", "n": 1}), Link(context(2**128 - 1, 3, remote=True))]
    events = [Event("cache miss", {"key": "a", "tries": (1, 2)}, 1_790_000_000_000_000_500), Event("end", timestamp=9)]
    assert_as_official(make(links=links, events=events))


def test_a_link_keeps_its_trace_state() -> None:
    """A link's trace state is a field of OTLP's, which the official Python encoder leaves out."""
    request = as_request(SpanLines().span(make(links=[Link(context(1, 2, vendor="1"))])))

    assert request.resource_spans[0].scope_spans[0].spans[0].links[0].trace_state == "vendor=1"


def test_what_the_sdk_dropped_is_counted(ended: tuple[TracerProvider, InMemorySpanExporter]) -> None:
    """Counts of dropped attributes, links and events are written where they are not 0."""
    provider, exporter = ended
    tracer = provider.get_tracer("mlotel", "1.0", "https://example.org/scope", {"kind": "own"})
    links = [Link(context(n, n + 1), {"a": 1, "b": 2}) for n in (1, 2, 3)]
    span = tracer.start_span("train", attributes={str(n): n for n in range(9)}, links=links)
    for n in range(4):
        span.add_event(f"event {n}", {"a": 1, "b": 2})
    span.end()

    (finished,) = exporter.get_finished_spans()
    assert (finished.dropped_attributes, finished.dropped_links, finished.dropped_events) == (6, 2, 3)
    assert_as_official(finished)


def test_a_span_that_is_still_the_sdks_own_object(ended: tuple[TracerProvider, InMemorySpanExporter]) -> None:
    """A live Span of the SDK is encoded like the copy that exporters are given."""
    provider, _ = ended
    span = provider.get_tracer("mlotel").start_span("train", attributes={"a": 1})
    assert isinstance(span, Span)
    span.end()

    assert as_request(SpanLines().span(span)) == encode_spans([span])


def test_spans_of_any_resource_and_scope() -> None:
    """One SpanLines encodes spans of several resources and scopes, also of none, each under its own."""
    lines = SpanLines(limit=2)
    resources = [Resource({"service.name": name}) for name in ("a", "b")]
    scopes = [InstrumentationScope("x", "1"), InstrumentationScope("y", attributes={"k": "v"}), None]
    for _ in range(2):
        for resource in resources:
            for scope in scopes:
                span = make(resource=resource, instrumentation_scope=scope)
                assert as_request(lines.span(span)) == encode_spans([span])


# JSON has one NaN; protobuf keeps its sign and payload.
floats = st.floats().map(lambda number: math.nan if math.isnan(number) else number)
integers = st.integers(-(2**63), 2**63 - 1)
# Before 1.43 the official encoder leaves values out that are None; test_values_at_the_edge has them in any case.
keeps_none = tuple(map(int, version("opentelemetry-proto").split(".")[:2])) >= (1, 43)
nothing = st.none() if keeps_none else st.nothing()
scalars = st.one_of(st.text(), st.booleans(), integers, floats, st.binary(), nothing)
values = st.one_of(
    scalars,
    *[st.lists(kind, max_size=4).map(tuple) for kind in (st.text(), st.booleans(), integers, floats)],
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
        max_leaves=6,
    ),
)


def same(ours: Any, official: Any) -> bool:
    """Equality of messages in which NaN equals itself: that of their bytes."""
    return bool(ours.SerializeToString(deterministic=True) == official.SerializeToString(deterministic=True))


@given(st.dictionaries(st.text(min_size=1), values, max_size=6), st.text())
def test_any_attributes_are_as_the_official_ones(attributes: dict[str, Any], name: str) -> None:
    """Whatever values the SDK lets through, at whatever depth, the two encoders say the same."""
    span = make(name=name, attributes=attributes, links=[Link(context(1, 2), attributes)])

    assert same(as_request(SpanLines().span(span)), encode_spans([span]))


@given(st.dictionaries(st.text(min_size=1), values, max_size=4), st.one_of(nothing, values), st.text(min_size=1))
def test_any_event_is_as_the_official_log_record(attributes: dict[str, Any], body: Any, name: str) -> None:
    """An event is the log record that the official encoder makes of it."""
    resource, scope = Resource({"service.name": "shop"}), InstrumentationScope("mlotel", "1.0")
    record = SimpleNamespace(
        timestamp=5,
        observed_timestamp=6,
        span_id=SPAN,
        trace_id=TRACE,
        trace_flags=1,
        body=body,
        severity_text="INFO",
        severity_number=SimpleNamespace(value=9),
        attributes=attributes,
        event_name=name,
    )
    official: Any = SimpleNamespace(
        log_record=record, resource=resource, instrumentation_scope=scope, dropped_attributes=0
    )
    line = LineEncoder({"service.name": "shop"}, "mlotel", "1.0").event(
        name,
        time_ns=5,
        observed_time_ns=6,
        trace_id=TRACE,
        span_id=SPAN,
        attributes=attributes,
        body=body,
        severity_text="INFO",
        flags=1,
    )

    ours = as_request(line, ExportLogsServiceRequest)
    if body is None:  # "no body" and "an empty body" mean the same
        ours.resource_logs[0].scope_logs[0].log_records[0].body.SetInParent()
    assert same(ours, encode_logs([official]))


def attribute(value: Any) -> Any:
    line = LineEncoder({}, "mlotel").event("x", time_ns=1, attributes={"k": value})
    return json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"][0]["value"]


class NotOtlp:
    def __str__(self) -> str:
        return "a secret"

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, {"doubleValue": "NaN"}),
        (math.inf, {"doubleValue": "Infinity"}),
        (-math.inf, {"doubleValue": "-Infinity"}),
        (-0.0, {"doubleValue": -0.0}),
        (2**63 - 1, {"intValue": "9223372036854775807"}),
        (2**63, {"stringValue": "9223372036854775808"}),
        (-(2**63) - 1, {"stringValue": "-9223372036854775809"}),
        (10**5000, {"stringValue": hex(10**5000)}),
        (True, {"boolValue": True}),
        (b"\x00\xff", {"bytesValue": "AP8="}),
        (None, {}),
        ("a\ud800b", {"stringValue": "a\ufffdb"}),
        ("\ud83d\ude00", {"stringValue": "\U0001f600"}),
        (["\udfff"], {"arrayValue": {"values": [{"stringValue": "\ufffd"}]}}),
        (NotOtlp(), {"stringValue": f"{__name__}.NotOtlp"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_at_the_edge(value: Any, expected: Any) -> None:
    """Values that JSON, UTF-8 or 64 bits cannot hold take the form that OTLP has for them, or the nearest text."""
    assert attribute(value) == expected


def test_lone_surrogates_anywhere_are_replaced() -> None:
    """A string that UTF-8 cannot carry does not cost the span, wherever it stands."""
    bad = "x\ud800"
    span = make(
        name=bad, attributes={bad: bad}, status=Status(StatusCode.ERROR, bad), links=[Link(context(), {bad: bad})]
    )
    (encoded,) = as_request(SpanLines().span(span)).resource_spans[0].scope_spans[0].spans

    texts = (encoded.name, encoded.attributes[0].key, encoded.attributes[0].value.string_value, encoded.status.message)
    assert texts == ("x\ufffd",) * 4


def test_names_without_end_do_not_fill_the_memory() -> None:
    """Parameter names are the user's: an encoder that has seen very many still encodes each one rightly."""
    encoder = LineEncoder({}, "mlotel")
    lines = [encoder.event("x", time_ns=1, attributes={f"mlotel.param.{n}": n}) for n in range(5000)]

    keys = [json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"][0] for line in lines]
    assert keys == [{"key": f"mlotel.param.{n}", "value": {"intValue": str(n)}} for n in range(5000)]


def test_numpy_scalars_that_are_floats() -> None:
    """NumPy's float64 is a float to the SDK, which lets it through: it is encoded as one."""
    import numpy as np

    assert attribute(np.float64(0.5)) == {"doubleValue": 0.5}


def test_the_api_alone_is_enough() -> None:
    """The kind of a span is read by its value: no class of the SDK is needed to encode one."""
    assert trace.SpanKind.INTERNAL.value + 1 == 1
