"""Bins and counting beside NumPy, pandas and Arrow."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlotel.columnar import _casts_views
from mlotel.drift import CategoricalBins, NumericBins, Reference
from mlotel.drift.columns import as_floats, family

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
EDGES = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=12, unique=True).map(sorted).map(tuple)
TEXTS = st.lists(st.none() | st.sampled_from(["a", "b", "c", "", "ä", "other"]), max_size=60)


@given(edges=EDGES.filter(len), values=st.lists(st.none() | FLOATS, max_size=80))
@example(edges=(0.0,), values=[-0.0, 0.0, 5e-324, -5e-324])
def test_numbers_are_counted_as_pandas_cuts_them(edges: tuple[float, ...], values: list[float | None]) -> None:
    """Intervals are closed on the right, as `pandas.cut` makes them, with all below and all above."""
    present = np.array([x for x in values if x is not None and not math.isnan(x)])
    # Infinite bounds on both sides would leave −inf out: intervals of pandas are open on the left
    codes = np.searchsorted(np.array(edges), present, side="left")
    inside = (present > edges[0]) & (present <= edges[-1])
    cut = pd.cut(pd.Series(present[inside]), list(edges), labels=False) if len(edges) > 1 and inside.any() else []
    assert list(codes[inside]) == [code + 1 for code in cut]
    expected = [*np.bincount(codes, minlength=len(edges) + 1), len(values) - present.size]

    assert NumericBins(edges).count(pa.array(values, pa.float64())).tolist() == expected


@given(edges=EDGES, values=st.lists(st.none() | FLOATS, max_size=40))
@settings(max_examples=60)
def test_one_number_lies_where_it_is_counted(edges: tuple[float, ...], values: list[float | None]) -> None:
    """The bins of single values, counted by Python, are those of the column."""
    bins = NumericBins(edges)
    counted = Counter(map(bins.bin_of, values))
    assert bins.count(pa.array(values, pa.float64())).tolist() == [counted[place] for place in range(bins.size)]


@given(texts=TEXTS)
@settings(max_examples=60)
def test_categories_are_counted_as_python_counts_them(texts: list[str | None]) -> None:
    """All that is no category is `other`, which no category's name can be mistaken for."""
    counted = Counter(texts)
    expected = [counted["other"], counted["a"], counted["b"] + counted["c"] + counted[""] + counted["ä"], counted[None]]
    bins = CategoricalBins(("other", "a"))
    layouts = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
    for type_ in [*layouts, pa.string_view()] if _casts_views(pa) else layouts:
        assert bins.count(pa.array(texts, pa.string()).cast(type_)).tolist() == expected
    assert [Counter(map(bins.bin_of, texts))[place] for place in range(bins.size)] == expected


@given(
    values=st.lists(st.none() | FLOATS, min_size=1, max_size=60),
    texts=st.data(),
    cut=st.integers(0, 60),
)
@settings(max_examples=40)
def test_counts_of_parts_are_those_of_the_whole(values: list[float | None], texts: Any, cut: int) -> None:
    """Wherever a table is cut, the merged counts of its parts are the whole's, and no order matters."""
    drawn = texts.draw(st.lists(st.sampled_from(["a", "b", None]), min_size=len(values), max_size=len(values)))
    table = pa.table({"x": pa.array(values, pa.float64()), "c": pa.array(drawn, pa.string())})
    reference = Reference.fit(table)
    parts = [reference.counts(table.slice(0, cut)), reference.counts(table.slice(cut))]

    whole = reference.counts(table)
    assert parts[0].merge(parts[1]) == whole
    assert parts[1].merge(parts[0]) == whole
    assert {each.name: each.counts for each in reference.features} == {
        name: each.counts for name, each in whole.features.items()
    }


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        ([1, None, 3], pa.int8(), [1, math.nan, 3]),
        ([2**63], pa.uint64(), [2.0**63]),
        ([1.5, None], pa.float32(), [1.5, math.nan]),
        ([np.float16(1.5), None], pa.float16(), [1.5, math.nan]),
        ([Decimal("1.25"), None], pa.decimal128(5, 2), [1.25, math.nan]),
        ([True, False, None], pa.bool_(), [1, 0, math.nan]),
        ([date(1970, 1, 3), None], pa.date32(), [172_800, math.nan]),
        ([date(1970, 1, 3)], pa.date64(), [172_800]),
        ([datetime(1970, 1, 1, 1, 0, 0, 500_000), None], pa.timestamp("us"), [3600.5, math.nan]),
        ([datetime(1970, 1, 1, 1)], pa.timestamp("ns"), [3600]),
        ([time(0, 1), None], pa.time32("ms"), [60, math.nan]),
        ([time(0, 1)], pa.time64("ns"), [60]),
        ([timedelta(minutes=1), None], pa.duration("s"), [60, math.nan]),
        ([None, None], pa.null(), [math.nan, math.nan]),
        ([1.0, math.nan, None], pa.float64(), [1, math.nan, math.nan]),
    ],
)
def test_types_become_numbers(values: list[Any], type_: pa.DataType, expected: list[float]) -> None:
    """Times are seconds, booleans 0 and 1, null is NaN."""
    np.testing.assert_array_equal(as_floats(pa.array(values, type_)), expected)


