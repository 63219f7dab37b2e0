"""Profiles of columns in the making: one accumulator a column, fed with arrays."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlotel.profiling._columns import ColumnProfile
from mlotel.profiling._hashes import byte_keys
from mlotel.profiling._sketches import DistinctSketch, FrequentSketch, QuantileSketch
from mlotel.profiling._types import decode, is_exact, kind_of, ordinals, to_floats, type_name
from mlotel.profiling.moments import Moments

__all__ = ["Accumulator", "accumulator"]

_LONGEST_TEXT = 200


class Accumulator(Protocol):
    """What a column's values are added to."""

    def add(self, column: pa.Array) -> None:
        """Add the values of an array of the column's type."""

    def profile(self) -> ColumnProfile:
        """Return the profile of what was added; nothing is added later."""


def accumulator(field: pa.Field, *, texts: bool, frequent: bool) -> Accumulator:
    """Return what the values of a column are added to.

    Args:
        field: its name and type.
        texts: whether the most frequent texts and byte strings are told.
        frequent: whether the most frequent numbers and times are told.
    """
    name, type, kind = field.name, type_name(field.type), kind_of(field.type)
    if kind in ("number", "time"):
        return _Ordered(name, type, kind, frequent)
    if kind in ("text", "bytes"):
        return _Texts(name, type, kind, texts)
    if kind == "boolean":
        return _Booleans(name, type, kind)
    return _Counted(name, type, kind)


class _Counted:
    """Rows and nulls, and the lengths of lists and maps."""

    def __init__(self, name: str, type: str, kind: str) -> None:
        self.name, self.type, self.kind = name, type, kind
        self.rows = self.null = 0
        self.lengths: Moments | None = None
        self.empty: int | None = None

    def add(self, column: pa.Array) -> None:
        plain = self._count(column)
        lengths = _list_lengths(plain) if self.kind == "nested" else None
        if lengths is not None:
            self._add_lengths(lengths)

    def _count(self, column: pa.Array) -> pa.Array:
        """Count rows and nulls; return the values as a plain array."""
        plain = decode(column)
        self.rows += len(plain)
        self.null += len(plain) if pa.types.is_null(plain.type) else plain.null_count
        return plain

    def _add_lengths(self, lengths: np.ndarray, counts: np.ndarray | None = None) -> None:
        self.lengths = (self.lengths or Moments()).merge(Moments.of(lengths, counts))
        empty = lengths == 0
        self.empty = (self.empty or 0) + int(empty.sum() if counts is None else counts[empty].sum())

    def profile(self) -> ColumnProfile:
        return ColumnProfile(self.name, self.type, self.kind, **self._found())

    def _found(self) -> dict[str, Any]:
        return {"rows": self.rows, "null": self.null, "lengths": self.lengths, "empty": self.empty}


class _Booleans(_Counted):
    """The same and how many are true."""

    def __init__(self, name: str, type: str, kind: str) -> None:
        super().__init__(name, type, kind)
        self.true = 0

    def add(self, column: pa.Array) -> None:
        self.true += self._count(column).true_count

    def _found(self) -> dict[str, Any]:
        return {**super()._found(), "true": self.true}


class _Ordered(_Counted):
    """Numbers and times. Each batch is sorted: that finds extremes, equal values, NaN and infinity in one go."""

    def __init__(self, name: str, type: str, kind: str, frequent: bool) -> None:
        super().__init__(name, type, kind)
        self.nan = self.zero = self.negative = self.infinite = 0
        self.smallest: float | None = None
        self.largest: float | None = None
        self.moments = Moments()
        self.quantiles = QuantileSketch()
        self.distinct = DistinctSketch()
        self.exact = is_exact(type)
        self.frequent = FrequentSketch() if frequent and self.exact else None

    def add(self, column: pa.Array) -> None:
        plain = self._count(column)
        values = np.sort(ordinals(plain))
        if not self.exact:
            self.distinct.add(byte_keys(plain.drop_null()))
        if values.dtype.kind == "f":
            numbers = int(np.searchsorted(values, np.nan))  # NaN is sorted to the end
            self.nan += values.size - numbers
            values = values[:numbers]
        if values.size:
            self._add_sorted(values)

    def _add_sorted(self, values: np.ndarray) -> None:
        zeros = _equal_to(values, 0)
        if values.dtype.kind == "f":
            values[zeros] = 0.0  # minus zero is equal to it
        uniques, counts = _runs(values)
        if self.exact:
            self.distinct.add(uniques.view(np.uint64))
        if self.kind == "number":
            self.negative += zeros.start
            self.zero += zeros.stop - zeros.start
        if values.dtype.kind == "f":
            finite = slice(_equal_to(values, -np.inf).stop, _equal_to(values, np.inf).start)
            infinite = values.size - (finite.stop - finite.start)
            if infinite:
                self.infinite += infinite
                values = values[finite]
                if not values.size:
                    return
                uniques, counts = _runs(values)
        self._add_finite(values, uniques, counts)

    def _add_finite(self, values: np.ndarray, uniques: np.ndarray, counts: np.ndarray | None) -> None:
        smallest, largest = values[0].item(), values[-1].item()
        self.smallest = smallest if self.smallest is None else min(self.smallest, smallest)
        self.largest = largest if self.largest is None else max(self.largest, largest)
        floats = to_floats(values, self.type)
        self.quantiles.add(floats)
        if counts is None or 2 * uniques.size > values.size:
            self.moments = self.moments.merge(Moments.of(floats))
        else:
            self.moments = self.moments.merge(Moments.of(to_floats(uniques, self.type), counts))
        if self.frequent is None:
            return
        if counts is None:
            counts = np.ones(uniques.size, np.int64)
        chosen = self.frequent.choose(counts)
        self.frequent.add(map(str, uniques[chosen].tolist()), counts[chosen].tolist())

    def _found(self) -> dict[str, Any]:
        number = self.kind == "number"
        return {
            **super()._found(),
            "nan": self.nan,
            "zero": self.zero if number else None,
            "negative": self.negative if number else None,
            "infinite": self.infinite if number else None,
            "smallest": self.smallest,
            "largest": self.largest,
            "moments": self.moments,
            "quantile_sketch": self.quantiles,
            "distinct_sketch": self.distinct,
            "frequent_sketch": self.frequent,
        }


