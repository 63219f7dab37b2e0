"""What each kind of answer to a request means, over HTTP and gRPC."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import pytest
from faulty_collector import Reply, faulty_collector
from faulty_grpc_collector import faulty_grpc_collector
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from mlotel.sdk._settings import Settings
from mlotel.sdk._transport import Answer, make_transport

BODY = ExportTraceServiceRequest().SerializeToString()
PARTIAL = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
).SerializeToString()
JSON = {"Content-Type": "application/json; charset=utf-8"}
PAGE = {"Content-Type": "text/html"}


def send(endpoint: str, protocol: str = "http/protobuf", **variables: str) -> Answer:
    transport = make_transport(
        Settings(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                              **variables}),
        "traces",
    )  # fmt: skip
    try:
        return transport.send(BODY)
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(200), "taken"),
        (Reply(202, {}), "taken"),
        (Reply(200, {"Content-Type": "text/plain"}, b"ok"), "taken"),
        (Reply(200, JSON, b"{}"), "taken"),
        (Reply(200, JSON, b""), "taken"),
        (Reply(200, JSON, b"[1"), "unanswered"),
        (Reply(200, body=b"\xff\xff\xff"), "unanswered"),
        (Reply(200, PAGE, b"<html>log in</html>"), "unanswered"),
        (Reply(200, {}, b"  <!doctype html>"), "unanswered"),
        (Reply(302, {"Location": "http://127.0.0.1:9/"}), "later"),
        (Reply(400), "malformed"),
        (Reply(401), "later"),
        (Reply(403), "later"),
        (Reply(404), "refused"),
        (Reply(408), "later"),
        (Reply(413), "malformed"),
        (Reply(415), "refused"),
        (Reply(429), "later"),
        (Reply(500), "later"),
        (Reply(501), "refused"),
        (Reply(502), "unanswered"),
        (Reply(503), "later"),
        (Reply(504), "unanswered"),
        (Reply(None), "unanswered"),
    ],
    ids=lambda value: f"{value.status}-{value.body!r}" if isinstance(value, Reply) else value,
)
def test_answers_over_http(reply: Reply, outcome: str) -> None:
    """Each request is sent once, whatever the answer, and is told what became of it."""
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: reply
        assert send(collector.endpoint).outcome == outcome
        assert len(collector.requests) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0, "taken"), (3, "malformed"), (4, "unanswered"), (7, "later"), (8, "later"), (12, "refused"),
     (13, "unanswered"), (14, "later"), (16, "later")],
)  # fmt: skip
def test_answers_over_grpc(status: int, outcome: str) -> None:
    """The same, by codes of gRPC."""
    with faulty_grpc_collector() as collector:
        collector.reply = lambda signal, message: Reply(status)
        assert send(collector.endpoint, "grpc").outcome == outcome
        assert len(collector.requests) == 1


def test_partial_success() -> None:
    """How many items were rejected, and why: in protobuf, in JSON and over gRPC."""
    expected = Answer("taken", "too old", rejected=3)
    said = b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}'
    with faulty_collector() as collector:
        for reply in (Reply(200, body=PARTIAL), Reply(200, JSON, said)):
            collector.reply = lambda signal, message, reply=reply: reply  # type: ignore[misc]
            assert send(collector.endpoint) == expected
    with faulty_grpc_collector() as collector:
        collector.reply = lambda signal, message: Reply(0, body=PARTIAL)
        assert send(collector.endpoint, "grpc") == expected


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("1e9", 300.0), ("nan", 0.0), ("inf", 300.0), ("soon", 0.0), ("", 0.0)],
)
def test_retry_after(said: str, seconds: float) -> None:
    """A number of seconds within reason; nonsense is none."""
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply(429, {"Retry-After": said})
        assert send(collector.endpoint).retry_after_s == seconds


def test_retry_after_as_a_date_and_over_grpc() -> None:
    """An HTTP date, and gRPC's RetryInfo."""
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply(503, {"Retry-After": formatdate(time.time() + 100)})
        assert 60 < send(collector.endpoint).retry_after_s <= 100
    info: Any = RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000)).SerializeToString()
    for value, seconds in ((info, 2.5), (b"\xff\xff", 0.0)):
        with faulty_grpc_collector() as collector:
            reply = Reply(8, {"google.rpc.retryinfo-bin": value})
            collector.reply = lambda signal, message, reply=reply: reply  # type: ignore[misc]
            assert send(collector.endpoint, "grpc").retry_after_s == seconds


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_was_surely_never_sent(protocol: str) -> None:
    """Nobody at the address, a name that is none, a certificate that is not there: it did not arrive, and why."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    cases: list[tuple[str, Mapping[str, str], str]] = [
        (f"http://127.0.0.1:{port}", {}, "refused"),
        ("http://no-such-host.invalid:4318", {}, ""),
        (f"https://127.0.0.1:{port}", {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.crt"}, "/nowhere/ca.crt"),
    ]
    for endpoint, variables, says in cases:
        answer = send(endpoint, protocol, **variables)
        assert answer.outcome == "later", (endpoint, answer)
        assert says in answer.detail


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_listener_that_never_answers_is_given_up(protocol: str) -> None:
    """After OTEL_EXPORTER_OTLP_TIMEOUT seconds; whether it took the request nobody knows."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = send(f"http://127.0.0.1:{silent.getsockname()[1]}", protocol, OTEL_EXPORTER_OTLP_TIMEOUT="0.3")
    assert answer.outcome == "unanswered"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_headers_and_compression(compression: str) -> None:
    """OTEL_EXPORTER_OTLP_HEADERS and _COMPRESSION are heeded, that of the signal first."""
    said = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20all",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Bearer%20traces",
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
    }
    with faulty_collector() as collector:
        send(collector.endpoint, **said)
        (request,) = collector.requests
        assert request.headers["authorization"] == "Bearer traces"
        assert request.headers.get("content-encoding", "none") == compression
    with faulty_grpc_collector() as collector:
        send(collector.endpoint, "grpc", **said)
        assert collector.requests[0].headers["authorization"] == "Bearer traces"


