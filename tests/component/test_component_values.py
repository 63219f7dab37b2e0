"""Parameters, metrics and tags that a run logs."""

from __future__ import annotations

import math
from collections.abc import Callable

import blake3
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

import mlotel
from mlotel.testing import CapturedRuns, capture

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)


@settings(max_examples=60, deadline=None)
@given(params=st.dictionaries(st.text("abcdeä.β 1", min_size=1, max_size=8), SCALARS, max_size=32))
def test_parameters_come_back_with_their_types(params: dict[str, object]) -> None:
    """Text, integers, floats and booleans are read back as what they were."""
    with capture() as captured, mlotel.component("a") as run:
        run.log_params(params)
    found = captured.runs[0].params
    assert {key: (type(value), value) for key, value in found.items()} == {
        key: (type(value), value) for key, value in params.items()
    }


def test_the_parameters_digest_is_that_of_their_sorted_json(mlotel_runs: CapturedRuns) -> None:
    """Equal parameters have equal digests, in whatever order and however many calls they come."""
    for calls in ([{"b": 1, "a": "x"}], [{"a": "x"}, {"b": 2}, {"b": 1}]):
        with mlotel.component("a") as run:
            for call in calls:
                run.log_params(call)
    expected = "blake3:" + blake3.blake3(orjson.dumps({"a": "x", "b": 1})).hexdigest()
    assert [run.attributes["mlotel.params.digest"] for run in mlotel_runs.runs] == [expected] * 2


def test_given_parameters_stand_in_the_start_record(mlotel_runs: CapturedRuns) -> None:
    """What is known when the run starts can be read while it runs."""
    with mlotel.component("a", params={"rate": 0.1}):
        assert mlotel_runs.runs[0].params == {"rate": 0.1}
    assert mlotel_runs.runs[0].params == {"rate": 0.1}


def test_more_parameters_than_a_span_takes_never_cost_its_identity(mlotel_runs: CapturedRuns) -> None:
    """32 parameters and metrics and 16 tags stand on the span; the rest is counted, and told."""
    with mlotel.component("a", version="1", pipeline="p") as run:
        run.log_params({f"p{i:03}": i for i in range(500)})
        run.log_metrics({f"m{i:03}": i for i in range(500)})
        for i in range(500):
            run.set_tag(f"t{i:03}", "x")
        run.log_params({"p000": "changed", "p400": "not shown"})
    (read,) = mlotel_runs.runs
    assert (read.component, read.version, read.pipeline, read.run_id) == ("a", "1", "p", run.run_id)
    assert sorted(read.params) == [f"p{i:03}" for i in range(32)]
    assert read.params["p000"] == "changed"
    assert len(read.metrics) == 32
    assert len(read.tags) == 16
    assert read.attributes["mlotel.run.dropped"] == (500 - 32) * 2 + (500 - 16)


def test_the_latest_value_of_a_metric_stands_on_the_run(mlotel_runs: CapturedRuns) -> None:
    """A metric logged in a loop ends with its last value; odd numbers are numbers."""
    with mlotel.component("a") as run:
        for loss in (3.0, 2.0, 1.0):
            run.log_metrics({"loss": loss})
        run.log_metrics({"inf": math.inf, "nan": math.nan, "true": True, "big": 2**80})
    found = dict(mlotel_runs.runs[0].metrics)
    assert math.isnan(found.pop("nan"))
    assert found == {"loss": 1.0, "inf": math.inf, "true": 1.0, "big": 2.0**80}


def test_tags_are_text(mlotel_runs: CapturedRuns) -> None:
    """Whatever the value is; the last one counts."""
    with mlotel.component("a") as run:
        run.set_tag("team", "data")
        run.set_tag("team", "ml")
        run.set_tag("year", 2024)  # type: ignore[arg-type]
    assert mlotel_runs.runs[0].tags == {"team": "ml", "year": "2024"}


def test_keys_of_every_kind_are_kept(mlotel_runs: CapturedRuns, warnings: Callable[[], list[str]]) -> None:
    """Numbers, empty text, half a surrogate pair: a key is text in the end."""
    with mlotel.component("a") as run:
        run.log_params({1: "a", "": "b", "\ud800": "c", "x" * 1000: "d"})  # type: ignore[dict-item]
    assert sorted(mlotel_runs.runs[0].params.values()) == ["a", "b", "c", "d"]
    assert warnings() == []


def test_attributes_of_other_conventions(mlotel_runs: CapturedRuns) -> None:
    """`set_attributes` takes full names."""
    with mlotel.component("a") as run:
        run.set_attributes({"gen_ai.request.model": "m", "n": 3})
    assert mlotel_runs.runs[0].attributes["gen_ai.request.model"] == "m"


def test_calls_after_the_end_do_nothing(mlotel_runs: CapturedRuns, warnings: Callable[[], list[str]]) -> None:
    """A run that has ended takes nothing more, and complains of nothing."""
    run = mlotel.start_component("a")
    run.end()
    run.log_params({"a": 1})
    run.log_metrics({"a": 1})
    run.set_tag("a", "b")
    run.log_predictions([1])
    assert run.log_input(b"x") == b"x"
    (read,) = mlotel_runs.runs
    assert (read.params, read.metrics, read.tags, read.inputs) == ({}, {}, {}, ())
    assert warnings() == []
