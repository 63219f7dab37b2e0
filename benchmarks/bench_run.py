"""What a component run costs its caller, beside the least that the raw OpenTelemetry SDK can do for the same.

All variants take turns in one process, so that only their ratios are compared.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, set_span_in_context

import mlotel
from mlotel import _runtime

ROUNDS = 40
LOOP = 250


def raw_spans() -> Callable[[], None]:
    """Three SDK spans with 33 attributes and one link in all, exported nowhere."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("raw")
    run = {f"attribute.{i}": f"value {i}" for i in range(13)}
    read = {f"attribute.{i}": i for i in range(10)}
    write = {f"attribute.{i}": i for i in range(10)}
    producer = tracer.start_span("producer").get_span_context()

    def call() -> None:
        span = tracer.start_span("run", attributes=run)
        context = set_span_in_context(span)
        tracer.start_span("read", context=context, attributes=read, links=[Link(producer, {"type": "consumes"})]).end()
        tracer.start_span("write", context=context, attributes=write).end()
        span.end()

    return call


def component_run(folder: Path) -> Callable[[], None]:
    """A run with one input that another run wrote and one output, both files whose digests are cached."""
    source, result = folder / "source.bin", folder / "result.bin"
    for path in (source, result):
        path.write_bytes(os.urandom(4096))
        os.utime(path, (1, 1))
    time.sleep(2.1)  # a file that changed less than two seconds ago is not taken from the cache
    component = mlotel.component("bench", version="1", pipeline="bench")
    with mlotel.component("producer") as run:
        run.log_output(source, "source")

    def call() -> None:
        with component as run:
            run.log_input(source, "source")
            run.log_output(result, "result")

    return call


def disabled_run(folder: Path) -> Callable[[], None]:
    """The same with OTEL_SDK_DISABLED=true."""
    source, result = folder / "source.bin", folder / "result.bin"
    component = mlotel.component("bench", version="1", pipeline="bench")
    runtime = _runtime.nothing()

    def call() -> None:
        before = _runtime.install(lambda: runtime)
        with component as run:
            run.log_input(source, "source")
            run.log_output(result, "result")
        _runtime.install(before)

    return call


def times(call: Callable[[], None]) -> list[float]:
    """Return the microseconds of each of LOOP calls."""
    found = []
    for _ in range(LOOP):
        start = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - start) / 1e3)
    return found


def main() -> list[tuple[str, str, str]]:
    """Measure, and return the rows (what, reached, goal)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mlotel.configure(store=folder / "store")
        variants = {"raw": raw_spans(), "run": component_run(folder), "disabled": disabled_run(folder)}
        measured: dict[str, list[float]] = {key: [] for key in variants}
        for call in variants.values():
            times(call)
        for _ in range(ROUNDS):
            for key, call in variants.items():
                measured[key].extend(times(call))
        mlotel.shutdown()
    p50 = {key: float(np.percentile(values, 50)) for key, values in measured.items()}
    p99 = {key: float(np.percentile(values, 99)) for key, values in measured.items()}
    return [
        ("three raw SDK spans, p50 | p99", f"{p50['raw']:.0f} | {p99['raw']:.0f} µs", ""),
        ("a run with one input and one output, p50 | p99", f"{p50['run']:.0f} | {p99['run']:.0f} µs", "≤ 100 | 150 µs"),
        ("… beside three raw spans, p50", f"{p50['run'] / p50['raw']:.2f} ×", "≤ 1.7 ×"),
        ("a run with the SDK disabled, p50", f"{p50['disabled']:.1f} µs", "≤ 5 µs"),
    ]


if __name__ == "__main__":
    for row in main():
        print("{:50} {:>20} {:>15}".format(*row))
