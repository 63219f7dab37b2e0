"""What clocks do: they are set, repeat a second, and stand in zones that change.

The clock is set for real in no test: that would be the clock of the machine. What a process asks for the time is
replaced in it before mlotel is loaded; libfaketime is not needed for that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killed_children import environment_of, run_program

from mlotel.model import Run
from mlotel.store.files import FileStore

SECOND = 10**9
CLOCK = """
import time
wrong_ns, right = 0, time.time_ns
time.time_ns = lambda: right() + wrong_ns
time.time = lambda: time.time_ns() / 1e9


def set_clock(seconds):
    global wrong_ns
    wrong_ns += int(seconds * 1e9)


import sys
import mlotel

step = float(sys.argv[1])
"""
MIDWAY = """
begun = time.perf_counter_ns()
with mlotel.component("outer") as run:
    run.log_input(b"before", "before")
    time.sleep(0.05)
    set_clock(step)
    with mlotel.component("inner"):
        time.sleep(0.05)
    run.log_output(b"after", "after")
print(time.perf_counter_ns() - begun)
"""
STEPS = pytest.mark.parametrize(
    "step",
    [-1, 1, -3600, 3600, -40 * 365 * 86_400],
    ids=["a leap second", "a second left out", "an hour back", "an hour on", "to 1986"],
)


def runs_of(folder: Path) -> list[Run]:
    with FileStore(folder / "store") as store:
        return list(store.runs())


@STEPS
def test_a_clock_that_is_set_within_a_run_changes_no_duration(tmp_path: Path, step: float) -> None:
    """Durations are those of a monotonic clock; what a run reads and writes lies within it, in its order."""
    done = run_program(CLOCK + MIDWAY, tmp_path, str(step))

    assert done.returncode == 0, done.stderr
    runs = {run.component: run for run in runs_of(tmp_path)}
    outer, inner = runs["outer"], runs["inner"]
    assert outer.end_ns is not None
    assert inner.end_ns is not None
    assert 0.1 * SECOND <= outer.end_ns - outer.start_ns <= int(done.stdout)
    assert 0.05 * SECOND <= inner.end_ns - inner.start_ns < outer.end_ns - outer.start_ns
    (before,), (after,) = outer.inputs, outer.outputs
    assert outer.start_ns <= before.time_ns < after.time_ns <= outer.end_ns
    assert after.time_ns - before.time_ns >= 0.1 * SECOND
    # a run that begins after the clock was set begins at its time: the inner one's place is told by its parent
    assert inner.parent_span_id == outer.span_id
    assert abs(inner.start_ns - outer.start_ns - step * SECOND) < 60 * SECOND


@STEPS
def test_runs_are_in_the_order_of_the_times_at_which_they_began(tmp_path: Path, step: float) -> None:
    """By the wall clock of their process: after it was set back, a later run stands before an earlier one."""
    done = run_program(
        CLOCK
        + """
for name in ("first", "second"):
    with mlotel.component(name):
        time.sleep(0.01)
    set_clock(step)
""",
        tmp_path,
        str(step),
    )

    assert done.returncode == 0, done.stderr
    latest_first = [run.component for run in runs_of(tmp_path)]
    assert latest_first == (["second", "first"] if step > 0 else ["first", "second"])
    assert {run.state for run in runs_of(tmp_path)} == {"ok"}


ZONES = [
    "UTC",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Asia/Kathmandu",
    "Europe/Lisbon",
    "XYZ+23:59:59",
    "nonsense",
]


def test_zones_change_nothing(tmp_path: Path) -> None:
    """A program records the same time in every zone, and lists show the same, whatever the reader's zone is."""
    before = time.time_ns()
    for zone in ZONES:
        done = run_program(f"import mlotel\nwith mlotel.component({zone!r}):\n    pass", tmp_path, TZ=zone)
        assert done.returncode == 0, done.stderr
    after = time.time_ns()

    runs = runs_of(tmp_path)
    assert [run.component for run in runs] == ZONES[::-1]
    assert all(before <= run.start_ns <= after for run in runs)
    shown = {zone: show(tmp_path, zone) for zone in ("UTC", "America/New_York", "Asia/Kathmandu")}
    assert len({json.dumps(each) for each in shown.values()}) == 1
    assert [each["component"] for each in shown["UTC"]] == ZONES[::-1]


def show(folder: Path, zone: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "mlotel", "runs", "--format", "json"]
    done = subprocess.run(
        command, cwd=folder, env=environment_of(folder, TZ=zone), capture_output=True, text=True, check=True
    )
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


# The night in which New York's clocks went from 1:59:59 back to 1:00:00: 2024-11-03 06:00 UTC.
NIGHT = """
import os
os.environ["TZ"] = "America/New_York"
time.tzset()
set_clock(1730613599 - right() / 1e9)  # a second before
with mlotel.component("over the change") as run:
    assert time.localtime(time.time()).tm_isdst == 1
    set_clock(1.0)
    time.sleep(0.01)
    assert time.localtime(time.time()).tm_isdst == 0
with mlotel.component("the hour again"):
    pass
"""


def test_the_hour_that_comes_twice(tmp_path: Path) -> None:
    """Times are those of UTC: an hour that the local clock shows twice is two hours."""
    done = run_program(CLOCK + NIGHT, tmp_path, "0")

    assert done.returncode == 0, done.stderr
    again, over = runs_of(tmp_path)
    assert (over.component, over.start_ns // SECOND) == ("over the change", 1730613599)
    assert (again.component, again.start_ns // SECOND) == ("the hour again", 1730613600)
    assert over.end_ns is not None
    assert over.end_ns > over.start_ns
    (name,) = {path.name[:10] for path in (tmp_path / "store" / "segments").iterdir()}
    assert name == "2024-11-03"
