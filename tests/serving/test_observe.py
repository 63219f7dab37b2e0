"""Whatever form rows come in, they are counted in the bins in which `bisect` and a dict put them."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from collected import Exported
from hypothesis import given, settings
from hypothesis import strategies as st

from mlotel.drift import NumericBins, Reference
from mlotel.serving import Monitor

FEATURES = ["amount", "count", "colour", "member"]


def expected(reference: Reference, rows: list[dict[str, Any]], feature: str) -> list[int]:
    """The counts, one value after the other."""
    bins = reference.feature(feature).bins
    counts = [0] * bins.size
    for row in rows:
        value = row.get(feature)
        if value is None or value != value:
            counts[bins.missing] += 1
        elif isinstance(bins, NumericBins):
            counts[bisect_left(bins.edges, value)] += 1
        else:
            text = str(value).lower() if isinstance(value, bool) else value
            counts[bins.categories.index(text) if text in bins.categories else bins.other] += 1
    return counts


def rows_of(table: pa.Table, number: int) -> list[dict[str, Any]]:
    return table.select(FEATURES).slice(0, number).to_pylist()


FORMS: dict[str, Callable[[list[dict[str, Any]]], list[Any]]] = {
    "dicts": lambda rows: list(rows),
    "tuples": lambda rows: [tuple(row.values()) for row in rows],
    "lists": lambda rows: [list(row.values()) for row in rows],
    "arrays": lambda rows: [np.array(list(row.values()), object) for row in rows],
    "arrays of numbers": lambda rows: [
        np.array([np.nan if row["amount"] is None else row["amount"], row["count"]]) for row in rows
    ],
    "a list of dicts": lambda rows: [rows],
    "a list of tuples": lambda rows: [[tuple(row.values()) for row in rows]],
    "an array of two dimensions": lambda rows: [np.array([list(row.values()) for row in rows], object)],
    "arrays of one row": lambda rows: [np.array([list(row.values())], object) for row in rows],
    "a dict of columns": lambda rows: [{name: [row[name] for row in rows] for name in FEATURES}],
    "Arrow": lambda rows: [pa.Table.from_pylist(rows)],
    "pandas": lambda rows: [pd.DataFrame(rows)],
    "rows of pandas": lambda rows: [row for _, row in pd.DataFrame(rows).iterrows()],
    "polars": lambda rows: [pl.DataFrame(rows)],
}


@pytest.mark.parametrize("number", [1, 7, 300])
@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_rows_are_counted_alike(
    form: str, number: int, table: pa.Table, reference: Reference, exported: Exported
) -> None:
    """One row or many, by name or by place, of whatever library: each value is in its bin."""
    numbers = form == "arrays of numbers"
    if numbers:
        reference = replace(reference, features=reference.features[:2])
    monitor, rows = Monitor(reference), rows_of(table, number)

    for each in FORMS[form](rows):
        monitor.observe(each)

    for feature in FEATURES[:2] if numbers else FEATURES:
        assert exported.bins(feature) == expected(reference, rows, feature), feature
    assert monitor.counts().rows == number


@pytest.mark.parametrize("rows", [3, 65, 2_047, 2_048, 70_000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_arrays_of_numbers_are_counted_exactly(rows: int, dtype: type, exported: Exported) -> None:
    """Blocks of all sizes and dtypes have the counts of `numpy.searchsorted`, infinities and NaN included."""
    rng = np.random.default_rng(rows)
    then = pa.table({"a": rng.normal(size=1_000), "b": rng.integers(0, 4, 1_000), "c": rng.exponential(size=1_000)})
    reference = Reference.fit(then, model="m", version="1")
    values = (rng.normal(size=(rows, 3)) * 2).astype(dtype)
    if dtype != np.int16:
        values[0] = [np.nan, np.inf, -np.inf]

    Monitor(reference).observe(values)

    for place, feature in enumerate(reference.features):
        column = values[:, place].astype(float)
        bins = np.searchsorted(feature.bins.edges, column)
        bins[np.isnan(column)] = feature.bins.missing
        assert exported.bins(feature.name) == np.bincount(bins, minlength=feature.bins.size).tolist()


VALUES = st.one_of(
    st.none(), st.floats(), st.integers(-10, 10), st.booleans(), st.text(max_size=3), st.just([1, 2]), st.just(b"\xff"),
    st.just(10**400), st.dates(),
)  # fmt: skip


@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), max_size=20))
@settings(max_examples=40)
def test_whatever_a_row_holds_it_is_counted_once_for_each_feature(
    reference: Reference, rows: list[tuple[Any, ...]]
) -> None:
    """Values of any type are in one bin each, and none of them raises."""
    monitor = Monitor(reference)
    before = monitor.counts()

    for row in rows:
        monitor.observe((0.5, *row[1:]))
        monitor.observe({"amount": 0.5, "count": row[1], "colour": row[2], "member": row[3]})

    after = monitor.counts()
    assert after.rows - before.rows == 2 * len(rows)
    assert {sum(each.counts) for name, each in after.features.items() if name != "prediction"} == {after.rows}


class Stops:
    """A number that raises what ends a loop."""

    def __float__(self) -> float:
        raise StopIteration


@pytest.mark.parametrize("odd", [None, "text", 10**400, "nothing"])
@pytest.mark.parametrize("form", ["dicts", "tuples"])
def test_odd_values_cost_no_other_row_of_their_block(
    form: str, odd: Any, table: pa.Table, reference: Reference, exported: Exported
) -> None:
    """At the beginning of a block that is counted at once, at its end, and several in a row: each is missing."""
    rows, told = rows_of(table, 700), rows_of(table, 700)
    for place in (0, 1, 17, 18, 19, 255, 256, 699):
        told[place]["count"] = None
        rows[place]["count"] = odd
        if odd == "nothing" and form == "dicts":
            del rows[place]["count"]
    monitor = Monitor(reference)

    for each in FORMS[form](rows):
        monitor.observe(each)

    for feature in FEATURES:
        assert exported.bins(feature) == expected(reference, told, feature), feature


def test_a_value_that_ends_loops_ends_none_of_ours(reference: Reference, exported: Exported) -> None:
    """What raises StopIteration when it is made a number is dropped with what waits beside it, and counted."""
    monitor = Monitor(reference)
    monitor.observe((0.5, 1, "red", True))
    monitor.observe((0.5, Stops(), "red", True))
    monitor.observe((0.5, 1, "red", True))
    dropped = [point.value for point in exported.points("mlotel.telemetry.dropped")]
    monitor.observe((0.5, 1, "red", True))

    assert monitor.counts().rows + dropped[0] == 4
    assert dropped[0] >= 1


@pytest.mark.parametrize("edges", [255, 256, 999])
def test_features_of_very_many_bins(edges: int, exported: Exported) -> None:
    """A feature that has more bins than fit a byte is counted in the right ones, by rows and by blocks of them."""
    fitted = Reference.fit(pa.table({"x": [0.0, 1.0] * 300}), model="m", version="1")
    bins = NumericBins(tuple(map(float, range(edges))))
    feature = replace(fitted.features[0], bins=bins, counts=(1,) * bins.size)
    monitor = Monitor(replace(fitted, features=(feature,)))
    values = [float(value) for value in range(-1, edges + 2)]

    for value in values:
        monitor.observe((value,))
    monitor.observe(np.array(values).reshape(-1, 1))

    assert exported.bins("x") == [
        2 * sum(bisect_left(bins.edges, v) == place for v in values) for place in range(bins.size)
    ]


@pytest.mark.parametrize(
    ("value", "bin_"),
    [(Decimal("1.5"), 2), (np.float32(0.5), 1), (True, 1), ("2", 3), (None, 3), (math.nan, 3), (math.inf, 2)],
)
def test_numbers_of_all_kinds_are_counted_and_texts_are_missing(value: object, bin_: int, exported: Exported) -> None:
    """What Python takes for a number is one; a text, even of digits, is none of the feature's kind."""
    reference = Reference.fit(pa.table({"x": [0.0] * 500 + [1.0] * 500}), model="m", version="1")
    monitor = Monitor(reference)

    monitor.observe((value,))

    edges = list(reference.features[0].bins.edges)  # type: ignore[union-attr]
    number = None if bin_ == 3 else float(value)  # type: ignore[arg-type]
    place = len(edges) + 1 if number is None else bisect_left(edges, number)
    assert exported.bins("x").index(1) == place


