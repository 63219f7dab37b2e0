"""Fisher's exact test and the likelihood ratio, against SciPy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlotel.review import likelihood_ratio, log_p_value


@st.composite
def tables(draw, most=400):
    """Four counts: flagged and unflagged behind which a run stands, and all of both."""
    all_flagged, all_unflagged = draw(st.integers(1, most)), draw(st.integers(0, most))
    return draw(st.integers(0, all_flagged)), draw(st.integers(0, all_unflagged)), all_flagged, all_unflagged


@given(tables())
def test_the_p_value_is_that_of_scipy(table):
    """fisher_exact, alternative greater, of any table."""
    a, b, flagged, unflagged = table

    expected = stats.fisher_exact([[a, b], [flagged - a, unflagged - b]], alternative="greater").pvalue

    assert math.exp(log_p_value(*table)) == pytest.approx(expected, rel=1e-9)


@given(tables(most=10**6))
def test_large_counts_agree_with_the_hypergeometric_distribution(table):
    """A million outputs: its survival function, as far as floating point has it."""
    a, b, flagged, unflagged = table

    expected = float(stats.hypergeom.sf(a - 1, flagged + unflagged, flagged, a + b))

    if expected > 1e-250:
        assert log_p_value(*table) == pytest.approx(math.log(expected), rel=1e-6, abs=1e-6)


def test_what_is_too_improbable_for_a_number_still_has_an_order():
    """The logarithm tells apart what would be 0."""
    assert log_p_value(2000, 0, 2000, 10**6) < log_p_value(1900, 0, 2000, 10**6) < -1000


def test_a_hundred_million_predictions_are_counted():
    """Only the terms that count are added up."""
    assert log_p_value(3, 10_000, 3, 10**8) == pytest.approx(3 * math.log(1e-4), rel=1e-3)


@given(tables())
def test_the_likelihood_ratio_is_the_ratio_of_the_two_shares(table):
    """Infinite with no unflagged output, unknown with nothing to compare."""
    a, b, flagged, unflagged = table

    found = likelihood_ratio(*table)

    if not unflagged:
        assert found is None
    elif not b:
        assert found == math.inf
    else:
        assert found == pytest.approx((a / flagged) / (b / unflagged))
