"""A server that forks its workers, as gunicorn does with ``--preload``: what a worker counts arrives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from mlotel.drift import Reference

ROOT = Path(__file__).parents[2]
WORKERS, REQUESTS = 3, 60
Script = Callable[..., "subprocess.CompletedProcess[str]"]


class Collector:
    """An OTLP/HTTP endpoint, and the latest counts of rows that it was sent, by replica."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.url = ""

    def take(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            replica = next(
                (each.value.string_value for each in resource.resource.attributes if each.key == "service.instance.id"),
                None,
            )
            metrics = [metric for scope in resource.scope_metrics for metric in scope.metrics]
            points = [p for each in metrics if each.name == "mlotel.feature.values" for p in each.sum.data_points]
            if replica is None or not points:  # what runs are counted with, or the telemetry itself
                continue
            first = next(a.value.string_value for a in points[0].attributes if a.key == "mlotel.feature.name")
            self.rows[replica] = sum(
                point.as_int
                for point in points
                if any(
                    each.value.string_value == first for each in point.attributes if each.key == "mlotel.feature.name"
                )
            )


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/metrics":
                found.take(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield found
        server.shutdown()
        thread.join()


def test_a_worker_that_is_forked_during_the_first_export_sends_its_counts(
    script: Script, collector: Collector, reference: Reference, tmp_path: Path
) -> None:
    """The fork waits for it: a child would inherit the locks of what that export is importing, and wait for ever."""
    reference.save(tmp_path / "reference.json")
    script(
        """
        import os, sys, threading, time
        import mlotel
        from mlotel.serving import Monitor

        importing = threading.Event()

        class Slow:
            def find_spec(self, name, *_):
                if name == "netrc":  # which requests imports when it first sends
                    importing.set()
                    time.sleep(0.3)

        sys.modules.pop("netrc", None)
        sys.meta_path.insert(0, Slow())
        monitor = Monitor("reference.json")
        assert importing.wait(30)
        worker = os.fork()
        for _ in range(7 if worker else 5):
            monitor.observe((0.5, 1, "red", True))
        mlotel.shutdown()
        if worker:
            os.waitpid(worker, 0)
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    assert sorted(collector.rows.values()) == [5, 7]


def test_workers_of_gunicorn_count_each_request_once(
    collector: Collector, reference: Reference, tmp_path: Path
) -> None:
    """The monitor is made before the fork; what each worker counted until SIGTERM arrives as a series of its own."""
    reference.save(tmp_path / "reference.json")
    (tmp_path / "service.py").write_text(
        "import os\n"
        "from mlotel.serving import Monitor\n"
        'monitor = Monitor("reference.json")\n'
        "def application(environ, start_response):\n"
        '    monitor.observe((0.5, 1, "red", True))\n'
        '    start_response("200 OK", [])\n'
        "    return [str(os.getpid()).encode()]\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "MLOTEL_STORE": str(tmp_path / "store"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", f"{WORKERS}", "--bind", address]
    # where a process that is no server writes: the log tells why it did not start
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*command, "service"], cwd=tmp_path, env=environment, stderr=log)

    def request(_: int) -> bytes:
        with urllib.request.urlopen(f"http://{address}/", timeout=60) as answer:
            return answer.read()

    try:
        _wait_for(lambda: server.poll() is not None or _listens(address))
        assert server.poll() is None, (tmp_path / "log").read_text()
        with ThreadPoolExecutor(8) as pool:
            answered_by = list(pool.map(request, range(REQUESTS)))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    counted = sorted(count for count in collector.rows.values() if count)
    assert counted == sorted(answered_by.count(pid) for pid in set(answered_by))
    assert sum(counted) == REQUESTS


def _listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
