"""Processes that write to one store and ask it at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mlotel
from mlotel.lineage import History, components
from mlotel.store.conditions import Condition
from mlotel.store.files import FileStore

RUNS, PROCESSES = 40, 3
# Records runs of two components, and after each asks for what has just been recorded; prints whatever was wrong.
PROGRAM = f"""
import json, sys
import mlotel
from mlotel.lineage import History, component_names
from mlotel.store.conditions import Condition
from mlotel.store.files import FileStore

me, root, wrong, most = int(sys.argv[1]), sys.argv[2], [], 0
store = FileStore(root)
for number in range({RUNS}):
    name = f"own {{me}}" if number % 2 else "shared"
    with mlotel.component(name, params={{"process": me, "number": number}}) as run:
        run.log_output(b"%d %d" % (me, number), "result")
    found = store.runs(where=[Condition("param.process", "=", me), Condition("param.number", "=", number)])
    if [each.run_id for each in found] != [run.run_id] or len(found[0].outputs) != 1:
        wrong.append(["not found", number])
    if number % 2 and History(store, name)[-1].params["number"] != number:
        wrong.append(["not the latest", number])
    if name not in component_names(store):
        wrong.append(["no component", number])
    counted = store.count_runs()
    if counted < most:
        wrong.append(["fewer than before", counted, most])
    most = counted
mlotel.shutdown()
print(json.dumps(wrong))
"""


def test_each_process_finds_what_it_wrote_and_nothing_is_lost(tmp_path: Path) -> None:
    """Read your own writes, counts that only grow, and in the end every run of every process, once."""
    root = tmp_path / ".mlotel"
    root.mkdir()
    environment = {**os.environ, "MLOTEL_STORE": str(root), "PYTHONPATH": str(Path(mlotel.__file__).parent.parent)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number), str(root)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]

    answers = [process.communicate(timeout=120) for process in processes]

    assert [(json.loads(out or "null"), err) for out, err in answers] == [([], "")] * PROCESSES
    with FileStore(root) as store:
        runs = store.runs()
        assert Counter((run.params["process"], run.params["number"]) for run in runs) == Counter(
            (process, number) for process in range(PROCESSES) for number in range(RUNS)
        )
        assert {each.name: dict(each.states) for each in components(store)} == {
            "shared": {"ok": PROCESSES * RUNS // 2},
            **{f"own {number}": {"ok": RUNS // 2} for number in range(PROCESSES)},
        }
        assert len(History(store, "shared")) == PROCESSES * RUNS // 2
        assert len(store.runs(where=[Condition("output", "=", "result")])) == PROCESSES * RUNS
        assert store.status().skipped == store.status().torn == 0
