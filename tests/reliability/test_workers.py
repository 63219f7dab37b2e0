"""Runs in processes that were made of this one, in each of the ways in which pipelines and servers make them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killed_children import SOAK, run_program
from otlp_sink import Sink, otlp_sink

from mlotel.semconv import attributes as A
from mlotel.store.files import FileStore

WORK = """
import json, os, signal, sys, time
import multiprocessing as mp
import mlotel

RUNS = 8


def work(first):
    for number in range(first, first + RUNS):
        with mlotel.component("worker", params={"number": number}) as run:
            run.log_input(b"input %d" % number, "in")
    return os.getpid()


def begin():
    with mlotel.component("parent"):
        pass
    mlotel.flush()  # a connection is open now, which no child may write to
"""
PROCESSES = """
if __name__ == "__main__":
    begin()
    processes = [mp.get_context("{}").Process(target=work, args=(i * 100,)) for i in range(3)]
    [each.start() for each in processes]
    work(300)
    [each.join() for each in processes]
    assert [each.exitcode for each in processes] == [0, 0, 0]
"""
WAYS = {
    "multiprocessing, fork": PROCESSES.format("fork"),
    "multiprocessing, spawn": PROCESSES.format("spawn"),
    "multiprocessing, forkserver": PROCESSES.format("forkserver"),
    "multiprocessing, a pool that is terminated": """
if __name__ == "__main__":
    begin()
    with mp.get_context("fork").Pool(3) as pool:  # leaving the block sends SIGTERM
        pool.map(work, [0, 100, 200, 300], chunksize=1)
""",
    "concurrent.futures, processes": """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    begin()
    with ProcessPoolExecutor(3, mp_context=mp.get_context("fork")) as executor:
        list(executor.map(work, [0, 100, 200, 300]))
""",
    "concurrent.futures, threads": """
from concurrent.futures import ThreadPoolExecutor
begin()
with ThreadPoolExecutor(4) as executor:
    list(executor.map(work, [0, 100, 200, 300]))
""",
    "joblib, loky": """
from joblib import Parallel, delayed
if __name__ == "__main__":
    begin()
    Parallel(n_jobs=2, backend="loky")(delayed(work)(first) for first in [0, 100, 200, 300])
""",
    # as gunicorn's arbiter does: it loads the application, forks, and ends its workers by SIGTERM, at which they exit
    "pre-fork": """
begin()
workers = []
for first in [0, 100, 200, 300]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        work(first)
        os.write(write, b"served")
        while True:
            time.sleep(60)
    os.close(write)
    workers.append((pid, read))
for pid, read in workers:
    assert os.read(read, 6) == b"served"
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
""",
    # as PyTorch's DataLoader does: workers that stay for several epochs, daemons, told what to do by queues
    "a loader's workers": """
def serve(indices, batches):
    while (first := indices.get()) is not None:
        with mlotel.current_run().activate():
            work(first)
        batches.put(first)

if __name__ == "__main__":
    begin()
    context = mp.get_context("fork")
    with mlotel.component("epochs"):
        indices, batches = context.Queue(), context.Queue()
        workers = [context.Process(target=serve, args=(indices, batches), daemon=True) for _ in range(3)]
        [each.start() for each in workers]
        for epoch in ([0, 100], [200, 300]):
            [indices.put(first) for first in epoch]
            assert sorted(batches.get() for _ in epoch) == epoch
        [indices.put(None) for _ in workers]
        [each.join() for each in workers]
    assert [each.exitcode for each in workers] == [0, 0, 0]
""",
}
NUMBERS = [first + i for first in (0, 100, 200, 300) for i in range(8)]
REPLAY = """
import sys
from pathlib import Path
from mlotel.sdk.spool import replay
done = replay(Path(".mlotel"), sys.argv[1])
assert (done.kept, done.rejected, done.error) == (0, 0, None), done
print(done.sent)
"""


@pytest.fixture
def collected(tmp_path: Path) -> Iterator[Callable[..., tuple[str, Sink, int]]]:
    """Run a program whose spans go to a collector; return what it wrote, what arrived, and how much a replay sent."""
    (tmp_path / ".mlotel").mkdir()
    with otlp_sink() as sink:

        def run(source: str, *arguments: str) -> tuple[str, Sink, int]:
            there = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "MLOTEL_STORE": ""}
            done = run_program(source, tmp_path, *arguments, **there)
            assert (done.returncode, done.stderr) == (0, "")
            replayed = run_program(REPLAY, tmp_path, sink.endpoint)
            assert replayed.returncode == 0, replayed.stderr
            return done.stdout, sink, int(replayed.stdout)

        yield run


def sent_numbers(sink: Sink) -> list[int]:
    """Return the numbers of the workers' runs that arrived, each as often as there is another span of it."""
    numbers = {span.span_id: number for span in sink.spans if (number := number_of(span)) is not None}
    reads = {span.span_id: span.parent_span_id for span in sink.spans if span.name == "read in"}
    assert Counter(numbers[parent] for parent in reads.values()) == Counter(numbers.values())
    return sorted(numbers.values())


