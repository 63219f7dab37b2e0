"""How far two binned distributions are apart, in the measures that people know. They are shown; none of them alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mlotel.drift._bins import Bins, NumericBins
from mlotel.drift.columns import Floats

__all__ = ["DISTANCES", "Distance", "Histogram", "ks_bound"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """One distribution over bins.

    Attributes:
        bins: how values are cut; the last bin is that of missing values.
        counts: one integer a bin.
        mean: of the finite values, NaN if that is not known.
    """

    bins: Bins
    counts: tuple[int, ...]
    mean: float = math.nan

    @property
    def shares(self) -> Floats:
        """The share of all rows in each bin, that of missing values included; zeros of no rows."""
        counts = np.asarray(self.counts, np.float64)
        shares: Floats = counts / max(counts.sum(), 1.0)
        return shares

    @property
    def present(self) -> Floats:
        """The share of the values that are there in each of their bins; zeros if there are none."""
        counts = np.asarray(self.counts[:-1], np.float64)
        shares: Floats = counts / max(counts.sum(), 1.0)
        return shares

    @property
    def values(self) -> int:
        """How many values are not missing."""
        return sum(self.counts[:-1])


class Distance(Protocol):
    """A function of two distributions over the same bins."""

    def __call__(self, reference: Histogram, current: Histogram, /) -> float | None:
        """Return how far they are apart, 0 if they are the same; None where that is not defined."""
        ...


def ks(reference: Histogram, current: Histogram) -> float | None:
    """Return the largest difference of the distribution functions at an edge, a lower bound of Kolmogorov–Smirnov's."""
    if not _ordered(reference, current):
        return None
    return min(1.0, float(np.abs(np.cumsum(current.present - reference.present)).max()))


def ks_bound(reference: Histogram, current: Histogram) -> float | None:
    """Return an upper bound of Kolmogorov–Smirnov's distance: D + max min(p, q) over the bins."""
    least = ks(reference, current)
    if least is None:
        return None
    return min(1.0, least + float(np.minimum(reference.present, current.present).max()))


def wasserstein(reference: Histogram, current: Histogram) -> float | None:
    """Return Wasserstein's distance W₁ = ∫ |F − G|, in the feature's unit, of values spread evenly within the bins.

    Values beyond the outermost edges, the extremes of the reference, count as if they lay there. Where both means are
    known their difference is a bound from below, which outliers of any size raise.
    """
    if not _ordered(reference, current) or not isinstance(reference.bins, NumericBins):
        return None
    places = np.asarray(reference.bins.edges)
    if not places.size:
        return None
    apart = np.cumsum(current.present - reference.present)[:-1]  # F − G at each edge
    a, b = apart[:-1], apart[1:]
    size = np.abs(a) + np.abs(b)
    crossed = np.where(size > 0, (a * a + b * b) / (2 * np.where(size > 0, size, 1.0)), 0.0)
    mean = np.where(a * b < 0, crossed, size / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(np.sum(np.where(mean > 0, np.diff(places) * mean, 0.0)))
    shift = abs(current.mean - reference.mean)
    total = max(total, shift) if math.isfinite(shift) else total
    return total if math.isfinite(total) else None


def jensen_shannon(reference: Histogram, current: Histogram) -> float | None:
    """Return the Jensen–Shannon distance, the root of the divergence in nats: 0 to √ln 2; missing values are a bin."""
    p, q = reference.shares, current.shares
    if not (p.any() and q.any()):
        return None
    middle = (p + q) / 2
    return math.sqrt(max((_entropy(p, middle) + _entropy(q, middle)) / 2, 0.0))


def hellinger(reference: Histogram, current: Histogram) -> float | None:
    """Return Hellinger's distance √(1 − Σ √(pq)), 0 to 1; missing values are a bin."""
    p, q = reference.shares, current.shares
    if not (p.any() and q.any()):
        return None
    return math.sqrt(max(0.5 * float(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2)), 0.0))


def l_infinity(reference: Histogram, current: Histogram) -> float | None:
    """Return the largest difference of the shares of a bin; missing values are a bin."""
    p, q = reference.shares, current.shares
    return float(np.abs(p - q).max()) if p.any() and q.any() else None


DISTANCES: Mapping[str, Distance] = {
    "ks": ks,
    "wasserstein": wasserstein,
    "jensen_shannon": jensen_shannon,
    "hellinger": hellinger,
    "l_infinity": l_infinity,
}
"""mlotel's own, by their names."""


def _ordered(reference: Histogram, current: Histogram) -> bool:
    return isinstance(reference.bins, NumericBins) and bool(reference.values and current.values)


def _entropy(p: Floats, middle: Floats) -> float:
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / middle[there])))
