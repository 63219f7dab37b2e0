"""Forks of a process whose threads are at work: what its children would wait for, and what they leave open."""

from __future__ import annotations

import json
from pathlib import Path

from amounts import amount
from collected_runs import collector
from killed_children import run_program

from mlotel.semconv import attributes as A
from mlotel.store.files import FileStore

# Threads of the parent make runs all the while, and the fork finds them at whatever they are doing, at first their
# imports (two modules have been imported before: Python complains where a fork finds those half done). A child that
# waits for a lock that nobody holds any more is ended by its alarm.
STRESS = """
import faulthandler, itertools, os, sys, threading, time
import concurrent.futures.thread, logging
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
        faulthandler.dump_traceback_later(60, exit=True)
        one(2 * child)
        one(2 * child + 1)
        mlotel.flush()
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        os._exit(1)
going_on = False
[each.join() for each in threads]
print(len(made))
"""
FORKS = amount(8, 300)


def test_threads_that_hold_locks_at_the_fork(tmp_path: Path) -> None:
    """Children of a process whose threads are in the middle of their runs neither wait for ever nor lose runs."""
    done = run_program(STRESS, tmp_path, str(FORKS))

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    with FileStore(tmp_path / "store") as store:
        found = sorted(run.attributes[f"{A.MLOTEL_PARAM}.number"] for run in store.runs() if run.state == "ok")
    assert found == [*range(2 * FORKS), *range(10**6, 10**6 + int(done.stdout))]


def test_threads_that_hold_locks_at_the_fork_with_a_collector(tmp_path: Path) -> None:
    """The same through the SDK, whose locks and queues are then copied as well."""
    with collector(tmp_path) as there:
        made = int(there.run(STRESS, str(FORKS)))
        there.replay()

    assert there.numbers() == [*range(2 * FORKS), *range(10**6, 10**6 + made)]


FILES = """
import gc, json, os, sys, mlotel

def one(name):
    with mlotel.component(name) as run:
        run.log_input(b"input", "in")

def files():
    gc.collect()  # what the HTTP client lets go of is closed by the garbage collector
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


def test_no_descriptor_is_leaked(tmp_path: Path) -> None:
    """After twenty forks the parent has as many files open as before, and children do not have ever more."""
    stored = run_program(FILES, tmp_path)
    assert stored.returncode == 0, stored.stderr
    with collector(tmp_path) as there:
        sent = there.run(FILES)

    for said in (stored.stdout, sent):
        before, after, children = json.loads(said)
        assert after == before
        # two of the pipe, what stays of the parent's, and what another thread of it had open at that moment
        assert max(children) <= before + 6
        assert max(children[10:]) <= max(children[:10]) + 1