def number_of(span: Any) -> int | None:
    return next((a.value.int_value for a in span.attributes if a.key == f"{A.MLOTEL_PARAM}.number"), None)


@pytest.mark.parametrize("way", WAYS)
def test_runs_of_workers_are_in_the_store(tmp_path: Path, way: str) -> None:
    """Each run of each worker is there once with its input, ended, and every line can be read."""
    done = run_program(WORK + WAYS[way], tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    with FileStore(tmp_path / "store") as store:
        runs = [run for run in store.runs(component="worker")]
        assert sorted(run.attributes[f"{A.MLOTEL_PARAM}.number"] for run in runs) == NUMBERS
        assert {(run.state, len(run.inputs)) for run in runs} == {("ok", 1)}
        assert {run.state for run in store.runs()} == {"ok"}
        assert (store.status().torn, store.status().skipped) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_runs_of_workers_come_to_a_collector(collected: Callable[..., tuple[str, Sink, int]], way: str) -> None:
    """The same through the SDK's batch processors; only of workers that were killed a replay has something to send."""
    _, sink, replayed = collected(WORK + WAYS[way])

    assert sink.malformed == 0
    assert sent_numbers(sink) == NUMBERS
    if "terminated" not in way and "loky" not in way:
        assert replayed == 0
        assert len(sink.spans) == len({span.span_id for span in sink.spans})


# Threads of the parent make runs all the while, and the fork finds them at whatever they are doing, at first their
# imports. A child that waits for a lock that nobody holds any more is ended by its alarm.
STRESS = """
import itertools, os, signal, sys, threading, time
import mlotel

numbers, made, going_on = itertools.count(10**6), [], True


def one(number):
    with mlotel.component("worker", params={"number": number}) as run:
        run.log_input(b"input %d" % (number % 20), "in")
        run.log_metrics({"m": 1.0})


def hammer():
    while going_on:
        number = next(numbers)
        one(number)
        made.append(number)
        time.sleep(0.001)


threads = [threading.Thread(target=hammer) for _ in range(3)]
[each.start() for each in threads]
for child in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        one(2 * child)
        one(2 * child + 1)
        mlotel.flush()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, child
going_on = False
[each.join() for each in threads]
print(len(made))
"""
FORKS = 300 if SOAK else 15


def test_threads_that_hold_locks_at_the_fork(tmp_path: Path) -> None:
    """Children of a process whose threads are in the middle of their runs neither wait for ever nor lose runs."""
    done = run_program(STRESS, tmp_path, str(FORKS))

    assert (done.returncode, done.stderr) == (0, "")
    with FileStore(tmp_path / "store") as store:
        found = sorted(run.attributes[f"{A.MLOTEL_PARAM}.number"] for run in store.runs() if run.state == "ok")
    assert found == [*range(2 * FORKS), *range(10**6, 10**6 + int(done.stdout))]


def test_threads_that_hold_locks_at_the_fork_with_a_collector(
    collected: Callable[..., tuple[str, Sink, int]],
) -> None:
    """The same through the SDK, whose locks and queues are then copied as well."""
    made, sink, _ = collected(STRESS, str(FORKS))

    assert sink.malformed == 0
    assert sent_numbers(sink) == [*range(2 * FORKS), *range(10**6, 10**6 + int(made))]


FILES = """
import json, os, sys, mlotel

def one(name):
    with mlotel.component(name) as run:
        run.log_input(b"input", "in")

def files():
    return len(os.listdir("/proc/self/fd"))

one("parent")
mlotel.flush()
before, children = files(), []
for _ in range(20):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        one("child")
        mlotel.flush()
        os.write(write, b"%d" % files())
        os._exit(0)
    children.append(int(os.read(read, 10)))
    os.waitpid(pid, 0)
    os.close(read), os.close(write)
    one("parent")
mlotel.flush()
print(json.dumps([before, files(), children]))
"""


def test_no_descriptor_is_leaked(tmp_path: Path, collected: Callable[..., tuple[str, Sink, int]]) -> None:
    """After twenty forks the parent has as many files open as before, and each child as many as the first one."""
    stored = run_program(FILES, tmp_path)
    assert stored.returncode == 0, stored.stderr
    sent, _, _ = collected(FILES)

    for said in (stored.stdout, sent):
        before, after, children = json.loads(said)
        assert after == before
        assert set(children) == {children[0]}
        assert children[0] <= before + 5  # two of the pipe, and what stays of the parent's
