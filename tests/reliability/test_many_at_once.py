"""Many processes, threads and tasks on one store: each run carries a number, and every number is looked for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from amounts import amount
from programs import finish, start_program

import mlotel
from mlotel.store.files import FileStore
from mlotel.store.retention import collect

PROCESSES, THREADS, RUNS = amount(4, 16), amount(2, 4), amount(50, 1000)
TASKS = amount(1000, 10_000)

WRITER = """
    import sys, threading
    import mlotel

    process, threads, runs = map(int, sys.argv[1:4])
    inner = mlotel.component("inner")

    def work(thread):
        for number in range(runs):
            with mlotel.component(f"outer-{thread}") as outer:
                outer.log_params({"number": f"{process}/{thread}/{number}"})
                outer.log_output(b"%d/%d/%d" % (process, thread, number), "out")
                assert mlotel.current_run() is outer
                if number % 10 == 0:
                    with inner as run:
                        run.log_params({"number": f"{process}/{thread}/{number}"})
                    assert mlotel.current_run() is outer

    started = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for each in started:
        each.start()
    for each in started:
        each.join()
"""

READER = """
    import os, sys, time
    from mlotel.store.files import FileStore

    root, until = sys.argv[1:3]
    since = time.time_ns() - 3600 * 10**9
    before = asked = 0
    while not os.path.exists(root):
        time.sleep(0.01)
    with FileStore(root) as store:
        while True:
            last = os.path.exists(until)  # looked at before the question
            count = store.count_runs(since_ns=since)
            latest = store.runs(since_ns=since, limit=20)
            assert count >= before, f"{before} runs were there, and now {count}"
            assert len(latest) >= min(count, 20), f"{len(latest)} of {count} runs are told"
            before, asked = count, asked + 1
            if last:
                break
    print(before, asked)
"""


def end(process: subprocess.Popen[str]) -> str:
    """Wait for a process; it must say nothing on standard error."""
    done = finish(process)
    assert done.stderr == ""
    return done.stdout


def expected() -> Counter[tuple[str, str]]:
    """Component and number of each run."""
    numbers = [(p, t, n) for p in range(PROCESSES) for t in range(THREADS) for n in range(RUNS)]
    outer = Counter((f"outer-{t}", f"{p}/{t}/{n}") for p, t, n in numbers)
    return outer + Counter(("inner", f"{p}/{t}/{n}") for p, t, n in numbers if n % 10 == 0)


def check(store: FileStore) -> None:
    """Every run is there once, ended, with its own output, and inner ones are children of the right outer ones."""
    runs = store.runs()
    assert Counter((run.component, run.params["number"]) for run in runs) == expected()
    assert {run.state for run in runs} == {"ok"}
    outer = {run.params["number"]: run for run in runs if run.component != "inner"}
    assert all(len(run.outputs) == 1 for run in outer.values())
    inner = [run for run in runs if run.component == "inner"]
    assert all(run.parent_span_id == outer[run.params["number"]].span_id for run in inner)
    assert all(run.trace_id == outer[run.params["number"]].trace_id for run in inner)


def test_processes_and_threads_on_one_store_lose_nothing(tmp_path: Path) -> None:
    """All runs are on record exactly once, while three readers ask: none of them ever sees fewer than before."""
    root, done = tmp_path / "store", tmp_path / "done"
    readers = [start_program(READER, root, done, store=root) for _ in range(3)]
    writers = [start_program(WRITER, process, THREADS, RUNS, store=root) for process in range(PROCESSES)]
    for writer in writers:
        end(writer)
    done.touch()
    seen = [end(reader).split() for reader in readers]

    assert {int(count) for count, _ in seen} == {expected().total()}
    with FileStore(root) as store:
        check(store)
        status = store.status()
    assert (status.skipped, status.torn) == (0, 0)


def fill_day(root: Path, age_days: int) -> None:
    """Add a segment of some days ago with 500 runs, as lines of OTLP/JSON."""
    began = (time.time_ns() // 86_400_000_000_000 - age_days) * 86_400_000_000_000
    lines = []
    for number in range(500):
        identity = age_days * 1_000_000 + number + 1
        said = {"mlotel.run.id": f"{identity:032x}", "mlotel.component.name": "old", "mlotel.run.state": "ok"}
        span = {
            "traceId": f"{identity:032x}",
            "spanId": f"{identity:016x}",
            "name": "old",
            "startTimeUnixNano": str(began + number),
            "endTimeUnixNano": str(began + number + 1),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in said.items()],
        }
        lines.append(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}, separators=(",", ":")))
    day = time.strftime("%Y-%m-%d", time.gmtime(began // 10**9))
    (root / "segments").mkdir(parents=True, exist_ok=True)
    (root / "segments" / f"{day}-00000000-1-00.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_old_days_go_while_others_write_and_read(tmp_path: Path) -> None:
    """Retention at work beside writers and readers takes the old days, and nothing of what is new."""
    root, done = tmp_path / "store", tmp_path / "done"
    for age in range(20, 28):
        fill_day(root, age)
    readers = [start_program(READER, root, done, store=root) for _ in range(2)]
    writers = [start_program(WRITER, process, THREADS, RUNS, store=root) for process in range(PROCESSES)]
    gone: list[str] = []
    for age in range(27, 19, -1):
        gone += collect(root, keep=timedelta(days=age - 1)).days
    for writer in writers:
        end(writer)
    done.touch()
    for reader in readers:
        end(reader)

    assert len(gone) == 8
    with FileStore(root) as store:
        check(store)


async def test_tasks_have_a_current_run_each(tmp_path: Path) -> None:
    """Among thousands of tasks that take turns, each sees its own run, and its nested one is that one's child."""
    mlotel.configure(store=tmp_path / "store")
    wrong: list[int] = []

    async def task(number: int) -> None:
        async with mlotel.component("task") as outer:
            outer.log_params({"number": number})
            await asyncio.sleep(0)
            if mlotel.current_run() is not outer:
                wrong.append(number)
            async with mlotel.component("inner") as inner:
                inner.log_params({"number": number})
                await asyncio.sleep(0)
                if mlotel.current_run() is not inner:
                    wrong.append(number)
            await asyncio.sleep(0)
            if mlotel.current_run() is not outer:
                wrong.append(number)

    await asyncio.gather(*(task(number) for number in range(TASKS)))

    assert wrong == []
    assert mlotel.current_run() is None
    with FileStore(tmp_path / "store") as store:
        runs = store.runs()
    spans = {run.params["number"]: run.span_id for run in runs if run.component == "task"}
    parents = {run.params["number"]: run.parent_span_id for run in runs if run.component == "inner"}
    assert spans == parents
    assert (len(spans), len(runs)) == (TASKS, 2 * TASKS)
