"""Keyed predictions: what logging one costs, and how long it takes to find one among ten million in ten daily files.

`python bench_predictions.py ROWS` sets the number of predictions (10,000,000 if not said), a tenth of them a day.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from measuring import best_ms, show

import mlotel
from mlotel.store.files import FileStore
from mlotel.store.predictions.keys import RecordKeys
from mlotel.store.predictions.rows import KeyedRows
from mlotel.store.predictions.tails import predictions_root
from mlotel.store.predictions.writer import PredictionLog

DAY_NS = 86_400 * 10**9
T0 = 1_700_000_000_000_000_000
DAYS = 10
ONE_ROW_CALLS = 100_000


def fill(store: Path, rows: int) -> None:
    """Write a tenth of the rows a day; the keys of the first of each day are known, the others are noise."""
    log = PredictionLog(store)
    rng = np.random.default_rng(1)
    count = rows // DAYS
    began = time.perf_counter()
    for day in range(DAYS):
        hashes = rng.integers(0, 1 << 64, count, dtype=np.uint64)
        hashes[0] = RecordKeys().hash(f"known-{day}")
        keys = pc.binary_join_element_wise("customer-", pa.array(np.arange(count)).cast(pa.string()), "").to_pylist()
        keys[0] = f"known-{day}"
        log.add(
            KeyedRows(
                hashes=hashes,  # type: ignore[arg-type] # an array is a sequence of them
                keys=keys,
                values=pa.array(rng.normal(size=count)),
                texts=None,
                probabilities=pa.array(rng.random(count)),
                variant="a",
                model="delay",
                model_version="7",
                model_digest="blake3:" + "e" * 64,
                trace_id=f"{day + 1:032x}",
                span_id=f"{day + 1:016x}",
                time_ns=T0 + day * DAY_NS,
            )
        )
    took = time.perf_counter() - began
    files = list(predictions_root(store).rglob("*.parquet"))
    size = sum(each.stat().st_size for each in files)
    show(f"write {rows:,} predictions, {len(files)} files", f"{took:.1f} s", f"{size / rows:.0f} B a prediction")


def look_up(store: Path, what: str, key: str, *, kept: bool = True) -> None:
    with FileStore(store) as opened:
        found = opened.predictions(key)
        if [each.key for each in found] != [key if kept else None]:  # hashed with the store's secret, it is not
            raise AssertionError(found)
        show(what, f"{best_ms(lambda: opened.predictions(key), 15):.1f} ms", "target ≤ 50")
        show("  of a key that is not there", f"{best_ms(lambda: opened.predictions('nobody'), 15):.1f} ms")


FRESH = """
import re, sys, time
import numpy, pyarrow.parquet
from mlotel.store.files import FileStore
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before, began = peak(), time.perf_counter()
with FileStore(sys.argv[1]) as store:
    assert len(store.predictions("known-5")) == 1
print((time.perf_counter() - began) * 1e3, (peak() - before) / 1024)
"""


def in_a_fresh_process(store: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FRESH, store], capture_output=True, text=True, check=True)
    took, memory = map(float, done.stdout.split())
    show("the first look-up of a process", f"{took:.1f} ms", f"{memory:.0f} MB of memory")


def full_scan(store: Path, key: str) -> None:
    def scan() -> None:
        data = ds.dataset(predictions_root(store), format="parquet", partitioning="hive")
        if data.to_table(filter=pc.field("key") == key).num_rows != DAYS:
            raise AssertionError("not found")

    def found() -> None:
        with FileStore(store) as opened:
            opened.predictions("known-7")

    scanned, ours = best_ms(scan, 3), best_ms(found, 15)
    show("  a full scan with Arrow", f"{scanned:.0f} ms", f"{scanned / ours:.0f} times as long, store opened anew")


def one_by_one(store: Path) -> None:
    """What a call of one prediction costs, with a key and without, as in serving."""

    def calls(keyed: bool, number: int) -> float:
        began = time.perf_counter()
        with mlotel.component("serve") as run:
            for each in range(number):
                run.log_predictions([0.5], keys=[f"single-{each}"] if keyed else None, model="delay", version="7")
        return (time.perf_counter() - began) / number * 1e6

    pairs = [(calls(False, 2000), calls(True, 2000)) for _ in range(7)]
    plain, keyed = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    show("log_predictions of one, without a key", f"{plain:.0f} µs")
    show("  with a key", f"{keyed:.0f} µs", f"{keyed / plain:.2f} times")
    show(f"{ONE_ROW_CALLS:,} calls of one", f"{calls(True, ONE_ROW_CALLS) * ONE_ROW_CALLS / 1e6:.1f} s")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(prefix="mlotel-bench-") as folder:
        store = Path(folder) / "store"
        mlotel.configure(store=store)
        with mlotel.component("first"):
            pass
        fill(store, rows)
        look_up(store, f"find one among {rows:,} by its key", "known-3")
        one_by_one(store)
        look_up(store, f"find one after {ONE_ROW_CALLS:,} calls of one", f"single-{ONE_ROW_CALLS - 1}", kept=False)
        in_a_fresh_process(store)
        full_scan(store, "customer-777")


if __name__ == "__main__":
    main()
