"""Distances beside SciPy's, of the counts or of the values themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mlotel.drift import CategoricalBins, Histogram, NumericBins, Reference, compare
from mlotel.drift._distances import DISTANCES, ks_bound

COUNTS = st.lists(st.integers(0, 50), min_size=5, max_size=5).map(tuple).filter(any)
EDGES = (0.0, 1.0, 1.5, 4.0)


def both(r: tuple[int, ...], c: tuple[int, ...]) -> tuple[Histogram, Histogram]:
    bins = CategoricalBins(("a", "b", "c"))
    return Histogram(bins, r), Histogram(bins, c)


@given(r=COUNTS, c=COUNTS)
def test_jensen_shannon_is_scipys(r: tuple[int, ...], c: tuple[int, ...]) -> None:
    """The distance, of natural logarithms, as `scipy.spatial.distance.jensenshannon` has it by default."""
    found = DISTANCES["jensen_shannon"](*both(r, c))
    expected = jensenshannon(r, c)
    assert found == pytest.approx(0.0 if np.isnan(expected) else expected, abs=1e-7)


@given(r=COUNTS, c=COUNTS)
def test_hellinger_and_the_largest_difference(r: tuple[int, ...], c: tuple[int, ...]) -> None:
    """Hellinger's is the Euclidean distance of the roots over √2; L∞ that of the shares under the maximum norm."""
    p, q = np.array(r) / sum(r), np.array(c) / sum(c)
    assert DISTANCES["hellinger"](*both(r, c)) == pytest.approx(
        np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2), abs=1e-9
    )
    assert DISTANCES["l_infinity"](*both(r, c)) == pytest.approx(np.linalg.norm(p - q, np.inf))


@given(
    one=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.2, 4.0, 9.0]), min_size=1, max_size=30),
    other=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.2, 4.0, 9.0]), min_size=1, max_size=30),
)
def test_kolmogorov_smirnov_lies_between_its_bounds(one: list[float], other: list[float]) -> None:
    """SciPy's statistic of the values is no less than the binned one, and no more than its upper bound."""
    bins = NumericBins(EDGES)
    then, now = (Histogram(bins, tuple(bins.count(pa.array(values)).tolist())) for values in (one, other))
    places = np.unique([*one, *other])  # as stats.ks_2samp, which warns of so few values
    exact = np.abs(stats.ecdf(one).cdf.evaluate(places) - stats.ecdf(other).cdf.evaluate(places)).max()
    lower, upper = DISTANCES["ks"](then, now), ks_bound(then, now)
    assert lower is not None
    assert upper is not None
    assert lower - 1e-12 <= exact <= upper + 1e-12


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
def test_wasserstein_is_near_that_of_the_values(shift: float) -> None:
    """Of 20 bins, W₁ is within some hundredths of a deviation of what `scipy.stats.wasserstein_distance` finds."""
    rng = np.random.default_rng(8)
    one, other = rng.normal(size=20_000), rng.normal(shift, 1.1, size=20_000)
    found = compare(pa.table({"x": one}), pa.table({"x": other}), moments=True).features[0].distances["wasserstein"]
    assert found == pytest.approx(stats.wasserstein_distance(one, other), abs=0.04)


def test_outliers_of_any_size_raise_wasserstein() -> None:
    """What lies beyond the reference's extremes counts with the difference of the means."""
    rng = np.random.default_rng(9)
    one = rng.normal(size=5_000)
    other = np.where(rng.random(5_000) < 0.02, 1e6, rng.normal(size=5_000))
    found = compare(pa.table({"x": one}), pa.table({"x": other}), moments=True).features[0].distances["wasserstein"]
    assert found == pytest.approx(stats.wasserstein_distance(one, other), rel=0.01)


def test_what_is_not_defined_is_none() -> None:
    """Categories have no order, and no values no distribution."""
    found = {name: distance(*both((1, 2, 0, 0, 0), (0, 0, 0, 0, 0))) for name, distance in DISTANCES.items()}
    assert set(found.values()) == {None}
    table = pa.table({"c": ["a", "b"]})
    of_categories = Reference.fit(table).feature("c")
    histogram = Histogram(of_categories.bins, of_categories.counts)
    assert DISTANCES["ks"](histogram, histogram) is DISTANCES["wasserstein"](histogram, histogram) is None
    assert DISTANCES["jensen_shannon"](histogram, histogram) == 0
