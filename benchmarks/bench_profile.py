"""Measures profiles beside the counting floor: each value compared with 20 edges, each text counted; in one run.

Run it with ``python benchmarks/bench_profile.py [--rows N] [--streamed N] [--repeat N]``. Times are of the processor;
only the ratios within one run mean anything. Memory is the most that a process of its own has held, beyond what it
held before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measuring import Row, interleaved, print_rows

from mlotel import profile
from mlotel.profiling import Profile

__all__ = ["main", "measure"]

_BLOCK = 131_072
_EDGES = 20
_STREAMED_COLUMNS = 4

_MEASURED = """
import re, sys, time
import pyarrow as pa
import pyarrow.parquet as pq
import mlotel

def held(what):  # not getrusage: its maximum begins with that of the parent process
    return int(re.search(rf"{what}:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

mlotel.profile(pa.table({"a": [1.0, 2.0], "t": ["a", "b"]}))  # loads what is needed
table = pq.read_table(sys.argv[1]) if sys.argv[2] == "memory" else sys.argv[1]
before = held("VmRSS")
began = time.perf_counter()
rows = mlotel.profile(table).rows
print((held("VmHWM") - before) / 1024, time.perf_counter() - began, rows)
"""


def make_table(rows: int, *, seed: int = 7, different: int = 1_000) -> pa.Table:
    """Return 20 columns of doubles and 5 of texts, of which so many are different."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {f"x{i}": pa.array(random.standard_normal(rows)) for i in range(20)}
    words = pa.array([f"word-{i:06d}" for i in range(different)])
    for i in range(5):
        columns[f"text{i}"] = words.take(pa.array(random.integers(0, different, rows)))
    return pa.table(columns)


def make_integers(rows: int, *, seed: int = 7) -> pa.Table:
    """Return 25 columns of integers, half of them with few different ones, a tenth of the values null."""
    random = np.random.default_rng(seed)
    return pa.table(
        {
            f"n{i}": pa.array(random.integers(0, 50 if i % 2 else 2**40, rows), mask=random.random(rows) < 0.1)
            for i in range(25)
        }
    )


def floor(table: pa.Table) -> None:
    """Do the least that counting takes: numbers by edges, block by block, and texts."""
    edges = np.linspace(-2, 2, _EDGES)
    for column in table.columns:
        if pa.types.is_string(column.type):
            pc.value_counts(column)
            continue
        for chunk in column.chunks:
            values = np.asarray(chunk.drop_null())
            for start in range(0, values.size, _BLOCK):
                block = values[start : start + _BLOCK]
                for edge in edges:
                    np.count_nonzero(block <= edge)


def measure_speed(rows: int, repeat: int) -> list[Row]:
    """Measure whole profiles, by groups, and merging."""
    table, integers = make_table(rows), make_integers(rows)
    ids = make_table(rows, different=rows)
    grouped = table.append_column("g", pa.array(np.arange(rows) % 10))
    parts = [profile(table.slice(start, rows // 8)) for start in range(0, rows, rows // 8)]
    times = interleaved(
        {
            "floor": lambda: floor(table),
            "profile": lambda: profile(table),
            "numbers floor": lambda: floor(table.select(range(20))),
            "numbers": lambda: profile(table.select(range(20))),
            "integers floor": lambda: floor(integers),
            "integers": lambda: profile(integers),
            "ids floor": lambda: floor(ids),
            "ids": lambda: profile(ids),
            "grouped": lambda: profile(grouped, by="g"),
            "merge": lambda: Profile.merge_all(parts),
        },
        repeat,
        time.process_time,
    )
    results = []
    for what, name, base in (
        ("20 x float and 5 x string", "profile", "floor"),
        ("20 x float", "numbers", "numbers floor"),
        ("25 x int, 10 % nulls", "integers", "integers floor"),
        ("20 x float and 5 x string, all strings different", "ids", "ids floor"),
        ("the first by 10 groups", "grouped", "floor"),
    ):
        ratio = times[name] / times[base]
        results.append(Row(f"{rows:,} rows, {what}", "<= 15 x the floor", f"{ratio:.1f} x", ratio <= 15))
    merge = times["merge"] / len(parts) * 1e3
    results.append(Row("merging a profile of 25 columns", "<= 20 ms", f"{merge:.1f} ms", merge <= 20))
    return results


def measure_memory(rows: int, streamed: int) -> list[Row]:
    """Measure the memory that profiles need beside a table in memory, and of a file."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.parquet")
        pq.write_table(make_table(rows).rename_columns(["a", *(f"c{i}" for i in range(24))]), path)
        for what in ("memory", "file"):
            more, _, _ = measured(path, what)
            results.append(Row(f"{rows:,} x 25 from {what}, memory", "<= 200 MB", f"{more:.0f} MB", more <= 200))
        write_streamed(path, streamed)
        more, seconds, found = measured(path, "file")
        size = path.stat().st_size / 1e9
    what = f"{found:,.0f} rows x {_STREAMED_COLUMNS} of a file of {size:.1f} GB"
    speed = f"{more:.0f} MB, {seconds:.0f} s"
    return [*results, Row(f"{what}, memory", "<= 200 MB", speed, more <= 200 and found == streamed)]


def write_streamed(path: Path, rows: int) -> None:
    """Write a Parquet file of so many rows, a million at a time."""
    random = np.random.default_rng(3)
    schema = pa.schema([("a", pa.float64()), ("b", pa.float32()), ("n", pa.int32()), ("t", pa.string())])
    words = pa.array([f"word-{i:03d}" for i in range(100)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 1_000_000):
            count = min(1_000_000, rows - start)
            numbers = random.standard_normal(count)
            columns = [
                numbers,
                numbers.astype(np.float32),
                random.integers(0, 1_000, count, np.int32),
                words.take(pa.array(random.integers(0, 100, count))),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def measured(path: Path, what: str) -> tuple[float, float, float]:
    """Return megabytes, seconds and rows of a profile in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _MEASURED, path, what], capture_output=True, text=True, check=True)
    more, seconds, rows = map(float, done.stdout.split())
    return more, seconds, rows


def measure(rows: int = 1_000_000, streamed: int = 100_000_000, repeat: int = 5) -> list[Row]:
    """Measure everything.

    Args:
        rows: rows of the tables in memory.
        streamed: rows of the table that is read from a file.
        repeat: how often each is measured; the median counts.
    """
    return [*measure_speed(rows, repeat), *measure_memory(rows, streamed)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of goals and results; returns 0 whatever was reached."""
    parser = argparse.ArgumentParser(description="Profiles beside the counting floor.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--streamed", type=int, default=100_000_000, help="rows of the file")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(arguments)
    print_rows(measure(options.rows, options.streamed, options.repeat))
    return 0


if __name__ == "__main__":
    sys.exit(main())