def test_numbers_as_categories_are_one_whatever_their_type() -> None:
    """3 is 3.0, as pandas makes of integers among which one is missing; NaN is missing."""
    bins = CategoricalBins(("3", "1.5", "true"))
    assert bins.count(pa.array([3, 4, None])).tolist() == [1, 0, 0, 1, 1]
    assert bins.count(pa.array([3.0, 1.5, math.nan, None])).tolist() == [1, 1, 0, 0, 2]
    assert bins.count(pa.array([True, False])).tolist() == [0, 0, 1, 1, 0]
    assert [bins.bin_of(each) for each in (3, 3.0, np.int32(3), 1.5, True, math.nan, None, pd.NA, pd.NaT)] == [
        0, 0, 0, 1, 2, 4, 4, 4, 4,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        (pa.int64(), "number"),
        (pa.decimal256(50, 2), "number"),
        (pa.float16(), "number"),
        (pa.string_view(), "text"),
        (pa.dictionary(pa.int32(), pa.large_string()), "text"),
        (pa.dictionary(pa.int32(), pa.int64()), "number"),
        (pa.timestamp("ns", "Europe/Berlin"), "instant"),
        (pa.time64("us"), "duration"),
        (pa.bool_(), "boolean"),
        (pa.null(), "nothing"),
        (pa.list_(pa.int64()), None),
        (pa.struct([("a", pa.int8())]), None),
        (pa.binary(), None),
    ],
)
def test_families_of_types(type_: pa.DataType, name: str | None) -> None:
    """Width, unit, zone and encoding make no other family."""
    assert family(type_) == family(f"{type_}") == name


def test_a_quantile_is_a_value_of_the_column() -> None:
    """Of values that are all different, the edges hold NumPy's quantiles of the kind ``inverted_cdf``."""
    values = np.random.default_rng(1).normal(size=5000)
    edges = Reference.fit(pa.table({"x": values})).feature("x").bins.edges
    expected = np.quantile(values, [0.99, *np.arange(1, 20) / 20], method="inverted_cdf")
    assert set(expected) <= set(edges)
    assert edges[0] == np.nextafter(values.min(), -np.inf)
    assert edges[-1] == values.max()


@pytest.mark.parametrize(("rows", "share"), [(5_000, 0.01), (60_000, 0.001)])
def test_the_tails_hold_a_small_share(rows: int, share: float) -> None:
    """Beyond each outer bound lies 1 % of a small reference, and 0.1 % from 50,000 rows on."""
    feature = Reference.fit(pa.table({"x": np.random.default_rng(2).normal(size=rows)})).feature("x")
    assert sum(feature.counts[place] for place in feature.outer) == pytest.approx(2 * share * rows, rel=0.05)
    assert {0, feature.bins.missing - 1} <= set(feature.outer)


def test_an_atom_is_cut_on_both_sides() -> None:
    """A value that many rows have is alone in its bin: mass that moves to beside it is seen."""
    rng = np.random.default_rng(3)
    values = np.where(rng.random(10_000) < 0.5, 0.0, rng.gamma(2.0, size=10_000))
    feature = Reference.fit(pa.table({"x": values})).feature("x")
    assert feature.counts[feature.bins.bin_of(0.0)] == (values == 0).sum()
    assert feature.bins.bin_of(-5e-324) != feature.bins.bin_of(0.0) != feature.bins.bin_of(5e-324)


def test_a_sample_finds_the_edges_and_all_rows_are_counted() -> None:
    """Of very many rows the edges are quantiles of a sample, near those of all; the counts are of all."""
    values = np.random.default_rng(4).normal(size=400_000)
    feature = Reference.fit(pa.table({"x": values})).feature("x")
    assert sum(feature.counts) == values.size
    at = np.searchsorted(np.sort(values), feature.bins.edges, "right") / values.size
    np.testing.assert_allclose(np.cumsum(feature.counts)[: len(feature.bins.edges)], at * values.size)
    for share in np.arange(1, 20) / 20:
        assert np.abs(at - share).min() < 0.01
