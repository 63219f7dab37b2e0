"""Observing a served model: what a row costs in all and its caller, and how near batches come to counting alone.

100 numeric features × 24 bins. Variants take turns; the unit is a loop that looks each value up with `bisect`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from measuring import show
from msgspec.structs import replace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from mlotel import _runtime
from mlotel.drift import NumericBins, Reference
from mlotel.serving import Monitor

FEATURES, ROWS, ROUNDS = 100, 20_000, 5
BATCH = 100_000
NAMES = [f"f{number}" for number in range(FEATURES)]


def bisect_loop(reference: Reference) -> Callable[[Sequence[float]], None]:
    edges = [each.bins.edges for each in reference.features if isinstance(each.bins, NumericBins)]
    counts = [[0] * each.bins.size for each in reference.features]

    def observe(row: Sequence[float]) -> None:
        for place, value in enumerate(row):
            counts[place][bisect_left(edges[place], value)] += 1

    return observe


def cpu_a_row(observe: Callable[[Any], None], rows: Sequence[Any], finish: Callable[[], object]) -> float:
    """Microseconds of the process's CPU time a row, counting included."""
    began = time.process_time()
    for row in rows:
        observe(row)
    finish()
    return (time.process_time() - began) / len(rows) * 1e6


def waits(observe: Callable[[Any], None], rows: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Nanoseconds that the caller waits, row by row."""
    clock, found = time.perf_counter_ns, []
    for row in rows:
        began = clock()
        observe(row)
        found.append(clock() - began)
    return np.array(found)


def main() -> None:
    rng = np.random.default_rng(0)
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    runtime = replace(_runtime.nothing(), serving_meters=lambda: (provider, True))
    _runtime.install(lambda: runtime)
    table = pa.table({name: rng.normal(size=50_000) for name in NAMES})
    reference = Reference.fit(table, model="m", version="1", bins=19)
    bins = {each.bins.size for each in reference.features}
    monitor = Monitor(reference)
    array = rng.normal(size=(ROWS, FEATURES))
    lists = array.tolist()
    forms: dict[str, Sequence[Any]] = {
        "a tuple": [tuple(row) for row in lists],
        "a list": lists,
        "a dict": [dict(zip(NAMES, row, strict=True)) for row in lists],
        "a NumPy row": list(array),
    }
    loop = bisect_loop(reference)
    costs: dict[str, list[float]] = {form: [] for form in forms}
    unit: list[float] = []
    for _ in range(ROUNDS):
        unit.append(cpu_a_row(loop, forms["a tuple"], lambda: None))
        for form, rows in forms.items():
            costs[form].append(cpu_a_row(monitor.observe, rows, monitor.counts))
    show(f"bisect loop, {FEATURES} features × {min(bins)}–{max(bins)} bins", f"{min(unit):.1f} µs a row")
    for form in forms:
        ratio = float(np.median(np.array(costs[form]) / np.array(unit)))
        show(f"{form}, counting included, beside it", f"{ratio:.2f} ×", "target ≤ 0.35")
    for form, rows in forms.items():
        found = min((waits(monitor.observe, rows) for _ in range(ROUNDS)), key=lambda each: np.percentile(each, 99))
        p50, p99 = np.percentile(found, [50, 99]) / 1e3
        show(f"{form}, what the caller waits: p50, p99", f"{p50:.2f}, {p99:.2f} µs", "target p99 ≤ 3")

    batch = rng.normal(size=(BATCH, FEATURES))
    columns = pa.table({name: np.ascontiguousarray(batch[:, place]) for place, name in enumerate(NAMES)})
    floors, arrays, tables = [], [], []
    for _ in range(3):
        began = time.process_time()
        for place, feature in enumerate(reference.features):
            column = columns.column(place).chunk(0).to_numpy()
            edges = feature.bins.edges if isinstance(feature.bins, NumericBins) else ()
            for first in range(0, BATCH, 65_536):
                block = column[first : first + 65_536]
                for edge in edges:
                    np.count_nonzero(block <= edge)
        floors.append(time.process_time() - began)
        for given, times in ((batch, arrays), (columns, tables)):
            began = time.process_time()
            monitor.observe(given)
            times.append(time.process_time() - began)
    show(f"a batch of {BATCH:,} rows: comparisons alone (the floor)", f"{min(floors) / BATCH * 1e6:.2f} µs a row")
    show("  as an Arrow table, beside it", f"{np.median(np.array(tables) / floors):.2f} ×", "target 1")
    show("  as a NumPy array of rows, beside it", f"{np.median(np.array(arrays) / floors):.2f} ×")


if __name__ == "__main__":
    main()
