"""Drift: what a comparison costs beside the counting that NumPy and Arrow have to do for it.

Two tables of 1,000,000 rows with 20 columns of floats and 5 of text; `python bench_drift_speed.py ROWS` for others. The
floor compares each value with 20 edges, block by block, and counts the distinct texts. CPU seconds of one process, the
best of several; the variants take turns.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlotel.drift import Reference, compare

ROUNDS = 7
BLOCK = 65_536
LIMIT = 1.5


def table(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    names = pa.array([f"category-{number}" for number in range(30)])
    numbers = {f"number-{column}": pa.array(rng.normal(size=rows)) for column in range(20)}
    texts = {f"text-{column}": names.take(pa.array(rng.integers(0, 30, rows))) for column in range(5)}
    return pa.table({**numbers, **texts})


def floor(tables: list[pa.Table], edges: dict[str, np.ndarray]) -> None:
    for each in tables:
        for name in each.column_names:
            if name not in edges:
                pc.value_counts(each.column(name))
                continue
            values = each.column(name).to_numpy()
            for first in range(0, values.size, BLOCK):
                block = values[first : first + BLOCK]
                for edge in edges[name]:
                    np.count_nonzero(block <= edge)


def cpu_seconds(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def memory(rows: int) -> tuple[float, float]:
    """Megabytes that two tables take, and that comparing them adds at most, in a process of its own."""
    program = (
        "import re, bench_drift_speed as b\n"
        f"tables = [b.table({rows}, seed) for seed in (1, 2)]\n"
        "b.compare(*(table.slice(0, 1000) for table in tables))\n"
        "status = lambda name: int(re.search(name + r':\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"  # the peak begins anew
        "before = status('VmRSS'); b.compare(*tables)\n"
        "print(sum(t.nbytes for t in tables) / 1e6, status('VmHWM') - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=sys.path[0])
    size, more = map(float, done.stdout.split())
    return size, more


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    then, now = table(rows, 1), table(rows, 2)
    edges = {
        name: np.quantile(then.column(name).to_numpy(), np.arange(1, 21) / 21)
        for name in then.column_names
        if name.startswith("number")
    }
    reference = Reference.fit(then)
    calls: dict[str, Callable[[], object]] = {
        "floor, both tables": lambda: floor([then, now], edges),
        "compare two tables": lambda: compare(then, now),
        "floor, one table": lambda: floor([now], edges),
        "compare with a reference": lambda: compare(reference, now),
        "  with moments": lambda: compare(reference, now, moments=True),
        "Reference.fit, with moments": lambda: Reference.fit(then),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            seconds[name].append(cpu_seconds(call))
    best = {name: min(each) for name, each in seconds.items()}
    print(f"{rows:,} + {rows:,} rows × (20 floats + 5 texts), CPU seconds, best of {ROUNDS}")
    for name, took in best.items():
        print(f"{name:<34}{took:>8.3f}")
    pairs = [b / a for a, b in zip(seconds["floor, both tables"], seconds["compare two tables"], strict=True)]
    ratio = best["compare two tables"] / best["floor, both tables"]
    print(f"{'two tables / floor':<34}{ratio:>8.2f}  limit {LIMIT}, median of pairs {np.median(pairs):.2f}")
    print(f"{'with a reference / floor':<34}{best['compare with a reference'] / best['floor, one table']:>8.2f}")
    size, more = memory(rows)
    print(f"{'memory added to ' + f'{size:.0f} MB':<34}{more:>8.0f}  MB, limit 200")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
