"""Which attempt at the same work a run was, and how that is known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import mlotel
from mlotel.errors import ConfigurationError
from mlotel.inspection import explain
from mlotel.model import Run
from mlotel.testing import CapturedRuns


def run(
    content: bytes | None = b"1",
    error: object = None,
    *,
    component: str = "train",
    pipeline: str | None = None,
    **params: Any,
) -> mlotel.ActiveRun:
    made = mlotel.start_component(component, pipeline=pipeline, params=params)
    if content is not None:
        made.log_input(content, "data")
    made.end(error)  # type: ignore[arg-type]
    return made


def read(runs: CapturedRuns, run_id: str) -> Run:
    return next(each for each in runs.store.find_runs(run_id) if each.run_id == run_id)


def answer(runs: CapturedRuns, made: mlotel.ActiveRun) -> tuple[int | None, str, list[str]]:
    found = explain(runs.store, read(runs, made.run_id), runs.clock.now_ns()).attempts
    return found.number, found.judged_by, [each.run_id for each in found.earlier]


def test_failed_runs_of_the_same_work_count(mlotel_runs: CapturedRuns) -> None:
    """In any trace, with the same inputs and parameters, whether they failed or were stopped, in order of time."""
    first = run(error="no", depth=3)
    second = run(error=KeyboardInterrupt(), depth=3)
    third = run(depth=3)

    assert answer(mlotel_runs, first) == (1, "inputs and parameters", [])
    assert answer(mlotel_runs, third) == (3, "inputs and parameters", [first.run_id, second.run_id])


@pytest.mark.parametrize(
    "other",
    [{"content": b"2"}, {"depth": 4}, {"depth": True}, {"component": "other"}, {"pipeline": "p"}, {"rate": 0.5}],
)
def test_other_work_does_not_count(mlotel_runs: CapturedRuns, other: dict[str, Any]) -> None:
    """Another input, parameter, component or pipeline."""
    run(error="no", **{"depth": 1, **other})
    last = run(depth=1)

    assert answer(mlotel_runs, last) == (1, "inputs and parameters", [])


def test_what_failed_before_it_had_read_everything_counts(mlotel_runs: CapturedRuns) -> None:
    """Its inputs are some of those of the later attempt."""
    first = mlotel.start_component("join")
    first.log_input(b"left", "left")
    first.end("no")
    second = mlotel.start_component("join")
    second.log_input(b"left", "left")
    second.log_input(b"right", "right")
    second.end()

    assert answer(mlotel_runs, second) == (2, "inputs and parameters", [first.run_id])


def test_a_run_that_ended_ok_begins_the_count_anew(mlotel_runs: CapturedRuns) -> None:
    """What failed before the same work was done once was an attempt at that."""
    run(error="no")
    run()
    failed = run(error="no")
    last = run()

    assert answer(mlotel_runs, last) == (2, "inputs and parameters", [failed.run_id])


def test_a_run_that_still_runs_is_no_failed_attempt(mlotel_runs: CapturedRuns) -> None:
    """Two may be at the same work at once."""
    other = mlotel.start_component("train")
    other.log_input(b"1", "data")
    last = run()

    assert answer(mlotel_runs, last) == (1, "inputs and parameters", [])
    other.end()


def test_within_a_trace_nothing_else_is_needed(mlotel_runs: CapturedRuns) -> None:
    """A component without inputs and parameters that failed under the same parent is tried again."""
    with mlotel.component("pipeline"):
        first, second = run(None, "no", component="fetch"), run(None, component="fetch")
    alone = run(None, component="fetch")

    assert answer(mlotel_runs, second) == (2, "trace", [first.run_id])
    assert answer(mlotel_runs, alone) == (None, "none", [])


def test_missing_numbers_are_the_same_parameter(mlotel_runs: CapturedRuns) -> None:
    """NaN, which is not equal to itself, is a usual default."""
    first, second = run(error="no", missing=float("nan")), run(missing=float("nan"))

    assert answer(mlotel_runs, second)[2] == [first.run_id]


def test_an_orchestrator_knows_better(mlotel_runs: CapturedRuns) -> None:
    """The attempt and the time of waiting that it told stand on the run and are believed."""
    failed = run(error="no")
    last = mlotel.start_component("train", attempt=4, queue_time=timedelta(seconds=12.5))
    last.log_input(b"1", "data")
    last.end()

    stored = read(mlotel_runs, last.run_id)
    assert answer(mlotel_runs, last) == (4, "attribute", [failed.run_id])
    assert explain(mlotel_runs.store, stored).queue_s == 12.5
    assert (stored.attributes["mlotel.run.attempt"], stored.attributes["mlotel.run.queue.time"]) == (4, 12.5)


@pytest.mark.parametrize("said", [{"attempt": 0}, {"attempt": True}, {"attempt": "2"}, {"queue_time": 12.5}])
def test_what_is_no_attempt_or_time_is_refused(said: dict[str, Any]) -> None:
    """The message says what to write."""
    with pytest.raises(ConfigurationError, match=r"must be an? "):
        mlotel.start_component("train", **said)


def test_a_run_tells_its_waiting_itself(mlotel_runs: CapturedRuns) -> None:
    """By the attribute's name, also where no orchestrator started it."""
    with mlotel.component("train") as made:
        made.set_attributes({"mlotel.run.queue.time": 3})

    stored = read(mlotel_runs, made.run_id)
    assert explain(mlotel_runs.store, stored).queue_s == 3.0


def test_the_place_in_the_trace(mlotel_runs: CapturedRuns) -> None:
    """The run that it was started within, and those that were started within it, the earliest first."""
    with mlotel.component("pipeline") as outer:
        inner = [run(component=name) for name in ("one", "two", "three")]

    stored = read(mlotel_runs, outer.run_id)
    assert [each.run_id for each in explain(mlotel_runs.store, stored).children] == [each.run_id for each in inner]
    child = read(mlotel_runs, inner[0].run_id)
    parent = explain(mlotel_runs.store, child).parent
    assert parent is not None
    assert (parent.run_id, explain(mlotel_runs.store, stored).parent) == (outer.run_id, None)
