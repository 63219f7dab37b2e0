"""An OTLP/HTTP endpoint on loopback that keeps what it is sent, read by OpenTelemetry's own protobuf classes.

It stands for a collector that always answers. The tests marked `stack` say the same with the real one.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Sink:
    """What arrived: spans, log records, and how many requests could not be read."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.spans: list[Any] = []
        self.records: list[Any] = []
        self.malformed = 0
        self._lock = threading.Lock()

    def take(self, path: str, body: bytes, is_json: bool) -> int:
        """Keep the content of one request; return the status that answers it."""
        with self._lock:
            try:
                if path == "/v1/traces":
                    request = _read(body, is_json, ExportTraceServiceRequest())
                    self.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
                elif path == "/v1/logs":
                    records = _read(body, is_json, ExportLogsServiceRequest())
                    self.records += [
                        x for r in records.resource_logs for scope in r.scope_logs for x in scope.log_records
                    ]
                elif path != "/v1/metrics":
                    raise DecodeError(path)
            except (DecodeError, ValueError):
                self.malformed += 1
                return 400
        return 200

    def refuse(self) -> None:
        """Count a request that is no HTTP."""
        with self._lock:
            self.malformed += 1


@contextmanager
def otlp_sink() -> Iterator[Sink]:
    """Serve on a free port of loopback until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as a collector keeps them

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            is_json = self.headers.get("content-type") == "application/json"
            self.send_response(sink.take(self.path, body, is_json))
            self.send_header("content-length", "0")
            self.end_headers()

        def send_error(self, *arguments: Any, **named: Any) -> None:  # what the server says of a request it cannot read
            sink.refuse()
            super().send_error(*arguments, **named)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink = Sink(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(body: bytes, is_json: bool, request: Any) -> Any:
    if not is_json:
        request.MergeFromString(body)
        return request
    return json_format.ParseDict(json.loads(body, object_hook=_with_base64), request)


def _with_base64(found: dict[str, Any]) -> dict[str, Any]:
    # OTLP/JSON writes ids in hex, protobuf's own JSON in base64
    for key in ("traceId", "spanId", "parentSpanId"):
        if key in found:
            found[key] = base64.b64encode(bytes.fromhex(found[key])).decode()
    return found
