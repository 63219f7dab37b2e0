"""Profiles of tables that are too large for one machine: made where Spark holds their rows, and merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from mlotel.errors import ArtifactError
from mlotel.profiling import Profile, check_options, profile_batches

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["profile"]

_COLUMN = "profile"
_MERGERS = 8
_NESTED = ("array", "map", "struct")


def profile(
    df: DataFrame,
    *,
    by: str | Sequence[str] | None = None,
    frequent: Literal["numbers", "all", "none"] = "numbers",
    most_groups: int = 100,
) -> Profile:
    """Return the profile of a Spark DataFrame, as `mlotel.profile` makes it of a table.

    Each partition is profiled by `mapInArrow` where it lies; some tasks merge what comes of that, and the driver the
    rest. No rows leave their partitions. mlotel has to be installed for the executors, with ``mlotel[profile]``.

    Args:
        df: the DataFrame; it is computed once.
        by: as for `mlotel.profile`.
        frequent: as for `mlotel.profile`.
        most_groups: as for `mlotel.profile`; of groups that not all partitions kept apart the rows are in `other`.

    Raises:
        ArtifactError: it is no Spark DataFrame, two columns have one name, or `by` names none.
        MissingExtraError: datasketches is not installed.
        ValueError: `frequent` is another word, or `most_groups` is negative.
    """
    fields = _fields(df)
    known = pa.schema([(name, pa.list_(pa.null()) if type in _NESTED else pa.null()) for name, type in fields])
    columns = check_options(known, by, frequent, most_groups)

    def of_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _rows(
            profile_batches(pa.schema([]), iter(batches), by=columns, frequent=frequent, most_groups=most_groups)
        )

    parts = (
        df.mapInArrow(of_partition, f"{_COLUMN} string").repartition(_MERGERS).mapInArrow(_merge, f"{_COLUMN} string")
    )
    found = Profile.merge_all(Profile.from_json(row[_COLUMN]) for row in parts.collect())
    if found:
        return found
    # Without rows there are no batches, but columns all the same; as those of type null they merge with any others.
    empty = pa.schema([(name, pa.null()) for name, _ in fields])
    return profile_batches(empty, iter(()), by=columns, frequent=frequent, most_groups=most_groups)


def _fields(df: DataFrame) -> list[tuple[str, str]]:
    """Return the names of columns and of their types."""
    if not hasattr(type(df), "mapInArrow"):
        name = f"{type(df).__module__}.{type(df).__qualname__}"
        raise ArtifactError(f"{name} is no Spark DataFrame: mlotel.profile takes other tables")
    return [(field.name, field.dataType.typeName()) for field in df.schema.fields]


def _merge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    texts: Iterator[Any] = (text for batch in batches for text in batch.column(0).to_pylist())
    return _rows(Profile.merge_all(map(Profile.from_json, texts)))


def _rows(found: Profile) -> Iterator[pa.RecordBatch]:
    """Yield a row with a profile as JSON, or none where there is nothing to tell."""
    if found:
        yield pa.RecordBatch.from_arrays([pa.array([found.to_json()])], [_COLUMN])