class _Texts(_Counted):
    """Texts and byte strings, each different one of a batch looked at once."""

    def __init__(self, name: str, type: str, kind: str, frequent: bool) -> None:
        super().__init__(name, type, kind)
        self.lengths, self.empty = Moments(), 0
        self.distinct = DistinctSketch()
        self.frequent = FrequentSketch() if frequent else None

    def add(self, column: pa.Array) -> None:
        values, counts, present = _counted(column)
        self.rows += len(column)
        self.null += len(column) - present
        if not present:
            return
        measure = pc.utf8_length if self.kind == "text" else pc.binary_length
        self._add_lengths(np.asarray(measure(values)), counts)
        keys = byte_keys(values)
        self.distinct.add(keys)
        if self.frequent is not None:
            chosen = self.frequent.choose(counts)
            texts = map(_text, _bytes_of(values.take(pa.array(chosen))), keys[chosen].tolist())
            self.frequent.add(texts, counts[chosen].tolist())

    def _found(self) -> dict[str, Any]:
        return {**super()._found(), "distinct_sketch": self.distinct, "frequent_sketch": self.frequent}


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the different values of a sorted array and how often each occurs; None if each occurs once."""
    changes = values[1:] != values[:-1]
    if changes.all():
        return values, None
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    return values[starts], np.diff(starts, append=values.size)


def _equal_to(values: np.ndarray, value: float) -> slice:
    """Return where in a sorted array the values lie that are equal to one."""
    probe = values.dtype.type(value)
    return slice(int(np.searchsorted(values, probe, "left")), int(np.searchsorted(values, probe, "right")))


def _counted(column: pa.Array) -> tuple[pa.Array, np.ndarray, int]:
    """Return the different values of a column of texts, how often each occurs, and how many are not null."""
    if pa.types.is_dictionary(column.type) and not column.dictionary.null_count:
        indices = pc.value_counts(column.indices.drop_null())
        values, counts = decode(column.dictionary.take(indices.field("values"))), indices.field("counts")
        if len(pc.unique(values)) == len(values):  # a dictionary may hold a value twice
            numbers = np.asarray(counts)
            return values, numbers, int(numbers.sum())
    plain = decode(column).drop_null()
    found = pc.value_counts(plain)
    return found.field("values"), np.asarray(found.field("counts")), len(plain)


def _list_lengths(column: pa.Array) -> np.ndarray | None:
    """Return the lengths of lists or maps that are not null; None of structs and unions."""
    kind, types = column.type, pa.types
    if types.is_map(kind):
        column = column.drop_null()
        return np.diff(np.asarray(column.offsets))
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    if any(is_one(kind) for is_one in lists):
        return np.asarray(pc.list_value_length(column).drop_null())
    return None


def _bytes_of(values: pa.Array) -> list[bytes]:
    found: list[bytes] = (
        values if pa.types.is_fixed_size_binary(values.type) else values.cast(pa.large_binary())
    ).to_pylist()
    return found


def _text(value: bytes, key: int) -> str:
    """Return a value as text; of a long one the beginning, and its key so that it stays one of its own."""
    text = value.decode(errors="backslashreplace")
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({key:016x})"
