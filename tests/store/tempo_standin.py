"""A stand-in for Tempo: its documented HTTP API over spans that tests hand in, with faults on demand.

https://grafana.com/docs/tempo/latest/api_docs/. Answers have the shape of a real Tempo's: ids in Base64 in traces,
without leading zeros in search results, enumerations by name, 64-bit integers as text, and the limits that it has by
default.
"""

from __future__ import annotations

import base64
import json
import random
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from traceql_standin import ParseError, Query, Span, parse

SECOND = 10**9
_STATUS = {0: "unset", 1: "ok", 2: "error", "STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}


@dataclass(frozen=True)
class Answer:
    """What is sent back: `cut` bytes short of what it says, or after `wait` is set."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    wait: threading.Event | None = None


Fault = Callable[[str], Answer | None]


class StandInTempo:
    """A Tempo on a free port of this machine.

    Args:
        v2: whether it knows `/api/v2/traces`, as Tempo does since 2.7.
        max_duration_s: the longest time range that it searches.
        tenants: whether it wants `X-Scope-OrgID`.
        fault: answers instead, if it has an answer for a path.
    """

    def __init__(
        self,
        *,
        v2: bool = True,
        max_duration_s: int = 168 * 3600,
        max_trace_spans: int | None = None,
        tenants: bool = False,
        fault: Fault | None = None,
    ) -> None:
        self.v2, self.max_duration_s, self.max_trace_spans = v2, max_duration_s, max_trace_spans
        self.tenants, self.fault = tenants, fault
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self._traces: defaultdict[str, dict[str, Span]] = defaultdict(dict)
        self._random = random.Random(0)
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet: two would wait for each other's acknowledgement

            def do_GET(self) -> None:
                stand_in._serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that went away
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, lines: Iterable[bytes]) -> None:
        """Take the spans of OTLP/JSON lines as the collector would send them; other lines are not for Tempo."""
        for line in lines:
            for group in json.loads(line).get("resourceSpans", ()):
                for scope in group["scopeSpans"]:
                    for span in scope["spans"]:
                        made = span_of(span, group["resource"])
                        self._traces[made.trace_id].setdefault(made.span_id, made)

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        self.headers.append(dict(request.headers))
        answer = self.fault(request.path) if self.fault is not None else None
        if answer is None:
            answer = self._answer(request)
        if answer.wait is not None:
            answer.wait.wait(30)
        request.send_response(answer.status)
        for name, value in answer.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer.body) + answer.cut))
        request.end_headers()
        request.wfile.write(answer.body)
        request.wfile.flush()
        if answer.cut:
            request.close_connection = True

    def _answer(self, request: BaseHTTPRequestHandler) -> Answer:
        if self.tenants and not request.headers.get("X-Scope-OrgID"):
            return Answer(401, b"no org id\n")
        parts = urlsplit(request.path)
        given = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/api/search":
            try:
                return Answer(200, json.dumps(self._search(given)).encode())
            except ParseError as error:
                return Answer(400, f"invalid TraceQL query: {error}\n".encode())
            except ValueError as error:
                return Answer(400, f"{error}\n".encode())
        match = re.fullmatch(r"/api/(v2/)?traces/([0-9a-fA-F]{1,32})", parts.path)
        if match is None or (match[1] and not self.v2):
            return Answer(404, b"404 page not found\n")
        spans = list(self._traces.get(match[2].lower().zfill(32), {}).values())
        if not spans:
            return Answer(404, b"" if match[1] else b"trace not found\n")
        cut = spans if self.max_trace_spans is None else spans[: self.max_trace_spans]
        groups = [
            {
                "resource": span.raw_resource,
                "scopeSpans": [{"scope": {"name": "mlotel"}, "spans": [_protobuf_json(span)]}],
            }
            for span in cut
        ]
        if not match[1]:
            return Answer(200, json.dumps({"batches": groups}).encode())
        document: dict[str, Any] = {"trace": {"resourceSpans": groups}, "metrics": {"inspectedBytes": "1"}}
        if len(cut) < len(spans):
            said = "Trace exceeds maximum size of 5000000 bytes, a partial trace is returned"
            document |= {"status": "PARTIAL", "message": said}
        return Answer(200, json.dumps(document).encode())

    def _search(self, given: Mapping[str, str]) -> Mapping[str, Any]:
        start, end = int(given.get("start", 0)), int(given.get("end", 0))
        limit, per_set = int(given.get("limit", 20)), int(given.get("spss", 3))
        if (start or end) and start >= end:
            raise ValueError(f"http parameter start must be before end. received start={start} end={end}")
        if end - start > self.max_duration_s:
            said = f"range specified by start and end exceeds {self.max_duration_s // 3600}h0m0s"
            raise ValueError(f"{said}. received start={start} end={end}")
        if limit <= 0 or limit > 262_144:
            raise ValueError(f"limit {limit} exceeds max limit 262144")
        if per_set > 100:
            raise ValueError(f"spans per span set exceeds 100. received {per_set}")
        query = parse(given.get("q", ""))
        found = []
        traces = list(self._traces.items())
        self._random.shuffle(traces)  # the first results that a massively parallel search comes upon
        for trace_id, spans in traces:
            began = min(span.start_ns for span in spans.values()) // SECOND
            ended = max(span.end_ns for span in spans.values()) // SECOND
            if end and (began > end or ended < start):
                continue
            matching = query.evaluate(list(spans.values()))
            if matching:
                found.append(_metadata(trace_id, spans.values(), matching, query, per_set))
            if len(found) >= limit:
                break
        return {"traces": found, "metrics": {"completedJobs": 1, "totalJobs": 1}} if found else {"metrics": {}}


def _metadata(
    trace_id: str, spans: Iterable[Span], matching: Iterable[Span], query: Query, per_set: int
) -> Mapping[str, Any]:
    named = []
    for span in matching:
        attributes = []
        for scope, name in query.fields:
            value = (span.resource if scope == "resource." else span.attributes).get(name)
            if isinstance(value, str):
                attributes.append({"key": name, "value": {"stringValue": value}})
        named.append(
            {
                "spanID": span.span_id,
                "startTimeUnixNano": str(span.start_ns),
                "durationNanos": str(span.end_ns - span.start_ns),
                **({"attributes": attributes} if attributes else {}),
            }
        )
    spanset = {"spans": named[:per_set], "matched": len(named)}
    return {
        "traceID": trace_id.lstrip("0"),
        "rootServiceName": "shop",
        "rootTraceName": "root",
        "startTimeUnixNano": str(min(span.start_ns for span in spans)),
        "durationMs": 1,
        "spanSet": spanset,
        "spanSets": [spanset],
    }


def span_of(raw: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=raw["traceId"].lower(),
        span_id=raw["spanId"].lower(),
        parent_id=raw.get("parentSpanId", "").lower(),
        name=raw.get("name", ""),
        start_ns=int(raw["startTimeUnixNano"]),
        end_ns=int(raw["endTimeUnixNano"]),
        status=_STATUS[raw.get("status", {}).get("code", 0)],
        attributes=_attributes(raw.get("attributes", ())),
        resource=_attributes(resource.get("attributes", ())),
        links=[
            (link["traceId"].lower(), link["spanId"].lower(), _attributes(link.get("attributes", ())))
            for link in raw.get("links", ())
        ],
        raw=raw,
        raw_resource=resource,
    )


def _attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "intValue":
        return int(content)
    if kind == "doubleValue":
        return float(content)
    return [_value(each) for each in content["values"]] if kind == "arrayValue" else content


def _protobuf_json(span: Span) -> Mapping[str, Any]:
    """The span as protobuf's own JSON form has it, which Tempo answers: bytes in Base64, enumerations by name."""
    raw = json.loads(json.dumps(span.raw))
    for each in (raw, *raw.get("links", ())):
        for key in ("traceId", "spanId", "parentSpanId"):
            if each.get(key):
                each[key] = base64.b64encode(bytes.fromhex(each[key])).decode()
    raw["kind"] = "SPAN_KIND_INTERNAL"
    code = raw.get("status", {}).get("code")
    if code in (1, 2):
        raw["status"]["code"] = ("STATUS_CODE_OK", "STATUS_CODE_ERROR")[code - 1]
    return raw
