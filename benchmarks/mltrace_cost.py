"""What mltrace 0.17 takes for the questions that `bench_queries.py` asks, among as many runs of the same pipelines.

With ``--write`` it tells what a run takes instead, beside one of mlotel: a function that does nothing, with one
input and one output by name.

It is no dependency and no part of ``make bench``. Make an environment for it alone, since it needs an old SQLAlchemy::

    pip install --no-deps mltrace==0.17
    pip install "sqlalchemy<2" psycopg2-binary pandas joblib click gitpython python-dotenv flask
    python benchmarks/mltrace_cost.py [--uri postgresql://…] RUNS …
    pip install --editable .
    python benchmarks/mltrace_cost.py --uri postgresql://… --write

Without ``--uri`` it uses SQLite in memory, as mltrace's own tests do. The tables are filled directly: writing runs one
by one through mltrace takes tens of milliseconds each. Whatever is in the database that ``--uri`` names is removed.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

from mltrace.db import Component, ComponentRun, IOPointer, Store  # noqa: E402 # warns when it is imported
from mltrace.db.base import Base  # noqa: E402
from mltrace.db.models import (  # noqa: E402
    component_run_dependencies,
    component_run_input_association,
    component_run_output_association,
)
from sqlalchemy import func, select  # noqa: E402

STEPS = {"flights": (), "weather": (), "clean": (0,), "join": (2, 1), "train": (3,), "score": (4, 3)}
PIPELINES, LEVELS, WIDTH = 20, 4, 10
T0 = datetime(2026, 9, 21)
Row = dict[str, Any]


class Tables:
    """Rows for mltrace's tables, gathered and written in bulk."""

    def __init__(self) -> None:
        self.runs: list[Row] = []
        self.pointers: list[Row] = []
        self.inputs: list[Row] = []
        self.outputs: list[Row] = []
        self.dependencies: list[Row] = []

    def run(self, component: str, output: str, reads: list[tuple[int, str]]) -> tuple[int, str]:
        """Add a run that reads what those runs wrote; return its number and what it wrote."""
        number = len(self.runs) + 1
        start = T0 + timedelta(seconds=number)
        values = {"notes": "", "git_hash": "5" * 40, "git_tags": [], "code_snapshot": b"pass", "stale": []}
        times = {"start_timestamp": start, "end_timestamp": start + timedelta(seconds=0.9)}
        self.runs.append({"id": number, "component_name": component, **values, **times})
        self.pointers.append({"name": output, "value": _value(output), "pointer_type": "DATA", "flag": False})
        said = {"output_path_name": output, "output_path_value": _value(output)}
        self.outputs.append({**said, "component_run_id": number})
        for producer, name in reads:
            said = {"input_path_name": name, "input_path_value": _value(name)}
            self.inputs.append({**said, "component_run_id": number})
            self.dependencies.append({"component_run_id": number, "depends_on_component_run_id": producer})
        return number, output

    def pipeline(self, number: int) -> None:
        """Add the six runs of a pipeline; what it writes is named after it."""
        written: list[tuple[int, str]] = []
        for step, reads in STEPS.items():
            component = f"team-{number % PIPELINES:02d}-{step}"
            written.append(self.run(component, f"{number}/{step}", [written[read] for read in reads]))

    def lattice(self) -> None:
        """Add levels of ten runs, each of which reads what all ten of the level before wrote."""
        level: list[tuple[int, str]] = []
        for depth in range(LEVELS):
            before, level = level, []
            level = [self.run(f"level-{depth}", f"lattice/{depth}-{place}", before) for place in range(WIDTH)]

    def save(self, store: Store) -> None:
        """Write everything."""
        names = sorted({run["component_name"] for run in self.runs})
        components = [{"name": name, "description": "", "owner": ""} for name in names]
        with store.engine.begin() as connection:
            for table, rows in (
                (Component.__table__, components),
                (IOPointer.__table__, self.pointers),
                (ComponentRun.__table__, self.runs),
                (component_run_input_association, self.inputs),
                (component_run_output_association, self.outputs),
                (component_run_dependencies, self.dependencies),
            ):
                for first in range(0, len(rows), 10_000):
                    connection.execute(table.insert(), rows[first : first + 10_000])


