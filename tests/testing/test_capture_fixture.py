"""`mlotel.testing`: what pipelines' own tests use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import mlotel
from mlotel.testing import START_NS, CapturedRuns, ManualClock, capture


def _pipeline() -> None:
    with mlotel.component("outer", pipeline="p", params={"a": 1}) as run:
        run.log_output(b"content", "x")
        with mlotel.component("inner") as inner:
            inner.log_input(b"content", "x")


def test_every_capture_has_the_same_ids_and_times() -> None:
    """What a test compares with does not change from one run of the test to the next: not one byte of it."""
    lines = []
    for _ in range(2):
        with capture() as captured:
            _pipeline()
        lines.append(captured.store.lines)
    memory = [b"mlotel.run.memory.peak", b"mlotel.run.cpu.time"]
    for one, two in zip(*lines, strict=True):
        if not any(name in one for name in memory):
            assert one == two
    assert [run.run_id for run in captured.runs] == [f"{1:032x}", f"{2:032x}"]
    assert captured.runs[0].start_ns > START_NS
    assert captured.runs[0].trace_id == f"{1:032x}"


def test_times_are_the_clocks(mlotel_runs: CapturedRuns) -> None:
    """A test moves the clock by hand."""
    with mlotel.component("a"):
        mlotel_runs.clock.advance(90)
    duration = mlotel_runs.runs[0].duration_s
    assert duration is not None
    assert 90 <= duration < 90.1


def test_a_run_is_lost_when_the_clock_says_so(mlotel_runs: CapturedRuns) -> None:
    """The store that is asked reads the same clock."""
    run = mlotel.start_component("a")
    assert mlotel_runs.runs[0].state == "running"
    run.end()
    assert mlotel_runs.runs[0].state == "ok"


def test_captures_nest_and_end() -> None:
    """Each has the runs of its own block alone; afterwards runs go where they went before."""
    with capture() as outer:
        with mlotel.component("a"):
            pass
        with capture() as inner, mlotel.component("b"):
            pass
        with mlotel.component("c"):
            pass
    assert [run.component for run in outer.runs] == ["a", "c"]
    assert [run.component for run in inner.runs] == ["b"]


def test_a_capture_ends_with_an_exception_too() -> None:
    """What was recorded until then can be read."""
    with pytest.raises(ValueError), capture() as captured, mlotel.component("a"):
        raise ValueError("x")
    assert [run.state for run in captured.runs] == ["failed"]
    with capture() as other:
        pass
    assert other.runs == []


def test_nothing_is_written_anywhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where a store is asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOTEL_STORE", str(tmp_path / "store"))
    with capture():
        _pipeline()
    assert list(tmp_path.iterdir()) == []


def test_a_manual_clock_moves_by_its_step() -> None:
    """Reading moves it, `now_ns` does not."""
    clock = ManualClock(100, 10)
    assert [clock.time_ns(), clock.monotonic_ns(), clock.now_ns(), clock.now_ns()] == [110, 120, 120, 120]
    clock.advance(1e-6)
    assert clock.now_ns() == 1120


def test_the_fixture_works_in_a_project_of_its_own(tmp_path: Path) -> None:
    """A user's test file asks for `mlotel_runs` and gets it, with warnings as errors."""
    (tmp_path / "test_mine.py").write_text(
        dedent(
            """
            import mlotel

            @mlotel.component("train")
            def train(table):
                mlotel.current_run().log_metrics({"loss": 0.5})
                return table

            def test_one(mlotel_runs):
                import pyarrow
                train(pyarrow.table({"x": [1]}))
                (run,) = mlotel_runs.runs
                assert run.state == "ok" and run.metrics == {"loss": 0.5}
                assert [a.name for a in run.inputs] == ["table"]

            def test_two(mlotel_runs):
                assert mlotel_runs.runs == []
            """
        )
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "test_mine.py",
    ]
    from importlib.metadata import entry_points

    if not any(point.value == "mlotel.testing" for point in entry_points(group="pytest11")):
        command[3:3] = ["-p", "mlotel.testing"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["test_mine.py"]
