"""Rows, arrays and tables as counts per bin: the features of a model in one vector of integers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from operator import getitem, itemgetter
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from mlotel.columnar import open_table
from mlotel.drift import CategoricalBins, FeatureReference, NumericBins, count_source
from mlotel.drift.columns import Floats, Integers, as_floats, family, is_missing

__all__ = ["Binning", "Row", "chooser"]

Row = tuple[Any, ...] | bytes | dict[Any, Any]
"""What waits to be counted: a value for each feature in their order, their float64 in that order, or values by name."""

_BLOCK = 512
_COLUMNS_FROM = 2_048
"""Rows from which counting column by column is faster than all features of a block at once."""

_NAN = float("nan")

T = TypeVar("T")
U = TypeVar("U")


class Binning:
    """How rows of some features are counted.

    A value that is none of its feature's kind, a text where numbers are for instance, counts as missing, and so does
    one that is lacking.

    Attributes:
        features: in the order of their bins in the vector of counts.
        starts: where the bins of each begin in it, and its length.
    """

    def __init__(self, features: Sequence[FeatureReference]) -> None:
        self.features = tuple(features)
        sizes = [each.bins.size for each in self.features]
        self.starts = [0, *(int(place) for place in np.cumsum(sizes))]
        numeric = [place for place, each in enumerate(self.features) if isinstance(each.bins, NumericBins)]
        # Those with the most edges first, so that each further edge concerns a shorter run of them
        numeric.sort(key=lambda place: -self.features[place].bins.size)
        self._numeric = numeric
        self._texts = [
            (place, _codes(each), each.bins)
            for place, each in enumerate(self.features)
            if isinstance(each.bins, CategoricalBins)
        ]
        edges = [np.array(_edges(self.features[place])) for place in numeric]
        self._steps = [
            np.array([[each[step]] for each in edges if each.size > step])
            for step in range(max((each.size for each in edges), default=0))
        ]
        self._missing = np.array([[each.size + 1] for each in edges], np.int64)
        self._offsets = np.array([[self.starts[place]] for place in numeric], np.int64)
        self._pick = _picker(numeric, len(self.features))
        self._row = struct.Struct(f"{len(numeric)}d")
        self._names = [each.name for each in self.features]
        self._pick_names = chooser([self._names[place] for place in numeric])

    @property
    def size(self) -> int:
        """The number of bins of all features together."""
        return self.starts[-1]

    def rows(self, rows: Sequence[Row]) -> Integers:
        """Return the counts of rows."""
        if not rows:
            return np.zeros(self.size, np.int64)
        width = len(self.features)
        kinds = set(map(type, rows))
        if kinds == {bytes}:
            return self.matrix(np.frombuffer(b"".join(rows)).reshape(len(rows), width), range(width))  # type: ignore[arg-type]
        if kinds == {dict}:
            return self._counted(rows, self._pick_names, self._names, dict.get)
        return self._tuples(rows if kinds == {tuple} else [self._tuple(row) for row in rows])

    def _tuple(self, row: Row) -> Row:
        if isinstance(row, bytes):
            return tuple(np.frombuffer(row).tolist())
        return row if isinstance(row, tuple) else tuple(row.get(name) for name in self._names)

    def _tuples(self, rows: Sequence[Row]) -> Integers:
        return self._counted(rows, self._pick, range(len(self.features)), getitem)

    def _counted(
        self,
        rows: Sequence[Row],
        pick: Callable[[Any], tuple[Any, ...]] | None,
        keys: Sequence[Any],
        get: Callable[..., Any],
    ) -> Integers:
        """Return the counts of rows of one form.

        Args:
            rows: n rows.
            pick: takes the values of all numeric features out of a row; None where they are all that is in it.
            keys: under which key each feature is found.
            get: returns what a row has under a key.
        """
        counts = np.zeros(self.size, np.int64)
        if self._numeric:
            pack, numeric = self._row.pack, [keys[place] for place in self._numeric]
            # What is picked is packed and let go of at once, so that the garbage collector has nothing to look at
            packed = _each(
                starmap(pack, rows if pick is None else map(pick, rows)),
                rows,
                lambda row: pack(*[_number(get(row, key)) for key in numeric]),
            )
            floats = np.frombuffer(b"".join(packed)).reshape(len(rows), len(numeric))
            self._count_floats(np.ascontiguousarray(floats.T), counts)
        for place, codes, bins in self._texts:
            found = [_code(codes, bins, get(row, keys[place])) for row in rows]
            start, end = self.starts[place : place + 2]
            counts[start:end] += np.bincount(found, minlength=bins.size)
        return counts

    def matrix(self, values: np.ndarray[Any, Any], columns: Sequence[int]) -> Integers:
        """Return the counts of an array of n rows, the features in its columns of these numbers."""
        counts = np.zeros(self.size, np.int64)
        if values.dtype.kind not in "fiub" or self._texts:
            return self._mixed(values, columns)
        picked = [columns[place] for place in self._numeric]
        if len(values) < _COLUMNS_FROM:
            for first in range(0, len(values), _BLOCK):
                block = values[first : first + _BLOCK]
                self._count_floats(np.ascontiguousarray(block[:, picked].T, np.float64), counts)
            return counts
        step = 65_536
        for first in range(0, len(values), step):
            for place, column in zip(self._numeric, picked, strict=True):
                block = np.ascontiguousarray(values[first : first + step, column], np.float64)
                bins = self.features[place].bins
                start, end = self.starts[place : place + 2]
                counts[start:end] += bins.count_floats(block)  # type: ignore[union-attr] # they are numeric
        return counts

    def table(self, table: object) -> tuple[Integers, int]:
        """Return the counts of a table, and its rows; a column that it lacks is missing in all of them.

        Raises:
            ArtifactError: it is no table, or cannot be read.
            ValueError: it has none of the features.
        """
        counted = count_source(open_table(table), self.features)
        if self.features and not counted.features:
            raise ValueError(
                f"a table with none of the features: it has {', '.join(map(repr, counted.added[:5])) or 'no columns'}"
            )
        counts = np.zeros(self.size, np.int64)
        for place, feature in enumerate(self.features):
            found = counted.features.get(feature.name)
            start, end = self.starts[place : place + 2]
            if found is not None and found.counts:
                counts[start:end] = found.counts
            else:
                counts[end - 1] = counted.rows
        return counts, counted.rows

    def _mixed(self, values: np.ndarray[Any, Any], columns: Sequence[int]) -> Integers:
        picked = [values[:, column].tolist() for column in columns]
        return self._tuples(list(zip(*picked, strict=True)))

    def _count_floats(self, values: Floats, counts: Integers) -> None:
        """Add the counts of an array of features × n: for each value, how many edges lie below it."""
        below: np.ndarray[Any, Any] = np.zeros(values.shape, np.uint8 if len(self._steps) < 256 else np.uint16)
        hit = np.empty(values.shape, bool)
        one = hit.view(np.uint8)  # a sum of bytes needs no conversion
        for step in self._steps:
            height = len(step)
            np.greater(values[:height], step, out=hit[:height])
            np.add(below[:height], one[:height], out=below[:height])
        places = below + self._offsets
        lacking = np.isnan(values)
        if lacking.any():
            np.copyto(places, self._missing + self._offsets, where=lacking)
        counts += np.bincount(places.ravel(), minlength=counts.size)


def _each(results: Iterator[T], rows: Sequence[U], instead: Callable[[U], T]) -> list[T]:
    """Return what an iterator makes of each row, and what `instead` makes of one at which it raises.

    A loop of Python's own for each row would take as long as what is done with it.
    """
    found: list[T] = []
    while True:
        try:
            found.extend(results)  # keeps what came before the one that raises
            return found
        except (KeyError, struct.error, TypeError, ValueError, OverflowError):
            found.append(instead(rows[len(found)]))


def _edges(feature: FeatureReference) -> tuple[float, ...]:
    return feature.bins.edges if isinstance(feature.bins, NumericBins) else ()


def chooser(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values of these keys out of a row, as a tuple."""
    if len(keys) == 1:
        only = keys[0]
        return lambda row: (row[only],)
    return itemgetter(*keys) if keys else lambda row: ()


