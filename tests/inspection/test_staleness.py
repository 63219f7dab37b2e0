"""When an input is stale: told by the run that reads it, and found again by whoever asks later."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import mlotel
from mlotel import _runtime
from mlotel.errors import ConfigurationError
from mlotel.inspection import staleness, staleness_of_all
from mlotel.instruments import Instruments
from mlotel.testing import CapturedRuns, capture

DAY = 86_400.0


def make(content: bytes = b"1", *, component: str = "make", name: str = "data", **settings: Any) -> str:
    with mlotel.component(component, **settings) as run:
        run.log_output(content, name)
    return run.run_id


def use(content: bytes = b"1", **settings: Any) -> str:
    with mlotel.component("use", **settings) as run:
        run.log_input(content, "data")
    return run.run_id


def found(runs: CapturedRuns, run_id: str) -> list[tuple[str, str]]:
    """The reasons and their times, asked for now."""
    (run,) = runs.store.find_runs(run_id)
    return [(each.reason, each.when) for each in staleness(runs.store, run, runs.clock.now_ns())]


def told(runs: CapturedRuns, run_id: str) -> list[dict[str, Any]]:
    """The attributes of the events by which the run told that its inputs were stale."""
    events = [each for each in runs.events if each["eventName"] == "mlotel.artifact.stale"]
    flat = [{one["key"]: next(iter(one["value"].values())) for one in each["attributes"]} for each in events]
    return [each for each in flat if each["mlotel.run.id"] == run_id]


def test_a_fresh_input_is_not_stale(mlotel_runs: CapturedRuns) -> None:
    """Written a day before, by a component that has not run since."""
    make()
    mlotel_runs.clock.advance(DAY)
    run = use()

    assert (found(mlotel_runs, run), told(mlotel_runs, run)) == ([], [])


@pytest.mark.parametrize(("days", "expected"), [(29.9, []), (30.1, [("age", "ran")])])
def test_thirty_days_are_the_limit(mlotel_runs: CapturedRuns, days: float, expected: list[object]) -> None:
    """An input that was written longer ago is stale."""
    make()
    mlotel_runs.clock.advance(days * DAY)
    run = use()

    assert found(mlotel_runs, run) == expected
    assert [each["mlotel.artifact.stale.reason"] for each in told(mlotel_runs, run)] == [each[0] for each in expected]


@pytest.mark.parametrize(
    ("limit", "stale"), [(timedelta(hours=1), True), (timedelta(days=2), False), (timedelta(days=365), False)]
)
def test_a_component_has_its_own_limit(mlotel_runs: CapturedRuns, limit: timedelta, stale: bool) -> None:
    """`stale_after` replaces the thirty days, for the run itself and for those who ask later."""
    make()
    mlotel_runs.clock.advance(DAY)
    run = use(stale_after=limit)

    assert bool(found(mlotel_runs, run)) is bool(told(mlotel_runs, run)) is stale


def test_a_component_may_allow_any_age(mlotel_runs: CapturedRuns) -> None:
    """With None no age makes it stale; a fresher run does."""
    make()
    mlotel_runs.clock.advance(1000 * DAY)
    any_age = use(stale_after=None)
    make(b"2")
    fresher = use(stale_after=None)

    assert found(mlotel_runs, any_age) == [("fresher_run", "since")]
    assert found(mlotel_runs, fresher) == [("fresher_run", "ran")]
    assert (told(mlotel_runs, any_age), len(told(mlotel_runs, fresher))) == ([], 1)


@pytest.mark.parametrize("limit", [timedelta(0), timedelta(days=-1), 30, "30d"])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    """It is a duration above zero; the message says so."""
    with pytest.raises(ConfigurationError, match="stale_after must be a timedelta above 0"):
        mlotel.component("use", stale_after=limit)


def test_the_producer_has_a_fresher_run(mlotel_runs: CapturedRuns) -> None:
    """Reading what an earlier run wrote is stale; the reason names the writer and its latest run, and the age then."""
    first, _, latest = make(b"1"), make(b"2"), make(b"3")
    mlotel_runs.clock.advance(60)
    run = use(b"1")

    (stored,) = mlotel_runs.store.find_runs(run)
    (reason,) = staleness(mlotel_runs.store, stored, mlotel_runs.clock.now_ns())
    (writer,), (later,) = mlotel_runs.store.find_runs(first), mlotel_runs.store.find_runs(latest)
    assert (reason.artifact, reason.span_id, reason.component) == ("data", stored.inputs[0].span_id, "make")
    assert (reason.writer_id, reason.written_ns) == (first, writer.outputs[0].time_ns)
    assert (reason.fresher_id, reason.fresher_ns) == (latest, later.start_ns)
    assert reason.age_ns == stored.start_ns - writer.outputs[0].time_ns > 60 * 10**9


def test_a_run_that_did_not_end_ok_made_nothing_fresher(mlotel_runs: CapturedRuns) -> None:
    """Neither one that failed, nor one that was cancelled, nor one that still runs."""
    make()
    for error in (ValueError("no"), KeyboardInterrupt()):
        run = mlotel.start_component("make")
        run.log_output(b"2", "data")
        run.end(error)
    running = mlotel.start_component("make")
    running.log_output(b"3", "data")
    run = use()

    assert (found(mlotel_runs, run), told(mlotel_runs, run)) == ([], [])
    running.end()
    # it began before the run that reads: now that it has ended ok, that was stale when it ran
    assert found(mlotel_runs, run) == [("fresher_run", "ran")]


def test_the_same_content_again_is_not_fresher(mlotel_runs: CapturedRuns) -> None:
    """A run that wrote what was read is no reason to read something else."""
    with mlotel.component("make") as first:
        first.log_output(b"1", "data")
        headers: dict[str, str] = {}
        first.inject(headers, "data")
    make(b"1")
    with mlotel.component("use") as run:  # by its headers it comes from the first one, by its digest from the second
        run.log_input(b"1", "data", context=mlotel.extract(headers))
    make(b"1")

    (stored,) = mlotel_runs.store.find_runs(run.run_id)
    assert stored.inputs[0].link is not None
    assert stored.inputs[0].link.resolved_by == "header"
    assert (found(mlotel_runs, run.run_id), told(mlotel_runs, run.run_id)) == ([], [])


@pytest.mark.parametrize("other", [{"component": "other"}, {"pipeline": "other"}])
def test_another_component_makes_nothing_fresher(mlotel_runs: CapturedRuns, other: dict[str, str]) -> None:
    """Nor does the component of that name in another pipeline."""
    make(pipeline="p")
    make(b"2", **{"pipeline": "p", **other})
    run = use()

    assert (found(mlotel_runs, run), told(mlotel_runs, run)) == ([], [])


def test_what_came_after_the_run_is_told_apart(mlotel_runs: CapturedRuns) -> None:
    """By its age, or by a run that began after it, an input has become stale since; the run could not know."""
    make()
    run = use()
    make(b"2")
    assert found(mlotel_runs, run) == [("fresher_run", "since")]
    mlotel_runs.clock.advance(31 * DAY)

    assert found(mlotel_runs, run) == [("age", "since"), ("fresher_run", "since")]
    assert told(mlotel_runs, run) == []


def test_a_run_that_goes_on_from_its_own_output_is_not_fresher_than_itself(mlotel_runs: CapturedRuns) -> None:
    """A component that reads what its last run wrote is stale only when the next one has run."""
    make(b"1", component="state")
    with mlotel.component("state") as run:
        run.log_input(b"1", "data")
        run.log_output(b"2", "data")
    assert found(mlotel_runs, run.run_id) == []
    make(b"3", component="state")

    assert found(mlotel_runs, run.run_id) == [("fresher_run", "since")]


def test_both_reasons_stand_in_one_event_and_on_the_read_span(mlotel_runs: CapturedRuns) -> None:
    """The event is a warning, correlated with the read span, which carries reason and age as well."""
    make()
    latest = make(b"2")
    mlotel_runs.clock.advance(40 * DAY)
    run = use()

    (stored,) = mlotel_runs.store.find_runs(run)
    (event,) = told(mlotel_runs, run)
    age = float(event.pop("mlotel.artifact.age"))
    assert 40 <= age / DAY < 40.01
    assert event == {
        "mlotel.run.id": run,
        "mlotel.artifact.name": "data",
        "mlotel.artifact.digest": stored.inputs[0].digest,
        "mlotel.artifact.stale.reason": "age_and_fresher_run",
        "mlotel.artifact.stale.run.id": latest,
    }
    record = next(each for each in mlotel_runs.events if each["eventName"] == "mlotel.artifact.stale")
    assert (record["spanId"], record["traceId"]) == (stored.inputs[0].span_id, stored.trace_id)
    assert record["severityNumber"] == 13
    assert record["body"] == {
        "stringValue": "data was 40 days old, and runs are to read nothing older than 30 days; "
        f"make had a later run than the one that wrote data: {latest}"
    }
    line = next(each for each in mlotel_runs.store.lines if b"age_and_fresher_run" in each and b"resourceSpans" in each)
    assert b'"key":"mlotel.artifact.age"' in line


def test_nothing_is_judged_without_a_known_writer(mlotel_runs: CapturedRuns) -> None:
    """Content that nobody wrote, and a context of a run that this process does not know."""
    strange = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    with mlotel.component("use") as run:
        run.log_input(b"nobody's", "data")
        run.log_input(b"elsewhere", "data", context=mlotel.extract(strange))

    assert (found(mlotel_runs, run.run_id), told(mlotel_runs, run.run_id)) == ([], [])


def test_many_runs_are_judged_at_once(mlotel_runs: CapturedRuns) -> None:
    """By run id, without those that read nothing stale."""
    make()
    fresh = use()
    make(b"2")
    stale = use()
    all_runs = mlotel_runs.store.runs()

    judged = staleness_of_all(mlotel_runs.store, all_runs, mlotel_runs.clock.now_ns())
    assert {run_id: [each.when for each in reasons] for run_id, reasons in judged.items()} == {
        fresh: ["since"],
        stale: ["ran"],
    }


def test_more_later_runs_than_are_asked_for_at_once(mlotel_runs: CapturedRuns) -> None:
    """The fresher run is found behind hundreds that are none, as they belong to another pipeline."""
    with mlotel.component("make") as writer:
        writer.log_output(b"1", "data")
        headers: dict[str, str] = {}
        writer.inject(headers, "data")
    fresher = make(b"2")
    for _ in range(300):
        make(b"3", pipeline="other")
    with mlotel.component("use") as run:
        run.log_input(b"1", "data", context=mlotel.extract(headers))

    (stored,) = mlotel_runs.store.find_runs(run.run_id)
    (reason,) = staleness(mlotel_runs.store, stored, mlotel_runs.clock.now_ns())
    assert (reason.when, reason.fresher_id) == ("ran", fresher)


def test_a_counter_tells_how_many_inputs_were_stale(mlotel_runs: CapturedRuns) -> None:
    """It begins at 0 with the first input that could be judged, and has the component's labels alone."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    runtime = replace(_runtime.current(), instruments=Instruments(provider.get_meter("mlotel")))
    captured = _runtime.install(lambda: runtime)

    def counted() -> dict[tuple[tuple[str, Any], ...], float]:
        data = reader.get_metrics_data()
        metrics = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        points = [
            point for metric in metrics if metric.name == "mlotel.data.stale" for point in metric.data.data_points
        ]
        return {tuple(sorted(point.attributes.items())): point.value for point in points}

    make(pipeline="p")
    before = counted()
    use(pipeline="p")
    fresh = counted()
    make(b"2", pipeline="p")
    use(pipeline="p")
    use(pipeline="p")
    _runtime.install(captured)
    labels = (("cicd.pipeline.name", "p"), ("mlotel.component.name", "use"))
    assert (before, fresh, counted()) == ({}, {labels: 0}, {labels: 2})
    provider.shutdown()


