"""Moments beside SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import stats

from mlotel.profiling.moments import Moments

NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=60)


def matches(found: Moments, values: list[float]) -> None:
    """Compare with NumPy and SciPy, as closely as the values' spread allows."""
    array = np.array(values)
    assert found.count == len(values)
    assert (found.min, found.max) == (array.min(), array.max())
    scale = max(1.0, float(np.abs(array).max()))
    assert found.mean == pytest.approx(array.mean(), abs=1e-9 * scale)
    assert found.std == pytest.approx(array.std(), rel=1e-6, abs=1e-8 * scale)
    if array.std() > 1e-3 * scale:
        assert found.skewness == pytest.approx(stats.skew(array), rel=1e-6, abs=1e-6)
        assert found.kurtosis == pytest.approx(stats.kurtosis(array), rel=1e-6, abs=1e-6)


@given(values=NUMBERS)
def test_moments_of_an_array_are_scipys(values: list[float]) -> None:
    """Population moments: scipy.stats.skew and kurtosis as they are by default."""
    assume(values)
    matches(Moments.of(values), values)


@pytest.mark.parametrize("count", [65_535, 65_536, 65_537, 200_000])
def test_moments_of_large_arrays_are_scipys(count: int) -> None:
    """They are computed in blocks, which does not show."""
    matches(Moments.of(values := np.random.default_rng(3).gamma(2.0, size=count) + 1e4), list(values))


@given(parts=st.lists(NUMBERS, min_size=1, max_size=6))
@example(parts=[[1.0], [1.0], []])
def test_merged_moments_are_those_of_the_whole(parts: list[list[float]]) -> None:
    """However the values are cut into parts, empty ones too, the moments are those of all of them."""
    values = [value for part in parts for value in part]
    assume(values)
    merged = Moments()
    for part in parts:
        merged = merged.merge(Moments.of(part))
    matches(merged, values)


@given(one=NUMBERS, other=NUMBERS)
def test_merging_knows_no_order(one: list[float], other: list[float]) -> None:
    """One merged with the other is the other merged with the one."""
    assume(one and other)
    a, b = Moments.of(one), Moments.of(other)
    for name in ("count", "min", "max"):
        assert getattr(a.merge(b), name) == getattr(b.merge(a), name)
    for name in ("mean", "m2", "m3", "m4"):
        x, y = getattr(a.merge(b), name), getattr(b.merge(a), name)
        assert x == pytest.approx(y, rel=1e-9, abs=1e-9 * max(abs(v) + 1 for v in one + other) ** 4)


def test_what_is_not_defined_is_nan() -> None:
    """No values have no mean; equal values have no skewness, whatever rounding makes of their mean."""
    empty = Moments.of([])
    assert empty.count == 0
    assert all(math.isnan(x) for x in (empty.mean, empty.std, empty.min, empty.max, empty.skewness, empty.kurtosis))
    for values in ([3.0], [0.1] * 7, [1e300] * 3, [5e-324] * 3):
        equal = Moments.of(values)
        assert math.isnan(equal.skewness)
        assert math.isnan(equal.kurtosis)


def test_infinite_values_make_no_noise() -> None:
    """Extremes and mean are NumPy's, deviations are not defined."""
    found = Moments.of([1.0, math.inf]).merge(Moments.of([2.0]))
    assert (found.count, found.min, found.max) == (3, 1.0, math.inf)
    assert math.isnan(found.std)
    assert math.isnan(found.skewness)


@given(one=st.lists(st.floats(allow_nan=False), max_size=5), other=st.lists(st.floats(allow_nan=False), max_size=5))
def test_no_numbers_are_too_large(one: list[float], other: list[float]) -> None:
    """What overflows is infinite or not defined; nothing raises."""
    merged = Moments.of(one).merge(Moments.of(other))
    assert all(isinstance(x, float) for x in (merged.mean, merged.std, merged.skewness, merged.kurtosis))
