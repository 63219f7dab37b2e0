"""A collector over OTLP/HTTP on loopback that answers as it is told, and notes what it took.

What it took is read with OpenTelemetry's own protobuf classes.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


@dataclass(frozen=True)
class Reply:
    """How a request is answered.

    Attributes:
        status: None ends the connection without an answer.
        headers: of the answer.
        body: of the answer.
        after_s: how long nothing is said.
        taken: whether what the request holds is taken; by default it is with status 200.
    """

    status: int | None = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/x-protobuf"})
    body: bytes = b""
    after_s: float = 0.0
    taken: bool | None = None


@dataclass(frozen=True)
class Request:
    """A request that came: its signal, when (monotonic seconds), what it holds, and whether that was taken."""

    signal: str
    at: float
    message: Any
    taken: bool
    headers: dict[str, str]


class FaultyCollector:
    """Answers by `reply`, which is handed the signal and the decoded request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply: Callable[[str, Any], Reply] = lambda signal, message: Reply()
        self.endpoint = ""

    def taken(self, signal: str) -> list[Any]:
        """Return the requests of a signal that were taken, in order."""
        return [each.message for each in self.requests if each.signal == signal and each.taken]

    def spans(self) -> list[Any]:
        """Return the spans that were taken, as often as they came."""
        return [
            span
            for message in self.taken("traces")
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def log_records(self) -> list[Any]:
        """Return the log records that were taken, as often as they came."""
        return [
            record
            for message in self.taken("logs")
            for resource in message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric in the requests that were taken, in order."""
        return [
            point
            for message in self.taken("metrics")
            for resource in message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]


def decode(signal: str, body: bytes, headers: dict[str, str]) -> Any:
    """Return the message of a request in protobuf or in JSON."""
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    message = REQUESTS[signal]()
    if headers.get("content-type") != "application/json":
        message.ParseFromString(body)
        return message
    document = json.loads(body, object_hook=_in_base64)
    return json_format.ParseDict(document, message)


def _in_base64(value: dict[str, Any]) -> dict[str, Any]:
    # hex in OTLP/JSON, base64 in protobuf's own
    for key in ("traceId", "spanId", "parentSpanId"):
        if key in value:
            value[key] = base64.b64encode(bytes.fromhex(value[key])).decode()
    return value


@contextmanager
def faulty_collector(port: int = 0) -> Iterator[FaultyCollector]:
    """Run one, on a port of its own or the one that is said."""
    collector = FaultyCollector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {key.lower(): value for key, value in self.headers.items()}
            signal = self.path.rpartition("/")[2]
            message = decode(signal, body, headers)
            reply = collector.reply(signal, message)
            taken = reply.status == 200 if reply.taken is None else reply.taken
            collector.requests.append(Request(signal, time.monotonic(), message, taken, headers))
            time.sleep(reply.after_s)
            if reply.status is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # the process ended
                super().handle()

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", port), Handler)
    collector.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