# --- any history: what the list of all runs says, computed as plainly as can be


@dataclass
class Past:
    """One run as the test knows it."""

    run: mlotel.ActiveRun
    component: str
    pipeline: str | None
    began: int
    ended_ok: int | None = None
    wrote: dict[bytes, int] = field(default_factory=dict)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("make"),
            st.sampled_from([b"1", b"2"]),
            st.sampled_from([("make", None), ("make", None), ("make", "p"), ("other", None)]),
            st.sampled_from(["end", "end", "fail", "go on"]),
        ),
        st.tuples(st.just("use"), st.sampled_from([b"1", b"2"])),
        st.tuples(st.just("end"), st.sampled_from(["end", "fail"])),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 10, 40])),
    ),
    min_size=6,
    max_size=30,
)


class History:
    """Runs as they are made, beside what the test itself notes of them."""

    def __init__(self, runs: CapturedRuns) -> None:
        self.runs = runs
        self.past: list[Past] = []

    def make(self, content: bytes, who: tuple[str, str | None], how: str) -> None:
        run = mlotel.start_component(who[0], pipeline=who[1])
        self.past.append(Past(run, *who, run._start_ns))
        run.log_output(content, "data")
        self.past[-1].wrote[content] = self.runs.clock.now_ns()
        self.end(self.past[-1], how)

    def end(self, one: Past, how: str) -> None:
        if how != "go on":
            one.run.end("it failed" if how == "fail" else None)
            one.ended_ok = self.runs.clock.now_ns() if how == "end" else None

    def writer(self, content: bytes) -> Past | None:
        writers = [each for each in self.past if content in each.wrote]
        return max(writers, key=lambda each: each.wrote[content], default=None)

    def fresher(self, writer: Past, content: bytes) -> list[int]:
        """When the runs began that made anew what the writer wrote, of all those until now."""
        return [
            each.began
            for each in self.past
            if (each.component, each.pipeline) == (writer.component, writer.pipeline)
            and each.began > writer.began
            and each.ended_ok is not None
            and content not in each.wrote
        ]


