"""One pass over a table, and the profile of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlotel import columnar
from mlotel.errors import ArtifactError, nearest
from mlotel.profiling._accumulators import Accumulator, accumulator
from mlotel.profiling._profile import GroupProfile, Key, Profile
from mlotel.profiling._sketches import library
from mlotel.profiling._types import decode

__all__ = ["Profiler", "check_options", "profile", "profile_batches"]

_FREQUENT = ("numbers", "all", "none")
_OTHER = -1
_PIECE_ROWS = 131_072
_PIECE_BYTES = 32 << 20


def profile(
    table: object,
    *,
    by: str | Sequence[str] | None = None,
    frequent: Literal["numbers", "all", "none"] = "numbers",
    most_groups: int = 100,
) -> Profile:
    """Return the profile of a table, computed in one pass over its record batches.

    Args:
        table: anything with ``__arrow_c_stream__`` (pyarrow, pandas, polars, duckdb; a stream is consumed), a
            `pyarrow.dataset.Dataset`, or the path of a Parquet, Feather or Arrow IPC file, or of a folder of those.
        by: a column, or several: one profile for each group of rows that have the same values there.
        frequent: whose most frequent values are told: those of numbers and times, of all columns, or of none. Texts are
            the data themselves, and often about people; they are told only to who asks.
        most_groups: how many groups are kept apart, those that come first; the rows of all others are one profile.

    Raises:
        ArtifactError: it is no table or cannot be read to its end, two columns have one name, or `by` names none.
        MissingExtraError: datasketches is not installed.
        ValueError: `frequent` is another word, or `most_groups` is negative.
    """
    library()  # what is missing is told before anything is read
    source = _open(table)
    columns = check_options(source.schema, by, frequent, most_groups)
    return profile_batches(source.schema, source.batches(), by=columns, frequent=frequent, most_groups=most_groups)


def check_options(
    schema: pa.Schema, by: str | Sequence[str] | None, frequent: str, most_groups: int
) -> tuple[str, ...]:
    """Return the columns to group by, if the options of `profile` go with a schema (an empty one is not known yet).

    Raises:
        ArtifactError: two columns have one name, or `by` names none, or one of nested values.
        MissingExtraError: datasketches is not installed.
        ValueError: `frequent` is another word, or `most_groups` is negative.
    """
    if frequent not in _FREQUENT:
        raise ValueError(f"frequent={frequent!r} is none of {', '.join(_FREQUENT)}{nearest(str(frequent), _FREQUENT)}")
    if most_groups < 0:
        raise ValueError(f"most_groups={most_groups} is no number of groups: give 0 or more")
    library()
    columns = (by,) if isinstance(by, str) else tuple(by or ())
    if len(schema):
        _check(schema, columns)
    return columns


def _open(table: object) -> columnar.TableSource:
    if isinstance(table, str | os.PathLike):
        return columnar.open_folder(table) if os.path.isdir(table) else columnar.open_path(table, texts=True)
    if columnar.is_dataset(table):
        return columnar.open_dataset(table)
    return columnar.open_table(table)


def profile_batches(
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    *,
    by: tuple[str, ...] = (),
    frequent: str = "numbers",
    most_groups: int = 100,
) -> Profile:
    """Return the profile of record batches, as `profile` does.

    Args:
        schema: their schema; empty where it is known only from the first batch.
        batches: the batches.
        by: columns to group by.
        frequent: as for `profile`.
        most_groups: as for `profile`.
    """
    first = next(batches, None)
    if first is not None and not len(schema):
        schema = first.schema
    _check(schema, by)
    pieces = _pieces(schema, first, batches)
    if not by:
        whole = _Table(schema, frequent)
        for piece in pieces:
            whole.add(piece)
        return whole.profile()
    return _by_groups(schema, pieces, by, frequent, most_groups)


class Profiler:
    """Profiles record batches that somebody else reads.

    Args:
        frequent: as for `profile`.

    Raises:
        MissingExtraError: datasketches is not installed.
    """

    def __init__(self, *, frequent: Literal["numbers", "all", "none"] = "numbers") -> None:
        library()
        self._frequent = frequent
        self._table: _Table | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch.

        Raises:
            ArtifactError: two columns have one name.
        """
        if self._table is None:
            _check(batch.schema, ())
            self._table = _Table(batch.schema, self._frequent)
        self._table.add([batch])

    @property
    def profile(self) -> Profile | None:
        """The profile of what was added; None where nothing was."""
        return None if self._table is None else self._table.profile()


def _check(schema: pa.Schema, by: tuple[str, ...]) -> None:
    names = schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArtifactError(f"two columns are called {twice!r}: rename one of them")
    for name in by:
        if name not in names:
            raise ArtifactError(f"no column {name!r} to group by{nearest(name, names) or f': there are {names[:10]}'}")
        if pa.types.is_nested(schema.field(name).type):
            raise ArtifactError(f"column {name!r} is of type {schema.field(name).type}: group by one of plain values")


