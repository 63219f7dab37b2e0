"""What differs between two runs, and what of it explains most."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlotel.inspection import difference
from mlotel.inspection._pairs import pairs
from mlotel.model import Artifact, Run

SAME: dict[str, Any] = {
    "vcs.ref.head.revision": "a" * 40,
    "mlotel.vcs.dirty": False,
    "mlotel.code.digest": "blake3:c0de",
    "mlotel.environment.digest": "blake3:9ac4",
    "process.runtime.version": "3.12.1",
    "host.name": "one",
}


def artifact(name: str, content: str | None = "1", direction: str = "input", **fields: Any) -> Artifact:
    digest = None if content is None else f"blake3:{content.encode().hex()}"
    fields = {"digest": digest, "scope": "logical", **fields}
    return Artifact(name, direction, f"{name} {content}", "a" * 32, **fields)


def made(
    number: int = 1,
    *,
    params: dict[str, Any] | None = None,
    inputs: tuple[Artifact, ...] = (artifact("features"),),
    attributes: dict[str, Any] | None = None,
    **fields: Any,
) -> Run:
    """A run that has everything recorded; `attributes` replace some, None takes one away."""
    said = {key: value for key, value in {**SAME, **(attributes or {})}.items() if value is not None}
    fields = {"component": "train", "state": "ok", "start_ns": 10**18, "end_ns": 10**18 + 10**9, **fields}
    identity = f"{number:032x}"
    return Run(
        identity,
        fields.pop("component"),
        trace_id=identity,
        span_id=identity[:16],
        params={"depth": 3} if params is None else params,
        inputs=inputs,
        attributes=said,
        **fields,
    )


CASES: list[tuple[str, dict[str, Any], str]] = [
    (
        "nothing",
        {},
        "same inputs, code, parameters, packages and environment; nothing that was recorded explains a difference",
    ),
    (
        "input",
        {"inputs": (artifact("features", "2"),)},
        "same code, parameters, packages and environment; input 'features' differs",
    ),
    (
        "parameter",
        {"params": {"depth": 4}},
        "same inputs, code, packages and environment; parameter 'depth' differs",
    ),
    (
        "input and parameters",
        {"inputs": (artifact("features", "2"),), "params": {"depth": 4, "rate": 0.1}},
        "same code, packages and environment; parameters 'depth' and 'rate' differ, the likeliest explanation; "
        "also input 'features' differs",
    ),
    (
        "schema before parameters",
        {"inputs": (artifact("features", "2", schema_digest="blake3:2"),), "params": {"depth": 4}},
        "same code, packages and environment; input 'features' differs and the schema of 'features' does too, "
        "the likeliest explanation; also parameter 'depth' differs",
    ),
    (
        "code before packages",
        {"attributes": {"mlotel.code.digest": "blake3:2", "mlotel.environment.digest": "blake3:2"}},
        "same inputs, parameters and environment; the component's code differs, the likeliest explanation; "
        "also the installed packages differ",
    ),
    (
        "commit alone",
        {"attributes": {"vcs.ref.head.revision": "b" * 40, "host.name": "two"}},
        "same inputs, parameters and packages; the host differs, the likeliest explanation; "
        "also the commit differs, though not the component's own file",
    ),
    (
        "uncommitted",
        {"attributes": {"mlotel.vcs.dirty": True, "mlotel.code.digest": None}},
        "same inputs, parameters, packages and environment; uncommitted changes to the code may differ; "
        "nothing that was recorded explains a difference",
    ),
    (
        "not recorded",
        {"params": {}, "inputs": (), "attributes": dict.fromkeys(SAME)},
        "parameter 'depth' differs, the likeliest explanation; also input 'features' is not read any more; "
        "not recorded: code, packages and environment",
    ),
    (
        "two components",
        {"component": "evaluate"},
        "these are runs of two components; same inputs, code, parameters, packages and environment; "
        "nothing that was recorded explains a difference",
    ),
    (
        "another input",
        {"inputs": (artifact("features"), artifact("weather", "2"))},
        "same code, parameters, packages and environment; input 'weather' is read in addition",
    ),
    (
        "no digest",
        {"inputs": (artifact("features", None),)},
        "same code, parameters, packages and environment; input 'features' cannot be compared; "
        "nothing that was recorded explains a difference",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_likeliest_explanation_comes_first(changes: dict[str, Any], sentence: str) -> None:
    """What seldom changes explains more than what changes each time; what is the same is said, and what is unknown."""
    before = made(
        1, inputs=(artifact("features", schema_digest="blake3:1"),) if "schema" in sentence else made().inputs
    )
    text = difference(before, made(2, **changes)).verdict.text

    assert text == sentence


def test_runs_of_which_nothing_was_recorded() -> None:
    """That nothing differs is not said where nothing is known."""
    bare: dict[str, Any] = {"params": {}, "inputs": (), "attributes": dict.fromkeys(SAME)}

    assert difference(made(1, **bare), made(2, **bare)).verdict.text == (
        "not recorded: inputs, code, parameters and 2 more; nothing that was recorded explains a difference"
    )


def test_a_run_beside_itself() -> None:
    """It says so, and no part has anything in it."""
    run = made(metrics={"rmse": math.nan}, params={"gap": math.nan})
    found = difference(run, run)

    assert found.verdict.text == "both are the same run"
    assert not any(getattr(found, part) for part in found.__slots__ if part not in ("before", "after", "verdict"))


@pytest.mark.parametrize(("before", "after"), [(10.0, 12.5), (-4, 2), (3, 3.5), (1e-300, 2e-300), (0.1, 0.3)])
def test_a_metric_has_its_change(before: float, after: float) -> None:
    """Absolute and relative, as NumPy has them."""
    (change,) = difference(made(1, metrics={"rmse": before}), made(2, metrics={"rmse": after})).metrics

    assert (change.key, change.before, change.after) == ("rmse", before, after)
    np.testing.assert_allclose(change.absolute, np.subtract(after, before), rtol=1e-12)
    np.testing.assert_allclose(change.relative, np.diff([before, after])[0] / np.abs(before), rtol=1e-12)


@pytest.mark.parametrize(("before", "after"), [(-1.6e-15, 0.595), (1e-300, 1e300), (2e-17, -3)])
def test_what_is_zero_but_for_rounding_has_no_relative_change(before: float, after: float) -> None:
    """A share of it would be a number of fifteen digits that says nothing."""
    (change,) = difference(made(1, metrics={"skew": before}), made(2, metrics={"skew": after})).metrics

    assert (change.absolute, change.relative) == (pytest.approx(after), None)


@pytest.mark.parametrize(
    ("before", "after"),
    [(0, 1), (None, 1.0), (1.0, None), (math.nan, 1.0), (1.0, math.inf), (math.inf, -math.inf), (10**400, 1.5)],
)
def test_a_change_that_is_no_number_is_told_without_one(before: float | None, after: float | None) -> None:
    """From zero there is no relative change; from nothing, NaN or infinity there is none at all."""
    sides = [{} if value is None else {"auc": value} for value in (before, after)]
    (change,) = difference(made(1, metrics=sides[0]), made(2, metrics=sides[1])).metrics

    assert change.relative is None
    assert change.absolute == (1 if before == 0 else None)


@pytest.mark.parametrize(
    ("before", "after", "differs"), [(1, 1.0, False), (1, True, True), ("1", 1, True), (0, False, True)]
)
def test_values_of_parameters_are_told_apart(before: object, after: object, differs: bool) -> None:
    """A number is the same in both its forms; a boolean and a text are none."""
    found = difference(made(1, params={"x": before}), made(2, params={"x": after}))

    assert bool(found.params) is differs
    assert ("parameter 'x' differs" in found.verdict.text) is differs


def test_each_part_lists_its_differences() -> None:
    """Outcome, code, schema, statistics, predictions, use of time and memory, environment."""
    schema = {"schema_digest": "blake3:1", "rows": 10, "columns": 2, "missing": 0}
    before = made(
        1,
        inputs=(artifact("features", **schema),),
        version="1",
        attributes={"mlotel.run.memory.peak": 100, "mlotel.prediction.mean": 1.0, "mlotel.prediction.count": 4},
    )
    after = made(
        2,
        inputs=(artifact("features", "2", **{**schema, "schema_digest": "blake3:2", "rows": 15, "missing": 3}),),
        version="2",
        state="failed",
        end_ns=10**18 + 3 * 10**9,
        error={"type": "ValueError", "message": "no"},
        attributes={
            "mlotel.run.memory.peak": 150,
            "mlotel.prediction.mean": 2.0,
            "mlotel.prediction.count": 4,
            "process.runtime.version": "3.13.0",
            "mlotel.prediction.class.names": ("late",),
            "mlotel.prediction.class.counts": (4,),
        },
    )
    found = difference(before, after)

    def told(part: str) -> list[tuple[object, ...]]:
        return [(each.key, each.before, each.after) for each in getattr(found, part)]

    assert told("outcome") == [("state", "ok", "failed"), ("error", None, "ValueError"), ("message", None, "no")]
    assert told("code") == [("version", "1", "2")]
    assert told("schemas") == [("input features", "blake3:1", "blake3:2")]
    assert told("statistics") == [("input features rows", 10, 15), ("input features missing", 0, 3)]
    assert told("predictions") == [("mean", 1.0, 2.0), ("class late", None, 4)]
    assert told("usage") == [("duration", 1.0, 3.0), ("peak memory", 100, 150)]
    assert told("environment") == [("python", "3.12.1", "3.13.0")]
    assert [(pair.kind, pair.name) for pair in found.inputs] == [("content", "features")]
    assert (found.packages, found.params, found.metrics, found.outputs) == ((), (), (), ())


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ([artifact("x")], [artifact("x")], ["same"]),
        ([artifact("x")], [artifact("x", "2")], ["content"]),
        ([artifact("x")], [artifact("y")], ["name"]),
        ([artifact("x")], [artifact("y", "2")], ["removed", "added"]),
        ([artifact("x", None)], [artifact("x", None)], ["unknown"]),
        ([artifact("x")], [artifact("x", digest="sha256:00")], ["unknown"]),
        ([artifact("x")], [artifact("x", "2", scope="bytes")], ["unknown"]),
        ([artifact("x", "1"), artifact("x", "2")], [artifact("x", "2"), artifact("x", "3")], ["same", "content"]),
        ([artifact("x", "1"), artifact("y", "2")], [artifact("x", "2"), artifact("y", "1")], ["content", "content"]),
        ([artifact("x", "1"), artifact("x", "1")], [artifact("x", "1")], ["same", "removed"]),
    ],
)
def test_artifacts_are_told_apart_by_name_and_content(
    before: list[Artifact], after: list[Artifact], kinds: list[str]
) -> None:
    """The same, other content, another name, not to be compared, or on one side alone."""
    assert [pair.kind for pair in pairs(before, after)] == kinds


SIDES = st.lists(
    st.builds(artifact, st.sampled_from(["x", "y", "z"]), st.sampled_from(["1", "2", "3", None])), max_size=8
)


@given(before=SIDES, after=SIDES)
def test_every_artifact_stands_in_one_pair(before: list[Artifact], after: list[Artifact]) -> None:
    """None is lost or told twice; pairs are of a kind that their sides show; as many as can be are the same."""
    found = list(pairs(before, after))

    assert Counter(each.span_id for pair in found if (each := pair.before)) == Counter(each.span_id for each in before)
    assert Counter(each.span_id for pair in found if (each := pair.after)) == Counter(each.span_id for each in after)
    keys = [Counter((each.name, each.digest) for each in side if each.digest) for side in (before, after)]
    assert sum(pair.kind == "same" for pair in found) == sum((keys[0] & keys[1]).values())
    for pair in found:
        one, other = pair.before, pair.after
        if one is None or other is None:
            assert pair.kind == ("added" if one is None else "removed")
        else:
            assert (one.name == other.name) is (pair.kind != "name")
            assert (one.digest == other.digest and one.digest is not None) is (pair.kind in ("same", "name"))
    left = [pair for pair in found if pair.after is None]
    right = [pair for pair in found if pair.before is None]
    assert not {pair.name for pair in left} & {pair.name for pair in right}


@given(before=SIDES, after=SIDES)
def test_the_other_way_round_is_the_same_difference(before: list[Artifact], after: list[Artifact]) -> None:
    """Kinds are counted alike from either side."""
    swapped = {"removed": "added", "added": "removed"}
    there = Counter(pair.kind for pair in pairs(before, after))
    back = Counter(swapped.get(pair.kind, pair.kind) for pair in pairs(after, before))

    assert there == back
