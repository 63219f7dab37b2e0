"""A sink that keeps each OTLP request as it came, and what all that a program left says in readable form."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from google.protobuf import text_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_KINDS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


@dataclass
class Kept:
    """Headers and bodies of requests, as they came and as protobuf's own text."""

    endpoint: str
    headers: list[str] = field(default_factory=list)
    bodies: dict[str, list[bytes]] = field(default_factory=lambda: {path: [] for path in _KINDS})

    def texts(self) -> dict[str, bytes]:
        """All bodies, by where they came to: raw, and decoded."""
        found = {f"sent to {path}": b"\n".join(bodies) for path, bodies in self.bodies.items()}
        for path, bodies in self.bodies.items():
            decoded = [text_format.MessageToString(_KINDS[path].FromString(body)) for body in bodies]
            found[f"sent to {path}, decoded"] = "\n".join(decoded).encode()
        return found


@contextmanager
def keeping() -> Iterator[Kept]:
    """Take whatever is sent to a free port of loopback until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.headers.append(f"{self.headers}")
            kept.bodies[self.path].append(gzip.decompress(body) if self.headers["Content-Encoding"] else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Kept(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


def written_in(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, and its name; Parquet as the values that it holds, too."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = f"{path.relative_to(folder)}"
            found[name] = name.encode() + b"\n" + path.read_bytes()
            if path.suffix == ".parquet":
                found[f"{name}, decoded"] = repr(pq.read_table(path).to_pylist()).encode()
    return found
