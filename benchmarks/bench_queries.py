"""The embedded store as it grows: what its index costs, and what questions cost, at 10⁴, 10⁵ and 10⁶ runs.

`python bench_queries.py RUNS …` sets other numbers of runs. Each store is generated in a temporary folder (7 GB and
three million spans for a million runs, in TMPDIR) and removed before the next one. Indexing and asking have a process
each, so that the memory told is theirs alone. Times are CPU times, of questions the best of several rounds, since the
machine may be busy; where several processes fill the index, it is the time that passes. Questions are put to a store
that was opened that moment, so that nothing that was read before helps. Floors are measured in the same run: parsing
the same lines and nothing else, and a program of click.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from generated import AFTER_ALL, DEPTH, T0, WIDTH, Generated, generate, lines_of_a_day
from measuring import best_ms
from orjson import loads

from mlotel.lineage import downstream, resolve, upstream
from mlotel.model import Lineage
from mlotel.store.files import FileStore
from mlotel.store.journal import SEGMENTS, Journal

SIZES = (10_000, 100_000, 1_000_000)
NEW_SPANS = 1_000
ROUNDS = 15
GOALS = {
    "index, bytes a span": "≤ 170",
    "recent 50, as the table has them, ms": "≤ 1",
    "the command line: mlotel --help, ms of CPU": "≤ 300",
    "the command line: mlotel runs, ms of CPU": "≤ 300",
}
MOST_PROCESSES = 4  # of a command: more would read no sooner
MEMORY_GOAL = "≤ 300"
INDEXING_GOAL = "≥ 60,000"
LINEAGE_GOAL = "≤ 20"
# About as many lines as a walk of a lattice reads: of each of 90 runs ten reads, a write and the run itself.
LATTICE_LINES = (DEPTH - 1) * WIDTH * (WIDTH + 2)
CLICK_ALONE = """
import click
@click.command()
@click.option("--limit", type=int, default=20)
def main(limit: int) -> None: ...
main()
"""

P = ParamSpec("P")
T = TypeVar("T")
Measured = dict[str, float]


def alone(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The answer of `call` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, *args, **kwargs).result()


def parsing(root: Path) -> float:
    """Seconds of CPU time that it takes to read and parse every line, and to do nothing with it."""
    before = time.process_time()
    for segment in (root / SEGMENTS).iterdir():
        with segment.open("rb") as lines:
            for line in lines:
                loads(line)
    return time.process_time() - before


def index(root: Path, spans: int, processes: int) -> Measured:
    """Fill the index of a whole store, by so many processes at once."""
    for file in root.glob("index.sqlite*"):
        file.unlink()
    with FileStore(root, processes=processes) as store, MemoryOfAll() as memory:
        began, before = time.perf_counter(), time.process_time()
        store.refresh()
        cpu, took = time.process_time() - before, time.perf_counter() - began
    if processes > 1:
        return {
            f"indexing by {processes} processes, spans a second": spans / took,
            f"memory of {processes} processes while indexing, MB": memory.most_mb,
        }
    parsed = parsing(root)
    return {
        "indexing, spans a second of CPU": spans / cpu,
        "… beside parsing alone, share of its speed": parsed / cpu,
        "index, bytes a span": os.path.getsize(root / "index.sqlite") / spans,
        "memory while indexing, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class MemoryOfAll:
    """The most memory that this process and its children held at one time, MB, looked at twenty times a second."""

    def __init__(self) -> None:
        self.most_mb = 0.0
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        own = str(os.getpid())
        while not self._ended.wait(0.05):
            pages = 0
            for pid in (own, *Path("/proc/self/task", own, "children").read_text().split()):
                with contextlib.suppress(OSError):  # it has just ended
                    pages += int(Path("/proc", pid, "statm").read_text().split()[1])
            self.most_mb = max(self.most_mb, pages * resource.getpagesize() / 2**20)

    def __enter__(self) -> MemoryOfAll:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()


def first_time(root: Path, question: Callable[[FileStore], object]) -> float:
    """Milliseconds of a question to a store that was opened that moment and has read no line yet."""
    times = []
    for _ in range(ROUNDS):
        with FileStore(root) as store:
            store.runs(limit=0)
            gc.collect()
            before = time.process_time()
            question(store)
            times.append(time.process_time() - before)
    return min(times) * 1e3


def ask(root: Path, made: Generated) -> Measured:
    """Ask everything that there is a goal for, and some more."""

    def first_answer() -> None:
        with FileStore(root) as store:
            store.heads(limit=1)

    with FileStore(root) as store:
        (recent,) = store.runs(limit=1)
    heads = first_time(root, lambda store: store.heads(limit=50))
    measured = {
        "opening the store, first answer, ms": best_ms(first_answer, ROUNDS, time.process_time),
        "recent 50, as the table has them, ms": heads,
        "… beside reading and parsing 50 lines, times": heads / read_and_parse(root, 50),
        "recent 50, whole runs, ms": first_time(root, lambda store: store.runs(limit=50)),
        "history of a component, latest 50, ms": first_time(
            root, lambda store: store.runs(component=made.component, limit=50)
        ),
        "artifacts of a digest, ms": first_time(root, lambda store: store.find_artifacts(digest=made.score)),
        "a run by the beginning of its id, ms": first_time(root, lambda store: store.find_runs(recent.run_id[:8])),
        "upstream of a score, 6 runs, ms": lineage(root, made.score, upstream, 6)[0],
    }
    for how, (last, first) in (("by link", made.linked), ("by digest", made.by_digest)):
        # The last run and what is behind it; all that read what the first one wrote, and so on.
        for direction, digest, runs in (
            (upstream, last, (DEPTH - 1) * WIDTH + 1),
            (downstream, first, (DEPTH - 1) * WIDTH),
        ):
            what = f"{direction.__name__} {DEPTH} × {WIDTH}, {how}"
            first_time_asked, again = lineage(root, digest, direction, runs)
            floor = read_and_parse(root, LATTICE_LINES)
            measured[f"{what}, ms"], measured[f"… asked again, {what}, ms"] = first_time_asked, again
            measured[f"… beside its lines, {what}, times"] = first_time_asked / floor
    return measured | after_new_spans(root) | command_line(root)


def read_and_parse(root: Path, count: int) -> float:
    """Milliseconds to read `count` lines one by one and to parse them, which no answer made of them can do without."""
    segment = max((root / SEGMENTS).iterdir(), key=lambda each: each.stat().st_size)
    begin, places = 0, list[tuple[int, int]]()
    with segment.open("rb") as lines:
        for line in islice(lines, count):
            places.append((begin, len(line)))
            begin += len(line)
    with segment.open("rb", buffering=0) as file:

        def read() -> None:
            for offset, length in places:
                file.seek(offset)
                loads(file.read(length))

        return best_ms(read, ROUNDS, time.process_time)


def lineage(root: Path, digest: str, walk: Callable[..., Lineage], runs: int) -> tuple[float, float]:
    """Milliseconds of a walk that must find so many runs, the first time and when it is asked again."""
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        with FileStore(root) as store:
            start = resolve(store, digest)
            gc.collect()
            began = time.process_time()
            found = walk(store, start)
            middle = time.process_time()
            walk(store, start)
            times.append((middle - began, time.process_time() - middle))
        if len(found.runs) != runs:
            raise AssertionError(f"{len(found.runs)} runs were found, not {runs}")
    first, again = (min(each) * 1e3 for each in zip(*times, strict=True))
    return first, again


def after_new_spans(root: Path) -> Measured:
    """Append spans and ask: they are taken up without reading anything else again."""
    times = []
    with FileStore(root) as store:
        store.runs(limit=1)
        for day in range(ROUNDS):
            journal = Journal(root)
            for line in lines_of_a_day(100 + day, NEW_SPANS):
                journal.append(line)
            journal.close()
            before = time.process_time()
            (latest,) = store.runs(limit=1)
            times.append(time.process_time() - before)
            if latest.start_ns < T0 + AFTER_ALL * 10**9:
                raise AssertionError("the new runs were not found")
    return {f"first answer after {NEW_SPANS:,} new spans, ms": min(times) * 1e3}


def command_line(root: Path) -> Measured:
    """Start the command line, each time anew."""
    # As installed: modules are compiled once, and not at each start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def start(*arguments: str) -> float:
        """Milliseconds of CPU time of a process of Python, the best of several."""
        times = []
        for _ in range(ROUNDS):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times) * 1e3

    return {
        "a floor: python that does nothing, ms of CPU": start("-c", "pass"),
        "a floor: importing click, ms of CPU": start("-c", "import click"),
        "a floor: click reads one option, ms of CPU": start("-c", CLICK_ALONE, "--limit", "5"),
        "the command line: mlotel --help, ms of CPU": start("-m", "mlotel", "--help"),
        "the command line: mlotel runs, ms of CPU": start("-m", "mlotel", "runs", "--store", str(root)),
    }


def measure(runs: int) -> Measured:
    """Everything about a store of so many runs."""
    with tempfile.TemporaryDirectory(prefix="mlotel-bench-") as folder:
        root = Path(folder, "store")
        made = alone(generate, root, runs)
        by_several = alone(index, root, made.spans, max(2, min(os.cpu_count() or 1, MOST_PROCESSES)))
        return by_several | alone(index, root, made.spans, 1) | alone(ask, root, made)


def report(sizes: Sequence[int], results: Sequence[Measured]) -> None:
    """Print a row for each thing measured, with its growth from the smallest store to the largest."""
    print(f"{'':54}" + "".join(f"{size:>12,}" for size in sizes) + f"{'growth':>9}  goal")
    for what in results[0]:
        values = [result[what] for result in results]
        goal = GOALS.get(what, "")
        if what.startswith("memory"):
            goal = MEMORY_GOAL
        elif what.startswith("indexing"):
            goal = INDEXING_GOAL
        elif f"{DEPTH} × {WIDTH}" in what and what.endswith("ms"):
            goal = LINEAGE_GOAL
        cells = "".join(f"{value:>12,.0f}" if value >= 1000 else f"{value:>12.3g}" for value in values)
        print(f"{what:54}{cells}{values[-1] / values[0]:>8.2f}×  {goal}")


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or SIZES
    results = []
    for size in sizes:
        results.append(measure(size))
        print(f"{size:,} runs: done", file=sys.stderr, flush=True)
    report(sizes, results)


if __name__ == "__main__":
    main()
