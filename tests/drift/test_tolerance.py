"""The tests that alarm, beside SciPy's distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlotel.drift.tolerance import (
    confident_delta,
    exceeds_p_value,
    psi,
    psi_p_value,
    psi_threshold,
    share_p_value,
    tail_p_value,
)

K_AND_SCALE = [(k, s) for k in (2, 5, 21, 53) for s in (0.004, 0.0004, 0.00002)]


@pytest.mark.parametrize(("k", "s"), K_AND_SCALE)
@pytest.mark.parametrize("delta", [0.0, 0.02])
def test_p_values_are_those_of_the_non_central_chi_square(k: int, s: float, delta: float) -> None:
    """Sankaran's approximation is within 1.25 times the exact one down to 1e-5; of few bins it errs to the safer."""
    exact = stats.ncx2(k - 1, delta / s) if delta else stats.chi2(k - 1)
    for p in (0.5, 0.05, 1e-3, 1e-4, 1e-5):
        found = psi_p_value(float(s * exact.isf(p)), k, s, delta=delta)
        assert p / 1.07 < found < p * (1.25 if k > 20 else 2.5)


@pytest.mark.parametrize(("k", "s"), K_AND_SCALE)
def test_the_threshold_has_the_p_value_that_it_was_asked_for(k: int, s: float) -> None:
    """Threshold and p-value are one formula, solved for the one and for the other."""
    for alpha in (0.001, 0.001 / 60):
        found = psi_threshold(k, s, alpha=alpha)
        assert found is not None
        assert psi_p_value(found, k, s) == pytest.approx(alpha, rel=1e-9)
        exact = s * stats.ncx2.isf(alpha, k - 1, 0.02 / s)
        assert exact * 0.9999 < found < exact * 1.03


def test_one_bin_decides_nothing() -> None:
    """Where all rows lie in one bin on both sides there is nothing that could have changed."""
    assert psi([700, 0], [900, 0]) == (0.0, 1)
    assert psi_p_value(0.0, 1, 0.001) == 1.0
    assert psi_threshold(1, 0.001) is None
    assert psi([], []) == (0.0, 0)


@given(
    r=st.lists(st.integers(0, 1000), min_size=3, max_size=12),
    c=st.lists(st.integers(0, 1000), min_size=3, max_size=12),
)
def test_psi_is_the_sum_of_both_relative_entropies(r: list[int], c: list[int]) -> None:
    """Of the smoothed shares, PSI is the Kullback–Leibler divergence one way and the other, by scipy.stats.entropy."""
    pairs = [(a, b) for a, b in zip(r, c, strict=False) if a or b]
    value, k = psi(r[: len(c)], c[: len(r)])
    assert k == len(pairs)
    if pairs:
        p, q = (np.array(side) + 0.5 for side in zip(*pairs, strict=True))
        assert value == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), abs=1e-12)


def test_the_expected_psi_of_no_change() -> None:
    """Two samples of one distribution differ by s(K−1) on average, s = 1/n + 1/m."""
    rng = np.random.default_rng(5)
    shares, m, n = np.full(20, 0.05), 20_000, 2_000
    found = [psi(rng.multinomial(m, shares), rng.multinomial(n, shares))[0] for _ in range(400)]
    assert np.mean(found) == pytest.approx(19 * (1 / n + 1 / m), rel=0.05)


@pytest.mark.parametrize("z", [-3.0, 0.0, 1.0, 4.5, 30.0])
def test_the_normal_tail(z: float) -> None:
    """As scipy.stats.norm has it, far out as well."""
    assert exceeds_p_value(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)


@pytest.mark.parametrize(("r", "m"), [(0, 5_000), (20, 5_000), (500, 5_000), (100, 100_000), (10_000, 100_000)])
@pytest.mark.parametrize("n", [500, 5_000, 200_000])
def test_a_share_at_the_limit_of_what_is_tolerated_rarely_alarms(r: int, m: int, n: int) -> None:
    """Where the reference's share is exact, the exact binomial size of the test at the limit is the level, or less."""
    limit = max(2 * r / m, r / m + 0.005)
    for level in (1e-3, 1e-5):
        alarming = next(c for c in range(int(n * limit), n + 1) if share_p_value(c, n, r, m) <= level or c == n)
        assert stats.binom.sf(alarming - 1, n, limit) <= 2 * level
        assert share_p_value(int(n * r / m), n, r, m) > 0.4


@pytest.mark.parametrize(("n", "m"), [(500, 5_000), (5_000, 5_000), (50_000, 100_000)])
def test_a_tail_that_doubled_rarely_alarms(n: int, m: int) -> None:
    """Simulated at the limit, twice the reference's share, the rate of alarms is that of the level."""
    rng = np.random.default_rng(6)
    share = 0.02
    alarms = [
        tail_p_value(int(c), n, int(r), m) < 0.01
        for c, r in zip(rng.binomial(n, 2 * share, 20_000), rng.binomial(m, share, 20_000), strict=True)
    ]
    assert np.mean(alarms) < 0.013


def test_outliers_that_became_ten_times_as_many_alarm() -> None:
    """A thousandth of the rows in the tails that becomes a hundredth is found at 5,000 rows."""
    assert tail_p_value(50, 5_000, 100, 100_000) < 1e-8
    assert tail_p_value(10, 5_000, 100, 100_000) > 0.1


def test_a_verdict_on_many_windows_covers_the_references_own_error() -> None:
    """In all but one of a thousand references, the tolerance for many windows exceeds what the reference is off by."""
    rng = np.random.default_rng(7)
    shares, m = rng.dirichlet(np.full(20, 5.0)), 5_000
    far = rng.permutation(shares)
    moved = shares + 0.0  # a truth at PSI 0.02 from the reference's
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        moved = (1 - middle) * shares + middle * far
        value = float(np.sum((moved - shares) * np.log(moved / shares)))
        low, high = (middle, high) if value < 0.02 else (low, middle)
    bound = confident_delta(20, m)
    seen = []
    for _ in range(4000):
        own = (rng.multinomial(m, shares) + 0.5) / (m + 10)
        seen.append(float(np.sum((moved - own) * np.log(moved / own))))
    assert np.mean(np.array(seen) > bound) < 0.004


def test_overdispersion_takes_from_the_evidence() -> None:
    """With φ = 4 the same counts are half as many deviations away."""
    plain, dispersed = (stats.norm.isf(share_p_value(60, 1_000, 0, 10_000, phi=phi)) for phi in (1.0, 4.0))
    assert dispersed == pytest.approx(plain / 2)
    assert math.isclose(stats.norm.isf(tail_p_value(60, 1_000, 9, 10_000, phi=4.0)) * 2,
                        stats.norm.isf(tail_p_value(60, 1_000, 9, 10_000)))  # fmt: skip