@given(steps=STEPS)
def test_any_history(steps: list[tuple[Any, ...]]) -> None:
    """The run and a later question say what follows from the list of all runs, read one by one."""
    limit = 30 * DAY * 1e9
    with capture() as runs:
        history = History(runs)
        reads: list[tuple[str, int, bytes, Past, set[str]]] = []
        for what, *how in steps:
            if what == "make":
                history.make(*how)
            elif what == "wait":
                runs.clock.advance(how[0] * DAY)
            elif what == "end":
                for one in [each for each in history.past if not each.run.ended][:1]:
                    history.end(one, how[0])
            elif (writer := history.writer(how[0])) is not None:
                run_id = use(how[0])
                (stored,) = runs.store.find_runs(run_id)
                expected = {"age"} if stored.start_ns - writer.wrote[how[0]] > limit else set()
                expected |= {"fresher_run"} if history.fresher(writer, how[0]) else set()
                reads.append((run_id, stored.start_ns, how[0], writer, expected))

        now = runs.clock.now_ns()
        for run_id, began, content, writer, expected in reads:
            events = [each["mlotel.artifact.stale.reason"] for each in told(runs, run_id)]
            assert events == (["_and_".join(sorted(expected))] if expected else [])
            written = writer.wrote[content]
            ages = ["ran"] if began - written > limit else ["since"] if now - written > limit else []
            whens = sorted({"ran" if each < began else "since" for each in history.fresher(writer, content)})
            assert found(runs, run_id) == [("age", when) for when in ages] + [
                ("fresher_run", when) for when in whens[:1]
            ]
