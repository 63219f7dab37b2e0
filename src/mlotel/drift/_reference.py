"""The distributions that later data is compared with, fitted once and kept as JSON that carries its own digest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pyarrow as pa

from mlotel._json import UNDECODABLE
from mlotel.columnar import TableSource, open_table
from mlotel.drift._counts import Counter, Counts, count_source
from mlotel.drift._feature import FeatureReference
from mlotel.drift._fitting import LEAST_WINDOWS, Planned, Settings, fit_features, plan
from mlotel.drift._reading import as_source
from mlotel.drift._segments import split
from mlotel.drift._stored import FORMAT, VERSION, read
from mlotel.errors import ConfigurationError, InvalidReferenceError, nearest
from mlotel.hashing import content_digest

__all__ = ["Reference"]

_MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Reference:
    """What the features of a model looked like in a table: the data that it was trained on, as a rule.

    Attributes:
        rows: rows of the table, m.
        features: the distribution of each feature.
        window: rows of the windows from which overdispersion was found, None if it was not looked for.
        model: name of the model whose features they are.
        model_version: its version.
        left_out: columns that are no features, with their types.
        segment_column: the column whose values the segments are.
        segments: a reference for each value of it.

    >>> reference = Reference.fit(pa.table({"colour": ["red", "red", "blue", None]}))
    >>> reference.features[0].bins.categories, reference.features[0].counts
    (('red', 'blue'), (2, 1, 0, 1))
    """

    rows: int
    features: tuple[FeatureReference, ...]
    window: int | None = None
    model: str | None = None
    model_version: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    segment_column: str | None = None
    segments: Mapping[str, Reference] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        table: object,
        *,
        features: Sequence[str] | None = None,
        kinds: Mapping[str, str] | None = None,
        bins: int = 20,
        categories: int = 50,
        window: int | None = None,
        segments: str | None = None,
        model: str | None = None,
        version: str | None = None,
        moments: bool = True,
    ) -> Reference:
        """Return the reference that a table is.

        The table is read twice (three times with windows), batch by batch; a stream that can be read once is held in
        memory, and so is a table of which segments are wanted. Quantiles are those of the rows, or of a sample of
        32,768 to 65,536 of them where there are more; counts are exact.

        Args:
            table: a table (anything with ``__arrow_c_stream__``), or the path of a Parquet, Feather, Arrow or CSV file,
                or of a folder of those.
            features: the columns to watch; by default all but dates and timestamps, which are new in each window, and
                columns of lists, structs and bytes.
            kinds: ``"numeric"`` or ``"categorical"`` by column, where the type does not tell: numbers are numeric,
                texts and booleans categorical.
            bins: how many equally likely bins a numeric feature has at first.
            categories: how many categories have a bin of their own, the most frequent ones.
            window: how many rows the windows will have that are compared. Windows of the reference of this size, rows
                that follow each other, then tell how much windows differ anyway. The rows must be in the order of
                time: shuffled rows hide it.
            segments: a column, each value of which gets a reference of its own beside that of all rows: hour of week.
            model: name of the model whose features they are.
            version: its version.
            moments: whether mean, variance and so on are kept as well.

        Raises:
            ArtifactError: it is no table, cannot be read, or has no rows.
            ConfigurationError: there is no such column, it cannot be of that kind, or a number is out of range.
        """
        _check_range("bins", bins, 2, 1000)
        _check_range("categories", categories, 1, 5000)
        if window is not None:
            _check_range("window", window, 2, 1 << 62)
        source = _rereadable(as_source(table))
        planned, left_out = plan(source.schema, features, kinds, () if segments is None else (segments,))
        if segments is not None and segments not in source.schema.names:
            raise ConfigurationError(f"no column {segments!r} for segments{nearest(segments, source.schema.names)}")
        settings = Settings(bins, categories, moments)
        if segments is not None and source.table is None:
            source = open_table(pa.Table.from_batches(source.batches(), source.schema))
        rows, fitted = fit_features(source, planned, window=window, settings=settings)
        whole = cls(rows, fitted, window, model, version, left_out, segments)
        if segments is None or source.table is None:
            return whole
        return replace(whole, segments=_segmented(whole, source.table, planned, settings))

    def feature(self, name: str) -> FeatureReference:
        """Return the feature of this name.

        Raises:
            ConfigurationError: there is none.
        """
        for each in self.features:
            if each.name == name:
                return each
        known = [each.name for each in self.features]
        raise ConfigurationError(f"the reference has no feature {name!r}{nearest(name, known)}")

    def segment(self, name: object) -> Reference:
        """Return the reference of one segment.

        Raises:
            ConfigurationError: there is none.
        """
        found = self.segments.get(f"{name}")
        if found is None:
            known = list(self.segments)
            what = f"{nearest(f'{name}', known)}" if known else ": fit the reference with segments="
            raise ConfigurationError(f"the reference has no segment {name!r}{what or ': ' + ', '.join(known[:10])}")
        return found

    def counts(self, table: object, *, moments: bool = False) -> Counts:
        """Return how many rows of a table lie in each bin of each feature: one pass, integers that add up.

        Args:
            table: a table, or the path of a table's file.
            moments: whether moments of numeric features are computed as well.

        Raises:
            ArtifactError: it is no table, or cannot be read.
        """
        return count_source(as_source(table), self.features, moments=moments, ignored=self._known)

    def counter(self, *, moments: bool = False) -> Counter:
        """Return what counts a table's batches in the bins of each feature while somebody else reads them.

        Args:
            moments: whether moments of numeric features are computed as well.
        """
        return Counter(self.features, moments=moments, ignored=self._known)

    @property
    def _known(self) -> tuple[str, ...]:
        return (*self.left_out, *(() if self.segment_column is None else (self.segment_column,)))

    def merge(self, other: Reference) -> Reference:
        """Return the reference that both tables together are; exact, if `other` was counted in this one's bins.

        Counts, rows and moments add up. Overdispersion does not: the larger one is kept. Bins do not change, so that
        parts are fitted by ``first.recounted(part)``. Segments are merged where both have them.

        Raises:
            InvalidReferenceError: the features or their bins are others.
        """
        mine, others = ({each.name: each for each in one.features} for one in (self, other))
        if mine.keys() != others.keys() or any(mine[name].bins != others[name].bins for name in mine):
            raise InvalidReferenceError(
                "references with different bins cannot be merged: fit one and take `recounted` of it for the others"
            )
        segments = {
            name: self.segments[name].merge(other.segments[name]) for name in self.segments if name in other.segments
        }
        merged = tuple(_merged(each, others[each.name]) for each in self.features)
        return replace(self, rows=self.rows + other.rows, features=merged, segments=segments)

    def recounted(self, table: object) -> Reference:
        """Return a reference with the bins of this one and the counts and moments of another table, without segments.

        Raises:
            ArtifactError: it is no table, cannot be read, has no rows, or lacks a feature.
        """
        counted = self.counts(table, moments=True)
        whole = {name for name, each in counted.features.items() if each.counts}
        lacking = [each.name for each in self.features if each.name not in whole]
        if lacking or not counted.rows:
            what = f"no column {lacking[0]!r} of that kind" if lacking else "no rows"
            raise InvalidReferenceError(f"the table has {what}: give a table like the one the reference was fitted on")
        features = tuple(
            replace(each, counts=counted.features[each.name].counts, moments=counted.features[each.name].moments)
            for each in self.features
        )
        return replace(self, rows=counted.rows, features=features, segments={}, segment_column=None)

    # -- as JSON

    @property
    def digest(self) -> str:
        """The digest of the content: ``blake3:…``, over the keys of `document` in order, without blanks."""
        return content_digest(msgspec.json.encode(self._content(), order="sorted"))

    def document(self) -> dict[str, Any]:
        """Return it as plain values for JSON, as ``reference.schema.json`` describes them."""
        return {**self._content(), "digest": self.digest}

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": {"name": self.model, "version": self.model_version},
            "rows": self.rows,
            "window": self.window,
            "features": [each.document() for each in self.features],
            "left_out": dict(self.left_out),
            "segments": {
                "column": self.segment_column,
                "references": [
                    {"segment": name, "rows": each.rows, "features": [one.document() for one in each.features]}
                    for name, each in self.segments.items()
                ],
            },
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, which is there whole or not at all."""
        name = os.fspath(path)
        draft = f"{name}.{os.getpid()}.part"
        try:
            with open(draft, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self.document())) + b"\n")
            os.replace(draft, name)
        except BaseException:
            if os.path.exists(draft):
                os.unlink(draft)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reference:
        """Return the reference that `save` wrote to a file.

        Raises:
            InvalidReferenceError: it cannot be read, is none, is of an unknown version, or was changed.
        """
        name = os.fspath(path)
        try:
            with open(name, "rb") as file:
                text = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise InvalidReferenceError(f"{name}: cannot be read: {error.strerror or error}") from error
        try:
            return cls.from_json(text)
        except InvalidReferenceError as error:
            raise InvalidReferenceError(f"{name}: {error}") from error

    @classmethod
    def from_json(cls, text: bytes | str) -> Reference:
        """Return the reference of which `document` was written as JSON.

        Raises:
            InvalidReferenceError: it is none, is of an unknown version, or was changed.
        """
        if len(text) > _MOST_BYTES:
            raise InvalidReferenceError(f"larger than {_MOST_BYTES >> 20} MB, which no reference is: fit it anew")
        try:
            document = msgspec.json.decode(text)
        except UNDECODABLE as error:
            raise InvalidReferenceError(f"no JSON ({error}): a reference is what `mlotel reference` writes") from error
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Reference:
        """Return the reference that `document` made plain values of.

        Raises:
            InvalidReferenceError: it is none, is of an unknown version, or was changed.
        """
        stored = read(document)
        whole = cls(
            stored.rows,
            stored.features,
            stored.window,
            stored.model,
            stored.model_version,
            stored.left_out,
            stored.segment_column,
        )
        segments = {
            name: replace(whole, rows=rows, features=features) for name, (rows, features) in stored.segments.items()
        }
        found = replace(whole, segments=segments)
        try:
            digest = found.digest
        except UnicodeEncodeError as error:
            raise InvalidReferenceError("a text in it is half of a surrogate pair, which no file can hold") from error
        if digest != stored.digest:
            raise InvalidReferenceError("its content is not that of its digest: it was changed after it was written")
        return found