def test_dates_are_seconds_since_the_epoch(exported: Exported) -> None:
    """A date in a row lies in the bin of its seconds, as in a table."""
    days = pa.table({"day": pa.array([date(2024, 1, 1 + i % 28) for i in range(600)])})
    reference = Reference.fit(days, kinds={"day": "numeric"}, features=["day"], model="m", version="1")
    monitor = Monitor(reference)

    monitor.observe((date(2024, 1, 15),))
    one = exported.bins("day")
    monitor.observe(pa.table({"day": [date(2024, 1, 15)]}))

    assert exported.bins("day") == [2 * count for count in one]
    assert sum(one) == 1


def test_what_a_row_lacks_is_missing(reference: Reference, exported: Exported) -> None:
    """A key that a dict has not, and a column that a table has not, count as missing; others are left alone."""
    monitor = Monitor(reference)

    monitor.observe({"amount": 1.0, "count": 2, "member": True, "request_id": "x"})
    monitor.observe(pa.table({"amount": [1.0], "count": [2], "member": [True], "request_id": ["x"]}))

    missing = reference.feature("colour").bins.missing
    assert exported.bins("colour")[missing] == 2
    assert sum(exported.bins("amount")[:-1]) == 2


def test_columns_may_hold_more_than_the_features(reference: Reference, exported: Exported) -> None:
    """`columns` says what stands where in rows without names; what is no feature is left alone."""
    columns = ["id", "member", "colour", "count", "amount"]
    monitor = Monitor(reference, columns=columns)

    monitor.observe((17, True, "red", 2, 0.5))
    monitor.observe([(18, True, "red", 2, 0.5)])
    monitor.observe(np.array([[19, True, "red", 2, 0.5]] * 100, object))

    for feature, value in {"member": True, "colour": "red", "count": 2, "amount": 0.5}.items():
        assert exported.bins(feature) == expected(reference, [{feature: value}] * 102, feature)


