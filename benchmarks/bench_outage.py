"""What a component run costs its caller while the collector is away, beside what it costs while the collector is there.

Each variant is a process of its own, as a collector is a matter of the whole process; they take turns, and only ratios
within a turn are compared. The collector is a process that reads requests and answers; the real one would take more of
the machine.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

TURNS = 5

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(int(sys.argv[1]))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""

# paced: a pipeline does other things between its runs; in a loop the queue of the SDK overflows whoever listens
CALLER = """
import json, logging, statistics, time, mlotel
logging.getLogger("mlotel").setLevel(logging.ERROR)

def call():
    with mlotel.component("bench", version="1") as run:
        run.log_input(b"x", "source")
        run.log_output(b"y", "result")

def measure(number, pause):
    found = []
    for _ in range(number):
        begun = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - begun) / 1e3)
        time.sleep(pause)
    return statistics.median(found)

measure(200, 0.001)
paced, loop = measure(1000, 0.003), measure(2000, 0.0)
begun = time.perf_counter()
mlotel.shutdown()
print(json.dumps({"paced": paced, "loop": loop, "exit": time.perf_counter() - begun}))
"""


@contextmanager
def server(status: int) -> Iterator[str]:
    """Run a collector that answers each request with `status`."""
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(status)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.communicate()


@contextmanager
def black_hole() -> Iterator[str]:
    """Listen, and never accept."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def measure(endpoint: str) -> dict[str, float]:
    """Return the medians of a run in microseconds, paced and in a loop, and how many seconds the end waited."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", CALLER], cwd=folder, env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> list[tuple[str, str, str]]:
    """Measure, and return the rows (what, reached, goal)."""
    away = {"answers 503": "503", "nobody listens": "closed", "a black hole": "hole"}
    turns: list[dict[str, dict[str, float]]] = []
    with server(200) as up, server(503) as busy, black_hole() as hole:
        endpoints = {"there": up, "503": busy, "closed": "http://127.0.0.1:9", "hole": hole}
        for turn in range(TURNS):
            order = list(endpoints.items())
            turns.append({key: measure(where) for key, where in (order if turn % 2 else reversed(order))})
    rows = [("a run with the collector there, p50 paced | in a loop",
             " | ".join(f"{statistics.median(turn['there'][how] for turn in turns):.0f}" for how in ("paced", "loop"))
             + " µs", "")]  # fmt: skip
    for name, key in away.items():
        ratios = [statistics.median(turn[key][how] / turn["there"][how] for turn in turns) for how in ("paced", "loop")]
        rows.append((f"… {name}, beside that", f"{ratios[0]:.2f} | {ratios[1]:.2f} ×", "≤ 1.1 ×"))
    slowest = max(turn[key]["exit"] for turn in turns for key in away.values())
    rows.append(("the longest wait at exit, collector away", f"{slowest:.2f} s", "≤ 2 s"))
    return rows


if __name__ == "__main__":
    for row in main():
        print("{:55} {:>20} {:>15}".format(*row))
