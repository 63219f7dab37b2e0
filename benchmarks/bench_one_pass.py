"""Digest, profile and drift of a table in the one pass of `log_input(reference=…, profile=True)`, beside three passes.

Processor time of one thread, the best of several rounds in which the variants take turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlotel import hashing
from mlotel.columnar import open_path, open_table
from mlotel.drift import Reference
from mlotel.profiling import Profiler, profile

ROWS, ROUNDS = 1_000_000, 3
DRAWN = np.random.default_rng(3)


def table(rows: int) -> pa.Table:
    """20 columns of doubles and 5 of texts."""
    words = np.array([f"word {number}" for number in range(40)])
    floats = {f"x{number}": DRAWN.normal(size=rows) for number in range(20)}
    return pa.table(floats | {f"c{number}": pa.array(DRAWN.choice(words, rows)) for number in range(5)})


def main() -> None:
    rows = table(ROWS)
    reference = Reference.fit(table(100_000))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        pq.write_table(rows, path, row_group_size=131_072)
        print(f"{'what':<44}{'three passes, s':>16}{'one, s':>10}{'ratio':>8}")
        for name, given in (("a table in memory", rows), ("a Parquet file", path)):
            apart, together = turns(
                lambda given=given: three(given, reference), lambda given=given: one(given, reference)
            )
            print(f"{f'{name}, {ROWS:,} × 25':<44}{apart:>16.2f}{together:>10.2f}{together / apart:>8.2f}")


def three(given: pa.Table | Path, reference: Reference) -> None:
    """Each by itself, as they are called."""
    hashing.fingerprint(given)
    profile(given, frequent="none")
    reference.counts(given, moments=True)


def one(given: pa.Table | Path, reference: Reference) -> None:
    """The batches of the digest are handed on."""
    counter, profiler = reference.counter(moments=True), Profiler(frequent="none")
    found = hashing.fingerprint(given, readers=[counter.add, profiler.add])
    opened = open_table(given) if isinstance(given, pa.Table) else open_path(given)
    assert counter.counts is not None
    assert counter.counts.rows == found.rows == opened.num_rows


def turns(*calls: Callable[[], None]) -> list[float]:
    """Seconds of the processor of each call, the best of the rounds."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for place, call in enumerate(calls):
            began = time.process_time()
            call()
            best[place] = min(best[place], time.process_time() - began)
    return best


if __name__ == "__main__":
    main()