def test_rows_are_copied_when_they_come(reference: Reference, exported: Exported) -> None:
    """A service may use the same list or array for its next request."""
    monitor = Monitor(Reference.fit(pa.table({"x": [0.0, 1.0] * 300}), model="m", version="1"))
    row, array = [0.0], np.array([0.0])

    monitor.observe(row)
    monitor.observe(array)
    row[0] = array[0] = 1.0

    counts = exported.bins("x")
    assert counts[bisect_left(monitor._sheet.features[0].bins.edges, 0.0)] == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answers", "expected_"),
    [
        (["late"], {"late": 1}),
        (["late", "late", "on-time", "never", None], {"late": 2, "on-time": 1, "other": 1, None: 1}),
    ],
)
def test_predictions_are_counted_by_class(
    answers: list[Any], expected_: dict[str | None, int], reference: Reference, exported: Exported
) -> None:
    """Classes of the reference have a series each, all others share one; missing ones have no class."""
    monitor = Monitor(reference, variant="b", component="score")

    for answer in answers:
        monitor.observe((0.5, 1, "red", True), answer if answer is not None else float("nan"))
    monitor.observe([(0.5, 1, "red", True)] * len(answers), answers)
    monitor.observe([(0.5, 1, "red", True)] * 100, (["late"] * 100))

    points = exported.points("mlotel.prediction.count")
    found = {point.attributes.get("mlotel.prediction.class"): point.value for point in points}
    wanted = {key: 2 * value + (100 if key == "late" else 0) for key, value in expected_.items()}
    assert {key: value for key, value in found.items() if value} == wanted
    labels = {key: value for key, value in points[0].attributes.items() if key != "mlotel.prediction.class"}
    assert labels == {
        "mlotel.model.name": "delay",
        "mlotel.model.version": "7",
        "mlotel.component.name": "score",
        "feature_flag.result.variant": "b",
    }
    assert exported.bins("prediction")[:2] == [found["on-time"], found["late"]]


@pytest.mark.parametrize("answer", [0.25, np.float32(0.25), np.array([0.25]), [0.25], np.array([[0.25]])])
def test_a_prediction_may_come_as_models_give_it(answer: Any, exported: Exported) -> None:
    """A number, or an array of one, is one prediction."""
    table = pa.table({"x": np.arange(600.0), "score": np.linspace(0, 1, 600)})
    reference = Reference.fit(table, model="m", version="1")
    monitor = Monitor(reference, prediction="score")

    monitor.observe((3.0,), answer)
    monitor.observe(np.array([[3.0]]), answer)

    bins = reference.feature("score").bins
    assert exported.bins("score")[bins.bin_of(0.25)] == 2  # type: ignore[arg-type]
    assert [point.value for point in exported.points("mlotel.prediction.count")] == [2]


def test_features_and_predictions_may_come_alone(reference: Reference, exported: Exported) -> None:
    """Features without predictions count none, and the other way round."""
    monitor = Monitor(reference)

    monitor.observe((0.5, 1, "red", True))
    monitor.observe(None, ["late", "late"])

    assert sum(exported.bins("amount")) == 1
    assert sum(exported.bins("prediction")) == 2


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ((1.0, 2), "are expected"),
        ({"Amount": 1.0, "colr": 2}, "none of the features: did you mean 'amount'"),
        (np.zeros((3, 9)), r"an array of \(3, 9\): give n × 4"),
        ([(1.0, 2)], "a row of 2 values: give 4"),
        (pa.table({"y": [1]}), "none of the features: it has 'y'"),
        (object(), "not iterable"),
    ],
)
def test_what_is_no_row_is_logged_once_and_counted(
    features: Any, said: str, reference: Reference, exported: Exported, warnings: Callable[[], list[str]]
) -> None:
    """It never raises; one warning says what is wrong, and a counter how often."""
    monitor = Monitor(reference)

    for _ in range(3):
        monitor.observe(features)

    (warning,) = warnings()
    assert re.search(said, warning), warning
    assert [point.value for point in exported.points("mlotel.telemetry.dropped")] == [3]
    assert monitor.counts().rows == 0


def test_as_many_predictions_as_rows(
    reference: Reference, exported: Exported, warnings: Callable[[], list[str]]
) -> None:
    """A batch whose predictions are not one a row says so."""
    Monitor(reference).observe([(0.5, 1, "red", True)] * 3, ["late"] * 2)

    (warning,) = warnings()
    assert "2 predictions for 3 rows: give one a row" in warning
