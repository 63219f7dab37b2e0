"""What was counted of a window of rows, feature by feature; counts of parts add up to those of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mlotel.columnar import TableSource
from mlotel.drift._bins import Bins, CategoricalBins, NumericBins, distinct
from mlotel.drift.columns import Floats, Integers, as_floats, family
from mlotel.errors import ArtifactError
from mlotel.profiling.moments import Moments

__all__ = ["Binned", "Counter", "Counts", "FeatureCounts", "Tally", "count_source", "finite_moments"]

_EXAMPLES = 5
_SHOWN = 80


class Binned(Protocol):
    """A feature as far as counting needs it."""

    @property
    def name(self) -> str:
        """The column's name."""
        ...

    @property
    def type(self) -> str:
        """The Arrow type that the reference's column had, as text; empty if that is not known."""
        ...

    @property
    def bins(self) -> Bins:
        """How its values are cut."""
        ...


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """How many rows of a window lie in each bin of one feature.

    Attributes:
        counts: one integer a bin, the missing values last; empty if the column holds what cannot be counted in these
            bins, text for instance where the reference has numbers.
        type: the column's Arrow type, as text; empty if that is not known.
        moments: of the finite values, where they were asked for.
        unseen: some of the values, cut, that are no category of the reference.
    """

    counts: tuple[int, ...]
    type: str = ""
    moments: Moments | None = None
    unseen: tuple[str, ...] = ()

    def merge(self, other: FeatureCounts) -> FeatureCounts:
        """Return the counts of both together.

        Raises:
            ArtifactError: they were counted in other bins.
        """
        if len(self.counts) != len(other.counts):
            raise ArtifactError(
                "counts of different bins cannot be added up: count all parts with the same reference, and types alike"
            )
        moments = None if self.moments is None or other.moments is None else self.moments.merge(other.moments)
        return FeatureCounts(
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            self.type or other.type,
            moments,
            tuple(dict.fromkeys((*self.unseen, *other.unseen)))[:_EXAMPLES],
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of a window of rows with a reference.

    Attributes:
        rows: how many rows.
        features: by name, those of the reference's features that the table has.
        added: columns of the table that the reference does not know.
    """

    rows: int
    features: Mapping[str, FeatureCounts]
    added: tuple[str, ...] = ()

    def merge(self, other: Counts) -> Counts:
        """Return the counts of both together: of two parts of a table, or two replicas of a service.

        A feature that one of them lacks is lacking: its counts would not be of all rows.

        Raises:
            ArtifactError: they were counted with different references.
        """
        if not self.rows or not other.rows:
            return self if self.rows else other
        both = {
            name: mine.merge(other.features[name]) for name, mine in self.features.items() if name in other.features
        }
        return Counts(self.rows + other.rows, both, tuple(dict.fromkeys((*self.added, *other.added))))

    def check(self, features: Iterable[Binned]) -> None:
        """See that these are counts in the bins of these features.

        Raises:
            ArtifactError: they were counted with another reference, or are not of all rows.
        """
        for feature in features:
            found = self.features.get(feature.name)
            if found is None or not found.counts:
                continue
            if len(found.counts) != feature.bins.size or sum(found.counts) != self.rows or min(found.counts) < 0:
                raise ArtifactError(
                    f"the counts of {feature.name!r} are not of {self.rows:,} rows in {feature.bins.size:,} bins: "
                    "count with the reference that they are compared with"
                )

    def document(self) -> dict[str, Any]:
        """Return them as plain values for JSON; moments are left out."""
        return {
            "rows": self.rows,
            "features": {
                name: {"counts": list(each.counts), "type": each.type, "unseen": list(each.unseen)}
                for name, each in self.features.items()
            },
            "added": list(self.added),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Counts:
        """Return what `document` made plain values of.

        Raises:
            KeyError, TypeError, AttributeError: it made them of something else.
        """
        return cls(
            _count(document["rows"]),
            {
                _text(name): FeatureCounts(
                    tuple(map(_count, each["counts"])), _text(each["type"]), None, tuple(map(_text, each["unseen"]))
                )
                for name, each in document["features"].items()
            },
            tuple(map(_text, document["added"])),
        )


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise TypeError("no count where one belongs")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text where one belongs")
    return value


@dataclass(slots=True)
class Tally:
    """The counts of one feature while its column is read."""

    bins: Bins
    moments: Moments | None
    counts: Integers = field(init=False)
    unseen: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.bins.size, np.int64)

    def add(self, array: pa.Array | pa.ChunkedArray) -> None:
        """Count the values of a part of the column."""
        if isinstance(self.bins, CategoricalBins):
            texts, numbers = distinct(array)
            self.counts += self.bins.count_distinct(texts, numbers)
            if len(self.unseen) < _EXAMPLES and self.counts[self.bins.other]:
                self._remember(texts)
            return
        for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
            if self.moments is None or not self.bins.edges:
                self.counts += self.bins.count(chunk)
            else:
                values = as_floats(chunk)
                self.counts += self.bins.count_floats(values)
                self.moments = self.moments.merge(finite_moments(values))

    def counted(self, type_: str = "") -> FeatureCounts:
        """Return what was counted."""
        return FeatureCounts(tuple(map(int, self.counts)), type_, self.moments, tuple(self.unseen))

    def _remember(self, texts: pa.Array) -> None:
        known = set(self.bins.categories) if isinstance(self.bins, CategoricalBins) else set()
        for text in texts:
            value = text.as_py()
            if value is not None and value not in known:
                self.unseen[value[:_SHOWN]] = None
                if len(self.unseen) == _EXAMPLES:
                    return


def finite_moments(values: Floats) -> Moments:
    """Return the moments of those of n float64 that are finite."""
    found = Moments.of(values)
    if np.isfinite(found.mean) or not values.size:
        return found
    return Moments.of(values[np.isfinite(values)])


class Counter:
    """Counts the rows of a table in the bins of some features, batch by batch as others read it.

    Args:
        features: what is looked for in it.
        moments: whether moments are computed as well.
        ignored: columns that are known and no features.
    """

    def __init__(self, features: Sequence[Binned], *, moments: bool = False, ignored: Iterable[str] = ()) -> None:
        self._features = features
        self._moments = moments
        self._ignored = tuple(ignored)
        self._rows = 0
        self._schema: pa.Schema | None = None
        self._tallies: dict[str, Tally] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch."""
        if self._schema is None:
            self._schema = batch.schema
            self._tallies = _tallies(batch.schema, self._features, self._moments)
        for name, tally in self._tallies.items():
            tally.add(batch.column(self._schema.get_field_index(name)))
        self._rows += batch.num_rows

    @property
    def counts(self) -> Counts | None:
        """What was counted so far; None before the first batch."""
        if self._schema is None:
            return None
        return Counts(
            self._rows,
            _counted(self._schema, self._features, self._tallies),
            _added(self._schema, self._features, self._ignored),
        )


def count_source(
    source: TableSource,
    features: Sequence[Binned],
    *,
    moments: bool = False,
    ignored: Iterable[str] = (),
) -> Counts:
    """Return the counts of a table's columns in the bins of some features, in one pass.

    Args:
        source: the table.
        features: what is looked for in it.
        moments: whether moments are computed as well.
        ignored: columns that are known and no features.
    """
    if source.table is None:
        counter = Counter(features, moments=moments, ignored=ignored)
        for batch in source.batches():
            counter.add(batch)
        if (counts := counter.counts) is not None:
            return counts
    tallies = _tallies(source.schema, features, moments)
    if source.table is not None:
        # Whole columns: the distinct values of a table in memory are found at once, not batch by batch
        for name, tally in tallies.items():
            tally.add(source.table.column(name))
    total = 0 if source.table is None else source.table.num_rows
    return Counts(total, _counted(source.schema, features, tallies), _added(source.schema, features, ignored))


def _tallies(schema: pa.Schema, features: Sequence[Binned], moments: bool) -> dict[str, Tally]:
    tallies = {}
    for feature in features:
        places = schema.get_all_field_indices(feature.name)
        if len(places) > 1:
            raise ArtifactError(f"{len(places)} columns are named {feature.name!r}: give each a name of its own")
        if places and _countable(feature, schema.field(places[0]).type):
            numeric = moments and isinstance(feature.bins, NumericBins)
            tallies[feature.name] = Tally(feature.bins, Moments() if numeric else None)
    return tallies


def _countable(feature: Binned, type_: pa.DataType) -> bool:
    """Whether values of a type can be put into a feature's bins at all."""
    kind = family(type_)
    if kind is None:
        return False
    if isinstance(feature.bins, NumericBins):
        return not feature.bins.edges or kind != "text"
    return True


def _counted(schema: pa.Schema, features: Iterable[Binned], tallies: Mapping[str, Tally]) -> dict[str, FeatureCounts]:
    counted = {}
    for feature in features:
        place = schema.get_field_index(feature.name)
        if place < 0:
            continue
        tally, type_ = tallies.get(feature.name), f"{schema.field(place).type}"
        counted[feature.name] = FeatureCounts((), type_) if tally is None else tally.counted(type_)
    return counted


def _added(schema: pa.Schema, features: Iterable[Binned], ignored: Iterable[str]) -> tuple[str, ...]:
    known = {*(feature.name for feature in features), *ignored}
    return tuple(name for name in dict.fromkeys(schema.names) if name not in known)
