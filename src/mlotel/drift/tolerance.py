"""The tests that alarm: tolerance PSI, and shares that grew beyond what is tolerated.

Both ask whether a change is larger than one that does not matter, not whether there is any: with enough rows there
always is one. The population stability index of two samples that come from the same distribution is, times its scale,
chi-squared (Yurdakul & Naranjo, "Statistical properties of the population stability index", 2020); where the true
index is δ, it is non-central chi-squared (arXiv 2307.11878). That distribution is approximated as in Sankaran,
"Approximations to the non-central chi-square distribution", Biometrika 50 (1963), which recording rules can compute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from mlotel.drift.columns import Integers

__all__ = [
    "ALPHA",
    "DELTA",
    "LEAST_ROWS",
    "SHARE_MARGIN",
    "SHARE_RATIO",
    "confident_delta",
    "exceeds_p_value",
    "psi",
    "psi_p_value",
    "psi_threshold",
    "share_p_value",
    "tail_p_value",
]

DELTA = 0.02
"""The PSI that is tolerated."""

ALPHA = 0.001
"""The level of all tests of a window together."""

LEAST_ROWS = 500
"""Rows, of the reference and of a window, below which there is no verdict."""

SHARE_RATIO, SHARE_MARGIN = 2.0, 0.005
"""A share may double, or grow by half a percentage point."""

_SURE = 3.09  # one in a thousand, one-sided
_NORMAL = NormalDist()


def psi(
    reference: Sequence[int] | Integers, current: Sequence[int] | Integers, *, without: Sequence[int] = ()
) -> tuple[float, int]:
    """Return the population stability index of two rows of counts, and the number K of bins it is of.

    PSI = Σ (q−p) ln(q/p) with p = (r+½)/(m+½K) and q = (c+½)/(n+½K), over the K bins that are not empty on both sides.
    The terms of the bins `without` are left out of the sum; K is then one more than the terms that are left, whose
    shares no longer add up to 1.

    >>> value, k = psi([50, 50, 0], [50, 50, 0])
    >>> value, k
    (0.0, 2)
    """
    r, c = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    filled = (r + c) > 0
    r, c = r[filled] + 0.5, c[filled] + 0.5
    p, q = r / (r.sum() or 1.0), c / (c.sum() or 1.0)
    terms = (q - p) * np.log(q / p)
    if without:
        kept = np.ones(filled.size, bool)
        kept[list(without)] = False
        terms = terms[kept[filled]]
    return float(np.sum(terms)), int(terms.size) + bool(without)


def psi_threshold(k: int, s: float, *, delta: float = DELTA, alpha: float = ALPHA) -> float | None:
    """Return the PSI that is exceeded with probability `alpha` where the true one is `delta`; None of one bin.

    Args:
        k: the number of bins K.
        s: the scale φ(1/n + 1/m).
        delta: the PSI that is tolerated.
        alpha: the level, one-sided.
    """
    if k < 2:
        return None
    h, middle, spread = _sankaran(k - 1, delta / s)
    z = -_NORMAL.inv_cdf(alpha)
    return float(s * (k - 1 + delta / s) * max(middle + z * spread, 0.0) ** (1 / h))


def psi_p_value(value: float, k: int, s: float, *, delta: float = DELTA) -> float:
    """Return the probability of a PSI of `value` or more where the true one is `delta`; 1 of one bin.

    From 20 bins on it is within 1.25 times the exact one down to 1e-5; of fewer it may be up to 2.5 times as large.
    """
    if k < 2:
        return 1.0
    h, middle, spread = _sankaran(k - 1, delta / s)
    ratio = max(value, 0.0) / (s * (k - 1) + delta)
    return exceeds_p_value((ratio**h - middle) / spread)


def _sankaran(nu: float, noncentrality: float) -> tuple[float, float, float]:
    """Return h, and mean and standard deviation of (χ²/(ν+λ))^h, which is close to normal."""
    mean, second, third = nu + noncentrality, nu + 2 * noncentrality, nu + 3 * noncentrality
    h = 1 - 2 * mean * third / (3 * second * second)
    p = second / (mean * mean)
    w = (h - 1) * (1 - 3 * h)
    middle = 1 + h * p * (h - 1 - 0.5 * (2 - h) * w * p)
    return h, middle, h * math.sqrt(2 * p) * (1 + 0.5 * w * p)


def confident_delta(k: int, m: int, *, delta: float = DELTA) -> float:
    """Return a tolerance δ* that covers the reference's own error, for verdicts on many windows beside one reference.

    δ* = δ + (K−1)/m + 3.09 √(2(K−1)/m² + 4δ/m): what PSI the reference itself is from the truth is the same for all
    windows, and does not average out over them.
    """
    nu = max(k - 1, 0)
    return delta + nu / m + _SURE * math.sqrt(2 * nu / (m * m) + 4 * delta / m)


def exceeds_p_value(z: float) -> float:
    """Return the probability that a standard normal variable is `z` or more."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def tail_p_value(c: int, n: int, r: int, m: int, *, phi: float = 1.0, sure: bool = False) -> float:
    """Return the p-value of the hypothesis that a share did not more than double.

    z = 2(√(c+⅜) − √(ρ(r+⅜)))/√(1+ρ) with ρ = 2n/m, the difference of two Poisson counts after Anscombe's
    transformation ("The transformation of Poisson, binomial and negative-binomial data", Biometrika 35, 1948).

    Args:
        c: how many of the rows there are now.
        n: rows now.
        r: how many of the rows there were in the reference.
        m: rows of the reference.
        phi: overdispersion, by whose root z is divided.
        sure: take an upper bound of r instead of r and its error, as a verdict on many windows has to.
    """
    rho = SHARE_RATIO * n / m
    then = r + 0.375 + (_SURE * math.sqrt(r + 0.375) if sure else 0.0)
    z = 2 * (math.sqrt(c + 0.375) - math.sqrt(rho * then)) / math.sqrt(1 + (0.0 if sure else rho))
    return exceeds_p_value(z / math.sqrt(phi))


def share_p_value(c: int, n: int, r: int, m: int, *, phi: float = 1.0, sure: bool = False) -> float:
    """Return the p-value of the hypothesis that a share is at most twice the reference's, or half a point above it.

    The share max(2r/m, r/m + 0.005) is what is tolerated; whether it is exceeded is tested as for `tail_p_value`, with
    the part of the variance that comes from the reference taken from the larger of the two.

    Args:
        c: how many of the rows there are now.
        n: rows now.
        r: how many of the rows there were in the reference.
        m: rows of the reference.
        phi: overdispersion, by whose root z is divided.
        sure: take an upper bound of the reference's share instead of the share and its error, as a verdict on many
            windows has to.
    """
    then = r + 0.375 + (_SURE * math.sqrt(r + 0.375) if sure else 0.0)
    doubled, raised = SHARE_RATIO * then / m, then / m + SHARE_MARGIN
    tolerated = max(doubled, raised)
    # By how much √(n · tolerated) varies with the reference's count, in the units of √c
    slope = SHARE_RATIO if doubled > raised else 1.0
    own = 0.0 if sure else slope * slope * n * then / (tolerated * m * m)
    z = 2 * (math.sqrt(c + 0.375) - math.sqrt(n * tolerated)) / math.sqrt(1 + own)
    return exceeds_p_value(z / math.sqrt(phi))
