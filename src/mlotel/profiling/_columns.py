"""The profile of one column."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlotel.errors import ArtifactError
from mlotel.profiling._sketches import DistinctSketch, Estimate, Frequency, FrequentSketch, QuantileSketch
from mlotel.profiling._types import from_float, from_ordinal, parse_ordinal
from mlotel.profiling.moments import Moments

__all__ = ["ColumnProfile"]

_COUNTS = ("rows", "null", "nan", "zero", "negative", "infinite", "empty", "true")


@dataclass(frozen=True, slots=True, eq=False)
class ColumnProfile:
    """What is known of one column; None stands for what its kind of values does not have.

    Moments, extremes and quantiles are those of the finite values, of times in seconds (since the epoch, since
    midnight, or how long). What is infinite is counted, in `infinite`, and among the different values.

    Attributes:
        name: the column's name.
        type: its Arrow type, the same for all layouts and encodings of the same values.
        kind: number, boolean, time, text, bytes, nested, null or other.
        rows: how many values, missing ones included.
        null: how many are null.
        nan: how many are NaN.
        zero: how many numbers are zero.
        negative: how many numbers are below zero, minus infinity included.
        infinite: how many numbers are infinite.
        empty: how many texts, byte strings or lists have no elements.
        true: how many are true.
        smallest: the smallest finite value as an integer or double of its type (see `min`).
        largest: the largest one (see `max`).
        moments: of numbers and times.
        lengths: of texts in characters, of byte strings in bytes, of lists and maps in elements.
        quantile_sketch: ranks of numbers and times.
        distinct_sketch: different numbers, times, texts and byte strings.
        frequent_sketch: the most frequent ones, as text.
    """

    name: str
    type: str
    kind: str
    rows: int = 0
    null: int = 0
    nan: int = 0
    zero: int | None = None
    negative: int | None = None
    infinite: int | None = None
    empty: int | None = None
    true: int | None = None
    smallest: float | None = None
    largest: float | None = None
    moments: Moments | None = None
    lengths: Moments | None = None
    quantile_sketch: QuantileSketch | None = None
    distinct_sketch: DistinctSketch | None = None
    frequent_sketch: FrequentSketch | None = None

    @property
    def missing(self) -> int:
        """How many are null or NaN."""
        return self.null + self.nan

    @property
    def min(self) -> Any:
        """The smallest finite value, of a decimal as Decimal, of a date or time as ISO 8601; None if there is none."""
        return None if self.smallest is None else from_ordinal(self.smallest, self.type)

    @property
    def max(self) -> Any:
        """The largest finite value, as `min` has it."""
        return None if self.largest is None else from_ordinal(self.largest, self.type)

    @property
    def mean(self) -> Any:
        """The mean of the finite values, of a date or time as ISO 8601; of booleans the share of true ones."""
        if self.true is not None:
            present = self.rows - self.missing
            return self.true / present if present else None
        if self.moments is None or not self.moments.count:
            return None
        return from_float(self.moments.mean, self.type)

    @property
    def distinct(self) -> Estimate | None:
        """How many different values there are, missing ones left out: exact up to some thousand, then an estimate."""
        if self.true is not None:
            found = float((self.true > 0) + (self.rows - self.missing - self.true > 0))
            return Estimate(found, found, found)
        return None if self.distinct_sketch is None else self.distinct_sketch.estimate

    @property
    def rank_error(self) -> float | None:
        """How far the rank of a quantile may be off, as a share of all values (with 99 % confidence); 0 if exact."""
        return None if self.quantile_sketch is None else self.quantile_sketch.rank_error

    def quantiles(self, ranks: Sequence[float]) -> list[Any]:
        """Return, for each rank from 0 to 1, the smallest value that has at least this share of the values up to it.

        Values are doubles, of dates and times ISO 8601; there are none in a column without finite values.

        Raises:
            ValueError: a rank is not between 0 and 1.
        """
        if not all(0 <= rank <= 1 for rank in ranks):
            raise ValueError(f"ranks are between 0 and 1, not {list(ranks)}")
        if self.quantile_sketch is None or not self.quantile_sketch.count:
            return []
        return [from_float(each, self.type) for each in self.quantile_sketch.quantiles(ranks)]

    def frequent(self, limit: int = 10) -> tuple[Frequency, ...] | None:
        """Return the most frequent values, each more frequent for certain than any that is not told.

        None where they were not asked for, as those of texts by default; none where all are about equally rare.
        """
        if self.true is not None:
            false = self.rows - self.missing - self.true
            pairs = sorted(((self.true, True), (false, False)), reverse=True)
            return tuple(Frequency(value, count, count, count) for count, value in pairs if count)[:limit]
        if self.frequent_sketch is None:
            return None
        ordered = self.kind in ("number", "time")
        keyed = [
            (parse_ordinal(each.value, self.type) if ordered else each.value, each)
            for each in self.frequent_sketch.most()
        ]
        keyed.sort(key=lambda pair: (-pair[1].count, pair[0]))
        return tuple(
            dataclasses.replace(each, value=from_ordinal(key, self.type) if ordered else key)
            for key, each in keyed[:limit]
        )

    @property
    def frequent_error(self) -> int | None:
        """How often a value may occur at most that is not among all the frequent ones; 0 if all values were counted."""
        return None if self.frequent_sketch is None else self.frequent_sketch.error

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """Return the profile of both columns together.

        Raises:
            ArtifactError: they have different names or types.
        """
        if self.name != other.name:
            raise ArtifactError(
                f"columns {self.name!r} and {other.name!r} are not one column: merge profiles of one table"
            )
        if self.type != other.type:
            return self._with_nulls(other)
        counts: dict[str, Any] = {name: _sum(getattr(self, name), getattr(other, name)) for name in _COUNTS}
        return ColumnProfile(
            self.name,
            self.type,
            self.kind,
            **counts,
            smallest=_chosen(min, self.smallest, other.smallest),
            largest=_chosen(max, self.largest, other.largest),
            moments=_merged(self.moments, other.moments),
            lengths=_merged(self.lengths, other.lengths),
            quantile_sketch=_merged(self.quantile_sketch, other.quantile_sketch),
            distinct_sketch=_merged(self.distinct_sketch, other.distinct_sketch),
            frequent_sketch=_merged(self.frequent_sketch, other.frequent_sketch),
        )

    def _with_nulls(self, other: ColumnProfile) -> ColumnProfile:
        """Return both together, where one of them knows no type as it holds nulls alone."""
        typed, untyped = (self, other) if other.kind == "null" else (other, self)
        if untyped.kind != "null":
            raise ArtifactError(
                f"column {self.name!r} is of type {self.type} in one profile and {other.type} in the other: "
                "cast one of them before it is profiled"
            )
        return dataclasses.replace(typed, rows=typed.rows + untyped.rows, null=typed.null + untyped.null)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _chosen(choose: Any, one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    chosen: float = choose(one, other)
    return chosen


def _merged(one: Any, other: Any) -> Any:
    """Return both merged; what one of them lacks (as nobody asked for it) the whole lacks."""
    return None if one is None or other is None else one.merge(other)