def _pieces(
    schema: pa.Schema, first: pa.RecordBatch | None, batches: Iterator[pa.RecordBatch]
) -> Iterator[list[pa.RecordBatch]]:
    """Yield batches, small ones together: each piece costs some time whatever its size."""
    piece: list[pa.RecordBatch] = []
    rows = size = 0
    batch = first
    while batch is not None:
        if piece and (rows + batch.num_rows > _PIECE_ROWS or size > _PIECE_BYTES):
            yield piece
            piece, rows, size = [], 0, 0
        piece.append(batch)
        rows += batch.num_rows
        size += _size(batch)
        batch = next(batches, None)
    if piece:
        yield piece


def _size(batch: pa.RecordBatch) -> int:
    try:
        return int(batch.nbytes)
    except (NotImplementedError, ValueError, TypeError):  # types of which older versions of pyarrow cannot tell
        return 0


class _Table:
    """The profile of a table, or of a group of its rows, in the making."""

    def __init__(self, schema: pa.Schema, frequent: str) -> None:
        texts, numbers = frequent == "all", frequent != "none"
        self.rows = 0
        self.columns: list[Accumulator] = [accumulator(each, texts=texts, frequent=numbers) for each in schema]

    def add(self, piece: Sequence[pa.RecordBatch]) -> None:
        """Add the rows of some batches."""
        self.rows += sum(batch.num_rows for batch in piece)
        for index, column in enumerate(self.columns):
            for array in _joined([batch.column(index) for batch in piece]):
                if len(array):
                    column.add(array)

    def profile(self) -> Profile:
        """Return the profile of what was added."""
        return Profile(self.rows, tuple(column.profile() for column in self.columns))


def _joined(arrays: list[pa.Array]) -> list[pa.Array]:
    if len(arrays) == 1:
        return arrays
    try:
        return [pa.concat_arrays(arrays)]
    except (pa.ArrowException, NotImplementedError):  # types that cannot be joined: dictionaries within structs
        return arrays


def _together(piece: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return the batches of a piece as one, if they can be joined; empty ones are left out."""
    filled = [batch for batch in piece if batch.num_rows]
    if len(filled) < 2:
        return filled
    columns = [_joined([batch.column(index) for batch in filled]) for index in range(filled[0].num_columns)]
    if any(len(each) > 1 for each in columns):
        return filled
    return [pa.RecordBatch.from_arrays([each[0] for each in columns], schema=filled[0].schema)]


def _by_groups(
    schema: pa.Schema, pieces: Iterator[list[pa.RecordBatch]], by: tuple[str, ...], frequent: str, most: int
) -> Profile:
    kept: dict[Key, int] = {}
    tables: dict[int, _Table] = {}
    for piece in pieces:
        for batch in _together(piece):
            codes, keys = _coded(batch, by)
            for key in keys:
                if key not in kept and len(kept) < most:
                    kept[key] = len(kept)
            targets = np.array([kept.get(key, _OTHER) for key in keys])[codes]
            for target, rows in _split(batch, targets):
                if target not in tables:
                    tables[target] = _Table(schema, frequent)
                tables[target].add([rows])
    rest = tables[_OTHER].profile() if _OTHER in tables else None
    groups = [GroupProfile(key, tables[target].profile()) for key, target in kept.items()]
    groups.sort(key=lambda group: -group.profile.rows)
    parts = [each.profile for each in groups] + ([] if rest is None else [rest])
    whole = Profile.merge_all(parts) if parts else _Table(schema, frequent).profile()
    return Profile(whole.rows, whole.columns, by, tuple(groups), rest, most)


def _coded(batch: pa.RecordBatch, by: tuple[str, ...]) -> tuple[np.ndarray, list[Key]]:
    """Return a number for each row of a batch, and the values that each number stands for."""
    codes = np.zeros(batch.num_rows, np.int64)
    encoded = [pc.dictionary_encode(decode(batch.column(name)), null_encoding="encode") for name in by]
    for each in encoded:
        codes = codes * len(each.dictionary) + np.asarray(each.indices)
        codes = np.unique(codes, return_inverse=True)[1]  # numbered anew: products of many would not fit
    firsts = pa.array(np.unique(codes, return_index=True)[1])
    values = [map(_key_value, each.take(firsts).to_pylist()) for each in encoded]
    return codes, list(zip(*values, strict=True))


def _split(batch: pa.RecordBatch, targets: np.ndarray) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of a batch by where they belong."""
    found, counts = np.unique(targets, return_counts=True)
    rows = batch if found.size == 1 else batch.take(pa.array(np.argsort(targets, kind="stable")))
    start = 0
    for target, count in zip(found.tolist(), counts.tolist(), strict=True):
        yield target, rows.slice(start, count)
        start += count


def _key_value(value: Any) -> str | int | float | bool | None:
    if value is None or value != value:
        return None
    if isinstance(value, bool | int | float | str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)
