"""Quantiles, distinct counts and frequent values of more values than memory holds: the sketches of Apache DataSketches.

Each is a value: merging makes a new one. What they add to the library's sketches is that most values need not be handed
over one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlotel.errors import MissingExtraError
from mlotel.profiling._formats import check_distinct, check_frequent, check_quantiles
from mlotel.profiling._hashes import hash_keys

__all__ = ["DistinctSketch", "Estimate", "Frequency", "FrequentSketch", "QuantileSketch", "library"]

_QUANTILE_K = 400
_DISTINCT_LG_K = 12
_FREQUENT_LG_K = 10
_FREQUENT_CAPACITY = 3 << _FREQUENT_LG_K >> 2  # three quarters of the library's table
_DEVIATIONS = 2
_FEW = 256
_PAST_A_REBUILD = 2 << _DISTINCT_LG_K  # more than the sketch holds before it throws its largest hashes away


@functools.cache
def library() -> Any:
    """Return the module of sketches.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import datasketches
    except ModuleNotFoundError as error:
        if error.name != "datasketches":
            raise
        raise MissingExtraError("datasketches", "profile") from error
    return datasketches


@dataclass(frozen=True, slots=True)
class Estimate:
    """A count that is estimated: `lower` and `upper` are two standard deviations away (95 %); all equal if exact."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often a value occurs: `count` is the estimate, the true one lies from `lower` to `upper`, always."""

    value: Any
    count: int
    lower: int
    upper: int


class QuantileSketch:
    """Ranks of numbers, by KLL (Karnin, Lang, Liberty, "Optimal Quantile Approximation in Streams", FOCS 2016)."""

    __slots__ = ("_sketch",)

    def __init__(self, sketch: Any = None) -> None:
        self._sketch = library().kll_doubles_sketch(_QUANTILE_K) if sketch is None else sketch

    def add(self, values: np.ndarray) -> None:
        """Add n doubles, none of them NaN; only while the sketch is being made. Sorted ones are added faster."""
        self._sketch.update(values)

    @property
    def count(self) -> int:
        """How many numbers."""
        return int(self._sketch.n)

    @property
    def rank_error(self) -> float:
        """How far the rank of a quantile may be off, as a share of all numbers (with 99 % confidence); 0 if exact."""
        return float(self._sketch.normalized_rank_error(False)) if self._sketch.is_estimation_mode() else 0.0

    def quantiles(self, ranks: Sequence[float]) -> list[float]:
        """Return, for each rank from 0 to 1, the smallest of the numbers that has at least this share up to it."""
        return [float(each) for each in self._sketch.get_quantiles(list(ranks), True)]

    def merge(self, other: QuantileSketch) -> QuantileSketch:
        """Return the ranks of both together."""
        merged = QuantileSketch()
        merged._sketch.merge(self._sketch)
        merged._sketch.merge(other._sketch)
        return merged

    def to_bytes(self) -> bytes:
        """Return the library's own form."""
        return bytes(self._sketch.serialize())

    @classmethod
    def from_bytes(cls, data: bytes) -> QuantileSketch:
        """Read the library's own form. Raises ValueError."""
        check_quantiles(data, _QUANTILE_K)
        return cls(_read(library().kll_doubles_sketch, data))


