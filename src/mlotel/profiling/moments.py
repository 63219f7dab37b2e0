"""Count, extremes and the first four central moments of numbers, mergeable in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Moments"]

_BLOCK = 32_768


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments of a set of numbers: sums of powers of the deviations from the mean.

    Sets are merged by the formulas of Pébay, "Formulas for Robust, One-Pass Parallel Computation of Covariances and
    Arbitrary-Order Statistical Moments", Sandia report SAND2008-6212 (2008), equations 2.1 and 3.1.

    >>> whole = Moments.of([1.0, 2.0, 3.0, 10.0])
    >>> whole.merge(Moments()).std == whole.std
    True
    >>> round(Moments.of([1.0, 2.0]).merge(Moments.of([3.0, 10.0])).skewness, 6) == round(whole.skewness, 6)
    True
    """

    count: int = 0
    mean: float = math.nan
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    min: float = math.nan
    max: float = math.nan

    @classmethod
    def of(cls, values: Any, weights: Any = None) -> Moments:
        """Return the moments of a one-dimensional array of n floats, none of them NaN.

        Args:
            values: the floats.
            weights: n positive integers, how often each occurs; once by default.
        """
        import numpy as np

        array = np.asarray(values, dtype=np.float64)
        moments = cls()
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values make infinite moments, not warnings
            for first in range(0, array.size, _BLOCK):  # what lies between fits the processor's second cache
                block = array[first : first + _BLOCK]
                part = cls._of_block(block, None if weights is None else weights[first : first + _BLOCK])
                moments = moments.merge(part)
        return moments

    @classmethod
    def _of_block(cls, block: Any, weights: Any) -> Moments:
        if weights is None:
            count, mean = int(block.size), block.mean()
        else:
            count = int(weights.sum())
            mean = block[0] + (weights * (block - block[0])).sum() / count
        deviation = block - mean
        square = deviation * deviation
        weighted = square if weights is None else weights * square
        m2 = float(weighted.sum())
        # Sums, not dot products: BLAS would start threads for these, and sums in pairs are the more exact.
        deviation *= weighted
        square *= weighted
        return cls(
            count, float(mean), m2, float(deviation.sum()), float(square.sum()), float(block.min()), float(block.max())
        )

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets together."""
        if not self.count or not other.count:
            return self if self.count else other
        a, b = self.count, other.count
        n = a + b
        delta = other.mean - self.mean
        step = delta / n
        square = step * step  # not step**2: a power that overflows raises, a product is infinite
        m2 = self.m2 + other.m2 + delta * step * a * b
        m3 = self.m3 + other.m3 + delta * square * a * b * (a - b) + 3 * step * (a * other.m2 - b * self.m2)
        m4 = (
            self.m4
            + other.m4
            + delta * step * square * a * b * (a * a - a * b + b * b)
            + 6 * square * (a * a * other.m2 + b * b * self.m2)
            + 4 * step * (a * other.m3 - b * self.m3)
        )
        return Moments(n, self.mean + step * b, m2, m3, m4, min(self.min, other.min), max(self.max, other.max))

    @property
    def std(self) -> float:
        """The standard deviation √(m₂/n), NaN of an empty set."""
        return math.sqrt(self.m2 / self.count) if self.count else math.nan

    @property
    def skewness(self) -> float:
        """The skewness √n · m₃ / m₂^(3/2), NaN where all values are equal."""
        return math.sqrt(self.count) * self.m3 / (self.m2 * math.sqrt(self.m2)) if self._varied else math.nan

    @property
    def kurtosis(self) -> float:
        """The excess kurtosis n · m₄ / m₂² − 3 (0 for a normal distribution), NaN where all values are equal."""
        return self.count * self.m4 / (self.m2 * self.m2) - 3.0 if self._varied else math.nan

    @property
    def _varied(self) -> bool:
        # deviations of equal values are the mean's own rounding error: moments of that would be noise
        return self.m2 * self.m2 > 0 and self.std > 2.0**-50 * abs(self.mean)