def test_a_collector_that_takes_no_json_is_sent_protobuf() -> None:
    """Lines of the spool are OTLP/JSON, which not every backend takes: it is asked once."""
    line = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"n"}]}]}]}\n'
    with faulty_collector() as collector:
        # the request before has not been noted yet when the reply is chosen
        collector.reply = lambda signal, message: Reply(415 if not collector.requests else 200)
        transport = make_transport(Settings(endpoint=collector.endpoint), "traces")
        assert [transport.send_json(line).outcome for _ in range(2)] == ["taken", "taken"]
        transport.close()
        media_types = [request.headers["content-type"] for request in collector.requests]
        assert media_types == ["application/json", "application/x-protobuf", "application/x-protobuf"]
        assert [span.name for span in collector.spans()] == ["n", "n"]


def test_a_spooled_line_is_the_same_request_over_grpc() -> None:
    """OTLP/JSON made protobuf: ids, links, every type of value and odd numbers, against protobuf's own reading."""
    line = (
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":"\\u00fc"}}]},"scopeSpans":['
        b'{"scope":{"name":"mlotel"},"spans":[{"traceId":"0123456789abcdef0123456789abcdef","spanId":"00000000000000ff",'
        b'"parentSpanId":"ff00000000000000","name":"n","kind":1,"startTimeUnixNano":"18446744073709551615","flags":259,'
        b'"links":[{"traceId":"ffffffffffffffffffffffffffffffff","spanId":"0000000000000001"}],"attributes":['
        b'{"key":"i","value":{"intValue":"-9223372036854775808"}},{"key":"d","value":{"doubleValue":"NaN"}},'
        b'{"key":"b","value":{"bytesValue":"/w=="}},{"key":"l","value":{"arrayValue":{"values":[{"boolValue":true}]}}}'
        b'],"unknown":1}]}]}]}\n'
    )
    with faulty_grpc_collector() as collector:
        transport = make_transport(Settings(endpoint=collector.endpoint, protocol="grpc"), "traces")
        assert transport.send_json(line).outcome == "taken"
        assert transport.send_json(b'{"resourceSpans":[{"scopeSpans":3}]}\n').outcome == "malformed"
        assert transport.send_json(b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"x"}]}]}]}').outcome == (
            "malformed"
        )
        transport.close()
        (span,) = collector.spans()
    assert span.trace_id == bytes.fromhex("0123456789abcdef" * 2)
    assert (span.span_id, span.parent_span_id) == (b"\0" * 7 + b"\xff", b"\xff" + b"\0" * 7)
    assert span.links[0].trace_id == b"\xff" * 16
    assert span.start_time_unix_nano == 2**64 - 1
    values = {attribute.key: attribute.value for attribute in span.attributes}
    assert values["i"].int_value == -(2**63)
    assert values["d"].double_value != values["d"].double_value
    assert values["b"].bytes_value == b"\xff"
    assert values["l"].array_value.values[0].bool_value is True