def _value(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def milliseconds(store: Store, question: Callable[[], object], rounds: int = 5) -> float:
    """The median of several rounds, each with nothing in the session's memory."""
    times = []
    for _ in range(rounds):
        store.session.close()
        start = time.perf_counter()
        question()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def measure(uri: str, runs: int) -> None:
    """Fill a store with `runs` runs and print what each question takes."""
    store = Store(uri)
    if uri != "test":
        Base.metadata.drop_all(store.engine)
        Base.metadata.create_all(store.engine)
    tables = Tables()
    pipelines = (runs - LEVELS * WIDTH) // len(STEPS)
    for number in range(pipelines):
        if number == pipelines // 2:
            tables.lattice()
        tables.pipeline(number)
    tables.save(store)
    with store.engine.begin() as connection:
        count = connection.execute(select(func.count()).select_from(ComponentRun.__table__)).scalar()

    def read(run: ComponentRun) -> object:
        return run.start_timestamp, [each.name for each in run.inputs], [each.name for each in run.outputs]

    questions = {
        "recent 50": lambda: [read(store.get_component_run(number)) for number in store.get_recent_run_ids(50)],
        "history 50": lambda: [read(run) for run in store.get_history("team-07-train", 50)],
        "trace of a score (5 runs behind it)": lambda: store.trace(f"{pipelines // 3}/score"),
        f"trace of a lattice {LEVELS} x {WIDTH}": lambda: store.trace(f"lattice/{LEVELS - 1}-0"),
        "… as its command line shows it, with outputs": lambda: store.web_trace(f"lattice/{LEVELS - 1}-0", True),
    }
    for what, question in questions.items():
        print(f"{count:>9,} runs  {what:46} {milliseconds(store, question):10.1f} ms", flush=True)
    nodes = store.trace(f"lattice/{LEVELS - 1}-0")
    print(f"{count:>9,} runs  a lattice of {LEVELS} x {WIDTH} is a trace of {len(nodes):,} nodes")
    store.session.close()


def writing(uri: str, runs: int = 50) -> None:
    """Print what a run takes; mltrace cannot write runs to anything but PostgreSQL."""
    import mltrace

    import mlotel

    mltrace.set_db_uri(uri)
    mltrace.create_component("bench", "does nothing", "nobody")

    @mltrace.register("bench", inputs=["read"], outputs=["written"])
    def theirs() -> int:
        return 1

    def ours() -> None:
        with mlotel.component("bench") as run:
            run.log_input(b"read", "read")
            run.log_output(b"written", "written")

    with tempfile.TemporaryDirectory() as folder:
        mlotel.configure(store=folder)
        found: dict[str, list[float]] = {"mltrace": [], "mlotel": []}
        for number in range(runs + 1):
            for name, call, count in (("mltrace", theirs, 1), ("mlotel", ours, 20)):
                start = time.perf_counter()
                for _ in range(count):
                    call()
                if number:
                    found[name].append((time.perf_counter() - start) / count)
        mlotel.shutdown()
    took = {name: statistics.median(seconds) * 1e3 for name, seconds in found.items()}
    print(f"a run with one input and one output, ms: mltrace {took['mltrace']:.1f}, mlotel {took['mlotel']:.3f}")
    print(f"mltrace beside mlotel: {took['mltrace'] / took['mlotel']:,.0f} ×   goal ≥ 50")


def main() -> int:
    """Measure each number of runs that is asked for."""
    parser = argparse.ArgumentParser(description="What mltrace takes.")
    parser.add_argument("runs", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--uri", default="test", help="a PostgreSQL database that may be emptied")
    parser.add_argument("--write", action="store_true", help="what a run takes, instead")
    options = parser.parse_args()
    if options.write:
        writing(options.uri)
        return 0
    for runs in options.runs:
        measure(options.uri, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
