"""How the values of one feature are cut into numbered bins, and how fast they are counted.

The last bin is always that of missing values (null and NaN). Counts are exact and add up: those of parts of a table,
or of the replicas of a service, are those of the whole.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from mlotel.drift.columns import CATEGORICAL, NUMERIC, Floats, Integers, as_floats, as_texts, is_missing

__all__ = [
    "LONGEST_CATEGORY",
    "Bins",
    "CategoricalBins",
    "NumericBins",
    "category_bins",
    "distinct",
    "quantile_edges",
]

LONGEST_CATEGORY = 1024
"""Characters of the longest text that can be a category; longer ones are counted as `other`."""

_BLOCK = 65_536
_FINE_TAILS_FROM = 50_000


@dataclass(frozen=True, slots=True)
class NumericBins:
    """Bins of numbers: bin i holds edges[i-1] < x <= edges[i], then comes one above the last edge, then missing.

    Infinite values are ordinary ones: they lie in the first and in the last but one.

    >>> bins = NumericBins((0.0, 1.0))
    >>> [bins.bin_of(x) for x in (-1.0, 0.0, 0.5, 1.5, float("inf"), float("nan"), None)]
    [0, 0, 1, 2, 2, 3, 3]
    """

    edges: tuple[float, ...]

    kind: ClassVar[str] = NUMERIC

    @property
    def size(self) -> int:
        """The number of bins, that of missing values included."""
        return len(self.edges) + 2

    @property
    def missing(self) -> int:
        """The number of the bin of missing values: the last one."""
        return len(self.edges) + 1

    def bin_of(self, value: float | None) -> int:
        """Return the bin of one value."""
        return self.missing if is_missing(value) else bisect_left(self.edges, value)  # type: ignore[type-var]

    def count(self, array: pa.Array) -> Integers:
        """Return how many values of a column lie in each bin: `size` integers.

        A column of another family is counted as far as it goes for bins without edges, which only tell whether there
        is a value.
        """
        if not self.edges:
            missing = len(array) - int(pc.sum(pc.is_valid(array), min_count=0).as_py())
            if types.is_floating(array.type):
                missing = int(np.isnan(as_floats(array)).sum())
            return np.array([len(array) - missing, missing], np.int64)
        return self.count_floats(as_floats(array))

    def count_floats(self, values: Floats) -> Integers:
        """Return the same of n float64, NaN for what is missing.

        Each edge is compared with a block of values that stays in the processor's cache: a few times faster than a
        search of each value among the edges, and the sums are exact.
        """
        edges, last = self.edges, len(self.edges) - 1
        below = [0] * (last + 2)
        hit = np.empty(min(_BLOCK, values.size), bool)
        for first in range(0, values.size, _BLOCK):
            block = values[first : first + _BLOCK]
            out, within = hit[: block.size], range(last + 1)
            # Most blocks lie between the outermost edges, without NaN, which two looks tell: three comparisons less
            if last > 0 and block.min() > edges[0] and block.max() <= edges[last]:
                below[last] += block.size
                below[last + 1] += block.size
                within = range(1, last)
            else:
                below[last + 1] += int(np.count_nonzero(np.less_equal(block, np.inf, out=out)))
            for place in within:
                below[place] += int(np.count_nonzero(np.less_equal(block, edges[place], out=out)))
        counts: Integers = np.diff([0, *below, values.size]).astype(np.int64)
        return counts


@dataclass(frozen=True, slots=True)
class CategoricalBins:
    """Bins of categories, the most frequent one first, then `other` (all that is none of them), then missing.

    >>> bins = CategoricalBins(("red", "blue"))
    >>> [bins.bin_of(x) for x in ("blue", "green", None)]
    [1, 2, 3]
    """

    categories: tuple[str, ...]

    kind: ClassVar[str] = CATEGORICAL

    @property
    def size(self) -> int:
        """The number of bins, `other` and that of missing values included."""
        return len(self.categories) + 2

    @property
    def other(self) -> int:
        """The number of the bin of all values that are no category of their own."""
        return len(self.categories)

    @property
    def missing(self) -> int:
        """The number of the bin of missing values: the last one."""
        return len(self.categories) + 1

    def bin_of(self, value: object) -> int:
        """Return the bin of one value: a text, or what `as_texts` makes one of (a number, a boolean)."""
        if is_missing(value):
            return self.missing
        text = value if isinstance(value, str) else as_texts(pa.array([value]))[0].as_py()
        try:
            return self.categories.index(text)
        except ValueError:
            return self.other

    def count(self, array: pa.Array) -> Integers:
        """Return how many values of a column lie in each bin: `size` integers."""
        return self.count_distinct(*distinct(array))

    def count_distinct(self, texts: pa.Array, numbers: Integers) -> Integers:
        """Return the same of distinct texts and how often each of them occurs."""
        counts = np.zeros(self.size, np.int64)
        if len(texts):
            found = pc.index_in(texts, value_set=pa.array(self.categories, texts.type))
            bins = pc.fill_null(found, self.other).to_numpy(zero_copy_only=False)
            bins = np.where(texts.is_null().to_numpy(zero_copy_only=False), self.missing, bins)
            np.add.at(counts, bins, numbers)
        return counts


Bins = NumericBins | CategoricalBins


def distinct(array: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, Integers]:
    """Return the values of a column as texts, and how often each occurs; a text may stand there more than once."""
    if types.is_dictionary(array.type):
        if isinstance(array, pa.ChunkedArray):  # each chunk has a dictionary of its own
            found = [distinct(chunk) for chunk in array.chunks if len(chunk)]
            if not found:
                return pa.array([], pa.string()), np.zeros(0, np.int64)
            return pa.concat_arrays([texts for texts, _ in found]), np.concatenate([numbers for _, numbers in found])
        counted = pc.value_counts(array.indices)
        values = array.dictionary.take(counted.field("values"))
    else:
        if types.is_string_view(array.type):
            array = array.cast(pa.string())
        counted = pc.value_counts(array)
        values = counted.field("values")
    return as_texts(values), counted.field("counts").to_numpy(zero_copy_only=False)


def quantile_edges(
    ordered: Floats, bins: int, rows: int, lowest: float, highest: float
) -> tuple[NumericBins, tuple[int, ...]]:
    """Return bins for a distribution, and the numbers of those that are its tails.

    The edges are quantiles at every 1/bins; outer bounds at 1 % and 99 %, and at 0.1 % and 99.9 % where there are
    50,000 rows or more; the extremes; and both sides of every value that 1/bins of the rows or more have, or mass
    could move unseen. The tails lie beyond the outermost bounds of these.

    Args:
        ordered: finite values in ascending order: the column's, or a sample of them.
        bins: how many equally likely bins.
        rows: of the reference.
        lowest: the least finite value of all.
        highest: the greatest.
    """
    n = ordered.size
    if not n:
        return NumericBins(()), ()
    inner = np.unique(ordered[np.maximum(np.ceil(np.arange(1, bins) / bins * n).astype(np.int64) - 1, 0)])
    held = np.searchsorted(ordered, inner, "right") - np.searchsorted(ordered, inner, "left")
    atoms = inner[held * bins >= n]
    shares = (0.01, 0.001) if rows >= _FINE_TAILS_FROM else (0.01,)
    low = [_before(ordered[int(share * n)]) for share in shares]  # beyond it lies no more than the share
    high = [float(ordered[n - 1 - int(share * n)]) for share in shares]
    edges = {*map(float, inner), *map(float, atoms), *map(_before, atoms), *low, *high, _before(lowest), float(highest)}
    cut = tuple(sorted(edge for edge in edges if np.isfinite(edge)))
    tails = [place for place, edge in enumerate(cut) if edge <= low[-1]]
    tails += [place + 1 for place, edge in enumerate(cut) if edge >= high[-1]]
    return NumericBins(cut), tuple(tails)


def _before(value: Any) -> float:
    return math.nextafter(float(value), -math.inf)


def category_bins(counts: Sequence[tuple[str, int]], most: int) -> CategoricalBins:
    """Return bins for the most frequent of some categories, given as pairs of text and count.

    Where there are more than `most`, those that occur once are none: of identifiers nothing is kept.
    """
    rare = 1 if len(counts) > most else 0
    fit = [(text, count) for text, count in counts if count > rare and len(text) <= LONGEST_CATEGORY]
    return CategoricalBins(tuple(text for text, _ in sorted(fit, key=lambda pair: (-pair[1], pair[0]))[:most]))
