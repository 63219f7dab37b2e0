"""An outage of the real collector: killed while processes run, away for a while, and back again.

With MLOTEL_SOAK=1 there are 100,000 runs, else 2,000.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backends import Jaeger, Prometheus, Span, eventually

from mlotel.semconv import attributes as A
from mlotel_stack import Stack

pytestmark = pytest.mark.stack

RUNS = 5_000 if os.environ.get("MLOTEL_SOAK") else 200
"""Of each process, and each part of the one that lasts."""
PROCESSES = 17 if os.environ.get("MLOTEL_SOAK") else 7
PATIENCE = 3_600 if os.environ.get("MLOTEL_SOAK") else 300

# does as many runs as a line of its input says, from one number to before another
PROGRAM = """
import logging, sys, mlotel
logging.basicConfig(format="%(message)s", level=logging.WARNING)
for line in sys.stdin:
    for number in range(*map(int, line.split())):
        with mlotel.component("score", params={"number": number}) as run:
            run.log_input(b"x", "x")
    print("done", flush=True)
"""


class Worker:
    """A process that does runs when it is told."""

    def __init__(self, folder: Path, environment: dict[str, str], service: str) -> None:
        self.service = service
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=folder, env={**environment, "OTEL_SERVICE_NAME": service},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def begin(self, first: int, end: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{first} {end}\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> list[str]:
        """Let it end, and return what it warned of."""
        _, said = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, said
        return said.splitlines()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def workers(folder: Path, environment: dict[str, str]) -> Iterator[Callable[[str], Worker]]:
    started: list[Worker] = []

    def start(service: str) -> Worker:
        started.append(Worker(folder, environment, service))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            each.kill()


def numbers(spans: list[Span]) -> list[int]:
    return sorted(span.tags[f"{A.MLOTEL_PARAM}.number"] for span in spans if span.name == "score")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_every_span_of_an_outage_arrives(
    own_stack: Callable[..., Stack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """The collector is killed (SIGKILL) while a process runs, which goes on; others begin and end meanwhile. When it is
    back, the process that lasts sends its own spans and theirs: every one is in Jaeger, and Prometheus counts each run.
    """
    monkeypatch.setenv("MLOTEL_JAEGER_MAX_TRACES", "400000")
    stack = own_stack()
    jaeger, prometheus = Jaeger(stack.endpoints["jaeger_ui"]), Prometheus(stack.endpoints["prometheus"])
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    environment = {**kept, **stack.env(protocol), "OTEL_METRIC_EXPORT_INTERVAL": "2000"}
    prefix = f"outage-{uuid.uuid4().hex[:6]}"
    with workers(tmp_path, environment) as start:
        lasting = start(f"{prefix}-lasting")
        lasting.begin(0, RUNS)
        lasting.wait()
        lasting.begin(RUNS, 2 * RUNS)
        stack.kill("collector")
        ended = [start(f"{prefix}-{number}") for number in range(PROCESSES)]
        for first in range(0, PROCESSES, 2):  # two at a time
            for worker in ended[first : first + 2]:
                worker.begin(0, RUNS)
            for worker in ended[first : first + 2]:
                worker.wait()
                assert 1 <= len(worker.end()) <= 3
        lasting.wait()
        stack.begin("collector")
        lasting.begin(2 * RUNS, 3 * RUNS)
        lasting.wait()
        spool = tmp_path / ".mlotel" / "spool"
        eventually(
            lambda: not [path for path in spool.rglob("*.*") if path.suffix in (".jsonl", ".pb")], within=PATIENCE
        )
        lasting.end()

    expected = {lasting.service: 3 * RUNS} | {worker.service: RUNS for worker in ended}
    spans_of_a_run = Counter({"score": 1, "read x": 1})
    for service, count in expected.items():
        found = eventually(
            lambda service=service, count=count: (  # type: ignore[misc] # of this turn
                spans if len(spans := jaeger.spans(service, limit=100_000)) >= 2 * count else []
            ),
            within=PATIENCE,
        )
        assert numbers(found) == list(range(count))
        assert Counter(span.name for span in found) == Counter({k: v * count for k, v in spans_of_a_run.items()})
        assert len({span.span_id for span in found}) == 2 * count
        runs = f'mlotel_run_duration_seconds_count{{job="{service}"}}'
        counted = eventually(lambda runs=runs: prometheus.query(runs))  # type: ignore[misc]
        assert [value for _, value in counted] == [count]
    assert {value for _, value in prometheus.query("mlotel_telemetry_dropped_total")} <= {0.0}