def _picker(places: Sequence[int], width: int) -> Callable[[Any], tuple[Any, ...]] | None:
    """Return what takes the values of these places out of a row; None if that is all of it, in order."""
    return None if list(places) == list(range(width)) else chooser(places)


def _codes(feature: FeatureReference) -> dict[Any, int]:
    """Return the bin of each category by the value that it is a text of."""
    bins, kind = feature.bins, family(feature.type) if feature.type else "text"
    codes: dict[Any, int] = {None: bins.missing}
    for place, text in enumerate(getattr(bins, "categories", ())):
        codes[text] = place
        if kind == "boolean" and text in ("true", "false"):
            codes[text == "true"] = place
        elif kind == "number":
            try:
                codes[float(text)] = place
            except ValueError:
                continue
    return codes


def _code(codes: Mapping[Any, int], bins: CategoricalBins, value: Any) -> int:
    try:
        found = codes.get(value)
        if found is not None:
            return found
        if type(value) is str:
            return bins.other
        return bins.bin_of(value.item() if isinstance(value, np.generic) else value)
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        return bins.missing if is_missing(value) else bins.other


def _number(value: Any) -> float:
    if value is None or isinstance(value, str | bytes):
        return _NAN
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        return float(as_floats(pa.array([value]))[0])  # a date, a duration
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        return _NAN
