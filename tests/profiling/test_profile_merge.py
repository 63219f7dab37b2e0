"""Profiles of parts, merged, are the profile of the whole."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlotel import profile
from mlotel.errors import ArtifactError
from mlotel.profiling import Profile

NUMBERS = st.one_of(
    st.none(),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 6)),
    st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf"), -float("inf")]),
)
ROWS = st.lists(st.tuples(NUMBERS, st.one_of(st.none(), st.text(max_size=5)), st.sampled_from("abc")), max_size=60)


def table_of(rows: list[Any]) -> pa.Table:
    number, text, group = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "number": pa.array(number, pa.float64()),
            "text": pa.array(text, pa.string()),
            "group": pa.array(group, pa.string()),
        }
    )


def cut(rows: list[Any], cuts: list[int]) -> list[list[Any]]:
    ends = [0, *sorted(min(each, len(rows)) for each in cuts), len(rows)]
    return [rows[start:end] for start, end in pairwise(ends)]


@settings(max_examples=60)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=4), seed=st.integers(0, 99))
def test_any_split_in_any_order_merges_into_the_whole(rows: list[Any], cuts: list[int], seed: int) -> None:
    """Counts and extremes equal, moments to 1e-9 of SciPy's; sketches of so few values are exact."""
    parts = [profile(table_of(part), frequent="all") for part in cut(rows, cuts)]
    random.Random(seed).shuffle(parts)
    merged = Profile.merge_all(parts)
    whole = profile(table_of(rows), frequent="all")

    assert (merged.rows, len(merged)) == (len(rows), 3)
    for column in whole:
        found = merged[column.name]
        for name in ("rows", "null", "nan", "zero", "negative", "infinite", "empty", "smallest", "largest"):
            assert getattr(found, name) == getattr(column, name), name
        assert found.distinct == column.distinct
        assert found.frequent(100) == column.frequent(100)
        assert found.quantiles([0, 0.3, 0.5, 1]) == column.quantiles([0, 0.3, 0.5, 1])
    finite = np.array([row[0] for row in rows if row[0] is not None and np.isfinite(row[0])])
    moments = merged["number"].moments
    assert moments is not None
    assert moments.count == finite.size
    if finite.size and finite.std() > 1e-3 * np.abs(finite).max():
        assert moments.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9 * np.abs(finite).max())
        assert moments.std == pytest.approx(finite.std(), rel=1e-9)
        assert moments.skewness == pytest.approx(stats.skew(finite), rel=1e-9, abs=1e-9)
        assert moments.kurtosis == pytest.approx(stats.kurtosis(finite), rel=1e-9, abs=1e-9)


@pytest.fixture(scope="module")
def large() -> pa.Table:
    numbers = np.random.default_rng(4)
    return pa.table(
        {
            "normal": numbers.standard_normal(200_000) * 3 + 100,
            "many": numbers.integers(0, 60_000, 200_000),
            "skewed": (numbers.zipf(1.3, 200_000) % 5_000).astype(str),
        }
    )


@settings(max_examples=3)
@given(cuts=st.lists(st.integers(0, 200_000), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_sketches_of_many_values_keep_their_bounds(large: pa.Table, cuts: list[int], seed: int) -> None:
    """However the rows are split: ranks, distinct counts and frequencies are as close as is stated."""
    ends = [0, *sorted(cuts), large.num_rows]
    parts = [profile(large.slice(start, end - start), frequent="all") for start, end in pairwise(ends)]
    random.Random(seed).shuffle(parts)
    merged = Profile.merge_all(parts)

    normal, many, skewed = (large.column(name).to_numpy() for name in large.column_names)
    column = merged["normal"]
    assert column.rank_error is not None
    for rank, value in zip((0.01, 0.5, 0.9), column.quantiles([0.01, 0.5, 0.9]), strict=True):
        assert (normal <= value).mean() == pytest.approx(rank, abs=1.5 * column.rank_error)
    assert column.moments is not None
    assert column.moments.kurtosis == pytest.approx(stats.kurtosis(normal), rel=1e-9, abs=1e-9)
    distinct = merged["many"].distinct
    assert distinct is not None
    assert distinct.value == pytest.approx(np.unique(many).size, rel=0.07)
    values, counts = np.unique(skewed, return_counts=True)
    truth = dict(zip(values, counts, strict=True))
    for each in merged["skewed"].frequent(20) or ():
        assert each.lower <= truth[each.value] <= each.upper


def test_a_profile_of_nothing_changes_nothing() -> None:
    """`Profile()` is what merging begins with."""
    found = profile(pa.table({"x": [1, 2]}))
    assert Profile().merge(found) is found
    assert found.merge(Profile()) is found
    assert Profile.merge_all([]).rows == 0
    assert not Profile.merge_all([])


def test_merging_changes_neither_side() -> None:
    """Profiles are values."""
    one, other = (
        profile(pa.table({"x": [1, 2], "s": ["a", "b"]}), frequent="all"),
        profile(pa.table({"x": [3], "s": ["c"]}), frequent="all"),
    )
    before = one.document(), other.document()
    one.merge(other)
    assert (one.document(), other.document()) == before


def test_a_part_of_nothing_but_nulls_has_any_type() -> None:
    """Files in which a column happens to be empty are often written so."""
    typed, untyped = profile(pa.table({"x": [1.0, 2.0]})), profile(pa.table({"x": pa.nulls(3)}))
    for merged in (typed.merge(untyped), untyped.merge(typed)):
        assert (merged["x"].type, merged["x"].rows, merged["x"].null, merged["x"].mean) == ("double", 5, 3, 1.5)


def test_what_is_not_one_table_does_not_merge() -> None:
    """Other columns, other types, other groups: the message says which."""
    one = profile(pa.table({"x": [1], "y": [1]}))
    with pytest.raises(ArtifactError, match="column 'y' is in one of two profiles alone"):
        one.merge(profile(pa.table({"x": [1]})))
    with pytest.raises(ArtifactError, match="'x' is of type int64 in one profile and double in the other: cast"):
        one.merge(profile(pa.table({"x": [1.0], "y": [1]})))
    with pytest.raises(ArtifactError, match="one profile is by nothing, the other by 'x'"):
        one.merge(profile(pa.table({"x": [1], "y": [1]}), by="x"))


def test_what_was_not_asked_for_in_one_part_is_not_in_the_whole() -> None:
    """Frequent texts of half the rows would be taken for those of all."""
    table = pa.table({"s": ["a", "b"]})
    merged = profile(table, frequent="all").merge(profile(table))
    assert merged["s"].frequent() is None