def _rereadable(source: TableSource) -> TableSource:
    if not source.one_shot:
        return source
    batches = list(source.batches())
    return open_table(pa.Table.from_batches(batches, batches[0].schema if batches else source.schema))


def _segmented(
    whole: Reference, table: pa.Table, planned: Sequence[Planned], settings: Settings
) -> dict[str, Reference]:
    segments = {}
    for name, part in split(table, f"{whole.segment_column}"):
        # Too few rows for windows of their own: those of all rows tell how much windows differ
        window = whole.window if whole.window and part.num_rows >= LEAST_WINDOWS * whole.window else None
        rows, features = fit_features(open_table(part), planned, window=window, settings=settings)
        if window is None:
            features = tuple(
                replace(each, overdispersion=all_.overdispersion, excess=all_.excess)
                for each, all_ in zip(features, whole.features, strict=True)
            )
        segments[name] = replace(whole, rows=rows, features=features)
    return segments


def _merged(one: FeatureReference, other: FeatureReference) -> FeatureReference:
    return replace(
        one,
        counts=tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)),
        moments=None if one.moments is None or other.moments is None else one.moments.merge(other.moments),
        overdispersion=max(one.overdispersion, other.overdispersion),
        excess=max(one.excess, other.excess),
        windows=max(one.windows, other.windows),
    )


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{name} is {value}: give a number from {least:,} to {most:,}")
