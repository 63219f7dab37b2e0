"""Measures digests beside raw BLAKE3 over the same bytes, in one run and taking turns; prints goal and reached.

Run it with ``python benchmarks/bench_digest.py [--rows N] [--repeat N]``. Only the ratios within one run mean anything.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3
from measuring import Row, interleaved, print_rows

from mlotel.hashing import StatCache, fingerprint

__all__ = ["main", "measure"]


def make_table(rows: int, *, nulls: float = 0.0, nans: float = 0.0, seed: int = 7) -> pa.Table:
    """Return 25 columns as tables of features have them: 8 integers, 11 doubles, 2 times, 2 texts, 2 booleans."""
    random = np.random.default_rng(seed)

    def array(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
        mask = random.random(rows) < nulls if nulls else None
        return pa.array(values, kind, mask=mask)

    columns: dict[str, pa.Array] = {}
    for i in range(8):
        columns[f"int{i}"] = array(random.integers(-(2**40), 2**40, rows))
    for i in range(11):
        values = random.standard_normal(rows)
        if nans:
            values[random.random(rows) < nans] = np.nan
        columns[f"double{i}"] = array(values)
    for i in range(2):
        columns[f"time{i}"] = array(random.integers(0, 2**50, rows), pa.int64()).cast(pa.timestamp("us"))
    words = pa.array([f"word-{i:06d}" for i in range(1000)])
    for i in range(2):
        text = words.take(pa.array(random.integers(0, 1000, rows)))
        columns[f"text{i}"] = pa.array(text, mask=random.random(rows) < nulls) if nulls else text
    for i in range(2):
        columns[f"bool{i}"] = array(random.random(rows) < 0.5)
    return pa.table(columns)


def raw_buffers(table: pa.Table) -> list[memoryview]:
    """Return the Arrow buffers that hold the table."""
    buffers = (b for column in table.columns for chunk in column.chunks for b in chunk.buffers())
    return [memoryview(b).cast("B") for b in buffers if b is not None and b.size]


def raw(buffers: Sequence[memoryview]) -> None:
    """Hash buffers with BLAKE3 on one thread, each by itself."""
    for buffer in buffers:
        blake3(buffer).digest()


def measure_tables(rows: int, repeat: int) -> list[Row]:
    """Measure the logical digest of tables of 25 columns."""
    results = []
    layouts: list[tuple[str, pa.Table, float, int]] = [
        (f"table {rows:,} x 25, plain, one thread", make_table(rows), 1.1, 1),
        (f"table {rows:,} x 25, plain, two threads", make_table(rows), 0.7, 2),
        (f"table {rows:,} x 25, 10 % nulls, one thread", make_table(rows, nulls=0.1), 2.3, 1),
        (f"table {rows:,} x 25, 10 % nulls, two threads", make_table(rows, nulls=0.1), 1.4, 2),
        (f"table {rows:,} x 25, 10 % NaN, one thread", make_table(rows, nans=0.1), 1.9, 1),
    ]
    for what, table, goal, threads in layouts:
        buffers = raw_buffers(table)
        times = interleaved(
            {"raw": lambda b=buffers: raw(b), "digest": lambda t=table, n=threads: fingerprint(t, threads=n)}, repeat
        )
        ratio = times["digest"] / times["raw"]
        results.append(Row(what, f"<= {goal:.2f} x raw BLAKE3", f"{ratio:.2f} x", ratio <= goal))
    return results


def measure_small(repeat: int) -> list[Row]:
    """Measure a table of 10 x 10 and a cached look-up."""
    random = np.random.default_rng(7)
    table = pa.table({f"column {i}": random.standard_normal(10) for i in range(10)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.bin")
        path.write_bytes(bytes(1 << 16))
        os.utime(path, ns=(1_000_000_000, 1_000_000_000))
        cache = StatCache(now_ns=lambda: time.time_ns() + 10_000_000_000)
        fingerprint(path, cache=cache)
        name = f"{path}"
        calls = 500
        times = interleaved(
            {
                "table": lambda: [fingerprint(table) for _ in range(calls)],
                "lookup": lambda: [cache.get(name, "blake3", "bytes") for _ in range(calls)],
                "cached": lambda: [fingerprint(path, cache=cache) for _ in range(calls)],
            },
            repeat,
        )
    micro = {name: seconds / calls * 1e6 for name, seconds in times.items()}
    return [
        Row("table 10 x 10", "<= 150 us", f"{micro['table']:.0f} us", micro["table"] <= 150),
        Row("cached look-up (stat and cache)", "<= 3 us", f"{micro['lookup']:.1f} us", micro["lookup"] <= 3),
        Row("fingerprint() of an unchanged file", "<= 5 us", f"{micro['cached']:.1f} us", micro["cached"] <= 5),
    ]


def measure_files(size: int, repeat: int) -> list[Row]:
    """Measure a file's digest beside reading it and hashing it by hand, buffered and mapped."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.bin")
        block = np.random.default_rng(7).bytes(1 << 20)
        with path.open("wb") as file:
            for _ in range(size >> 20):
                file.write(block)

        def by_hand() -> bytes:
            hasher = blake3()
            buffer = memoryview(bytearray(1 << 18))
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    hasher.update(buffer[:count])
            return hasher.digest()

        def mapped_by_hand(threads: int) -> bytes:
            return blake3(max_threads=threads).update_mmap(path).digest()

        times = interleaved(
            {
                "read": by_hand,
                "file": lambda: fingerprint(path),
                "map": lambda: mapped_by_hand(1),
                "mapped": lambda: fingerprint(path, mapped=True),
                "map2": lambda: mapped_by_hand(2),
                "mapped2": lambda: fingerprint(path, mapped=True, threads=2),
            },
            repeat,
        )
    label = f"file of {size >> 20} MiB"
    pairs = (
        ("read", "file", "buffered, of raw buffered speed"),
        ("map", "file", "buffered, of raw mmap speed"),
        ("map", "mapped", "mapped, of raw mmap speed"),
        ("map2", "mapped2", "mapped and two threads, of raw mmap with two"),
    )
    return [
        Row(f"{label}, {what}", ">= 0.90", f"{times[a] / times[b]:.2f}", times[a] / times[b] >= 0.9)
        for a, b, what in pairs
    ]


def measure(rows: int = 1_000_000, size: int = 512 << 20, repeat: int = 7) -> list[Row]:
    """Measure everything.

    Args:
        rows: rows of the large tables.
        size: bytes of the large file.
        repeat: how often each is measured; the median counts.
    """
    return [*measure_files(size, repeat), *measure_tables(rows, repeat), *measure_small(repeat)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of goals and results; returns 0 whatever was reached."""
    parser = argparse.ArgumentParser(description="Digests beside raw BLAKE3 over the same bytes.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mib", type=int, default=512, help="size of the large file")
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args(arguments)
    print_rows(measure(options.rows, options.mib << 20, options.repeat))
    return 0


if __name__ == "__main__":
    sys.exit(main())