class DistinctSketch:
    """How many different keys there are, by a theta sketch (Dasgupta, Lang, Rhodes, Thaler, arXiv 1510.01455).

    It is exact for up to some 4,096 keys; above, the relative standard error is 1/√4096 = 1.6 %.
    """

    __slots__ = ("_sketch",)

    def __init__(self, sketch: Any = None) -> None:
        self._sketch = library().update_theta_sketch(_DISTINCT_LG_K) if sketch is None else sketch

    def add(self, keys: np.ndarray) -> None:
        """Add n uint64 keys; only while the sketch is being made."""
        if keys.size > _FEW:
            keys = self._that_matter(keys)
        update = self._sketch.update
        for key in keys.view(np.int64).tolist():
            update(key)

    def _that_matter(self, keys: np.ndarray) -> np.ndarray:
        """Return the keys that can change the sketch: those with hashes below its threshold.

        Of very many, those with the smallest hashes are enough to make the sketch lower its threshold below all others.
        """
        hashes = hash_keys(keys)
        chosen = np.flatnonzero(hashes < np.uint64(self._sketch.theta64))
        if chosen.size > _PAST_A_REBUILD:
            chosen = chosen[np.argpartition(hashes[chosen], _PAST_A_REBUILD)[:_PAST_A_REBUILD]]
        return keys[chosen]

    @property
    def estimate(self) -> Estimate:
        """How many different keys."""
        sketch = self._sketch
        return Estimate(
            float(sketch.get_estimate()),
            float(sketch.get_lower_bound(_DEVIATIONS)),
            float(sketch.get_upper_bound(_DEVIATIONS)),
        )

    def merge(self, other: DistinctSketch) -> DistinctSketch:
        """Return the different keys of both together."""
        union = library().theta_union(_DISTINCT_LG_K)
        union.update(self._sketch)
        union.update(other._sketch)
        return DistinctSketch(union.get_result())

    def to_bytes(self) -> bytes:
        """Return the library's own form."""
        compact = getattr(self._sketch, "compact", None)
        return bytes((self._sketch if compact is None else compact()).serialize())

    @classmethod
    def from_bytes(cls, data: bytes) -> DistinctSketch:
        """Read the library's own form. Raises ValueError."""
        check_distinct(data, _PAST_A_REBUILD)
        return cls(_read(library().compact_theta_sketch, data))


class FrequentSketch:
    """The texts that occur most often, by Misra–Gries (Anderson et al., arXiv 1705.07001).

    A text that occurs more often than `error` times is in it. Of each batch only the most frequent are handed over;
    what is left out of a text is at most the count of the next, and counts as error.
    """

    __slots__ = ("_error", "_sketch")

    def __init__(self, sketch: Any = None, error: int = 0) -> None:
        self._sketch = library().frequent_strings_sketch(_FREQUENT_LG_K) if sketch is None else sketch
        self._error = error

    def choose(self, counts: np.ndarray) -> np.ndarray:
        """Return the indices of those of n different texts that are to be handed over, by how often each occurs.

        What they occur that are not, is added to the error; so each choice has to be followed by `add`.
        """
        if counts.size <= _FREQUENT_CAPACITY:
            return np.arange(counts.size)
        offset = int(np.partition(counts, counts.size - _FREQUENT_CAPACITY - 1)[-_FREQUENT_CAPACITY - 1])
        self._error += offset
        return np.flatnonzero(counts > offset)

    def add(self, texts: Iterable[str], counts: Iterable[int]) -> None:
        """Add texts with how often each occurs; only while the sketch is being made."""
        for text, count in zip(texts, counts, strict=True):
            self._sketch.update(text, count)

    @property
    def error(self) -> int:
        """How often a text may occur at most that is not in the sketch, and by how much a count may be too low."""
        return self._error + int(self._sketch.get_upper_bound("")) - int(self._sketch.get_lower_bound(""))

    @property
    def left_out(self) -> int:
        """The part of the error that comes from what was not handed over."""
        return self._error

    def most(self) -> list[Frequency]:
        """Return the texts that are more frequent for certain than any that is not in the sketch, in no order."""
        error = self.error
        items = self._sketch.get_frequent_items(library().frequent_items_error_type.NO_FALSE_NEGATIVES)
        return [
            Frequency(text, int(estimate), int(lower), int(upper) + self._error)
            for text, estimate, lower, upper in items
            if lower > error
        ]

    def merge(self, other: FrequentSketch) -> FrequentSketch:
        """Return the frequent texts of both together."""
        merged = FrequentSketch(error=self._error + other._error)
        merged._sketch.merge(self._sketch)
        merged._sketch.merge(other._sketch)
        return merged

    def to_bytes(self) -> bytes:
        """Return the library's own form, without the error that comes from what was left out."""
        return bytes(self._sketch.serialize())

    @classmethod
    def from_bytes(cls, data: bytes, error: int) -> FrequentSketch:
        """Read the library's own form. Raises ValueError."""
        check_frequent(data, _FREQUENT_LG_K, _FREQUENT_CAPACITY)
        return cls(_read(library().frequent_strings_sketch, data), error)


def _read(kind: Any, data: bytes) -> Any:
    try:
        return kind.deserialize(data)
    except Exception as error:  # whatever the library makes of bytes that are no sketch
        raise ValueError(f"no {kind.__name__}: {type(error).__name__}") from error
