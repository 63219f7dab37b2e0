"""Runs in processes that were made of this one, in each of the ways in which pipelines and servers make them."""

from __future__ import annotations

from pathlib import Path

import pytest
from collected_runs import collector
from killed_children import run_program

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
    processes = [mp.get_context("{}").Process(target=work, args=(first,)) for first in [0, 100]]
    [each.start() for each in processes]
    work(200), work(300)
    [each.join() for each in processes]
    assert [each.exitcode for each in processes] == [0, 0]
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


@pytest.mark.parametrize("way", WAYS)
def test_runs_of_workers_are_in_the_store(tmp_path: Path, way: str) -> None:
    """Each run of each worker is there once with its input, ended, and every line can be read."""
    done = run_program(WORK + WAYS[way], tmp_path)

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    with FileStore(tmp_path / "store") as store:
        runs = store.runs(component="worker")
        assert sorted(run.attributes[f"{A.MLOTEL_PARAM}.number"] for run in runs) == NUMBERS
        assert {(run.state, len(run.inputs)) for run in runs} == {("ok", 1)}
        assert {run.state for run in store.runs()} == {"ok"}
        assert (store.status().torn, store.status().skipped) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_runs_of_workers_come_to_a_collector(tmp_path: Path, way: str) -> None:
    """The same through the SDK's batch processors; only of workers that were killed a replay has something to send."""
    with collector(tmp_path) as there:
        there.run(WORK + WAYS[way])
        sent = len(there.sink.spans)
        replayed = there.replay()

    assert there.numbers() == NUMBERS
    if "terminated" not in way and "loky" not in way:
        assert replayed == 0
        assert sent == len({span.span_id for span in there.sink.spans})
