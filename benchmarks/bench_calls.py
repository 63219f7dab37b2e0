"""What each call that a user makes costs him, beside three raw OpenTelemetry SDK spans that take turns with it.

Microseconds of wall and CPU time, on the embedded store; each call is made within a run that is open for a hundred of
them, so that what is measured is the call. ``python benchmarks/bench_calls.py --quick`` takes a tenth of the rounds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from bench_run import LOOP, raw_spans, times

import mlotel

Calls = Callable[[], Iterator[Callable[[], object]]]


@contextmanager
def in_a_run(call: Callable[[mlotel.ActiveRun], object]) -> Iterator[Callable[[], object]]:
    """Yield a call within an open run."""
    with mlotel.component("bench") as run:
        yield lambda: call(run)


@contextmanager
def alone(call: Callable[[], object]) -> Iterator[Callable[[], object]]:
    """Yield a call that is a run of its own."""
    yield call


def empty_block() -> None:
    with BLOCK:
        pass


BLOCK = mlotel.component("bench")


@mlotel.component("bench")
def decorated() -> None:
    """Nothing: what a call costs is the run's."""


@mlotel.component("bench", params=True)
def with_parameters(rate: float, depth: int) -> None:
    """The same with two arguments that are recorded."""


def main() -> int:
    rounds = 5 if "--quick" in sys.argv else 50
    rng = np.random.default_rng(0)
    table = pa.table({f"column {i}": rng.standard_normal(10) for i in range(10)})
    payload, array = os.urandom(4096), rng.standard_normal((100, 10))
    metrics = {f"metric {i}": i / 3 for i in range(5)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, written = folder / "read.bin", folder / "written.bin"
        for each in (path, written):
            each.write_bytes(payload + each.name.encode())
            os.utime(each, (1, 1))
        time.sleep(2.1)  # a file that changed less than two seconds ago is not taken from the cache
        mlotel.configure(store=folder / "store")
        raw = raw_spans()
        calls = {
            "three raw SDK spans": lambda: alone(raw),
            "a run: `with component`, empty": lambda: alone(empty_block),
            "a run: a decorated function": lambda: alone(decorated),
            "a run: … with two parameters": lambda: alone(lambda: with_parameters(0.1, 3)),
            "a run: start_component(…).end()": lambda: alone(lambda: mlotel.start_component("bench").end()),
            "log_input: a path, unchanged": lambda: in_a_run(lambda run: run.log_input(path, "file")),
            "log_input: 4 KB of bytes": lambda: in_a_run(lambda run: run.log_input(payload, "bytes")),
            "log_input: a table of 10 × 10": lambda: in_a_run(lambda run: run.log_input(table, "table")),
            "log_input: an array of 100 × 10": lambda: in_a_run(lambda run: run.log_input(array, "array")),
            "log_output: a path, unchanged": lambda: in_a_run(lambda run: run.log_output(written, "file")),
            "log_params: one": lambda: in_a_run(lambda run: run.log_params({"rate": 0.1})),
            "log_metrics: one": lambda: in_a_run(lambda run: run.log_metrics({"loss": 0.1})),
            "log_metrics: five": lambda: in_a_run(lambda run: run.log_metrics(metrics)),
            "log_predictions: 1,000 numbers": lambda: in_a_run(lambda run: run.log_predictions(array.ravel())),
            "current_run()": lambda: in_a_run(lambda run: mlotel.current_run()),
        }
        wall: dict[str, list[float]] = {what: [] for what in calls}
        cpu = dict.fromkeys(calls, 0.0)
        for _ in range(rounds + 1):
            for what, opened in calls.items():
                with opened() as call:
                    before = time.process_time()
                    taken = times(call, LOOP)
                    cpu[what] += time.process_time() - before
                    wall[what] += taken
        mlotel.shutdown()
    print(f"{'':40}{'p50':>9}{'p99':>9}{'p99.9':>9}{'CPU':>9}{'p50 beside':>12}")
    unit = float(np.percentile(wall["three raw SDK spans"], 50))
    for what, values in wall.items():
        numbers = [float(np.percentile(values, p)) for p in (50, 99, 99.9)]
        numbers.append(cpu[what] / len(values) * 1e6)
        print(f"{what:40}{''.join(f'{number:9.1f}' for number in numbers)}{numbers[0] / unit:11.2f}×")
    return 0


if __name__ == "__main__":
    sys.exit(main())
