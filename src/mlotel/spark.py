"""Tables that are too large for one machine: profiled and compared where Spark holds their rows, then merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa

from mlotel import drift
from mlotel.drift import Counts, DriftResult, Reference
from mlotel.drift.tolerance import ALPHA, DELTA
from mlotel.errors import ArtifactError
from mlotel.profiling import Profile, check_options, profile_batches

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["compare", "profile"]

_COLUMN = "part"
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


def compare(
    reference: Reference, df: DataFrame, *, segment: object = None, delta: float = DELTA, alpha: float = ALPHA
) -> DriftResult:
    """Return what changed between a reference and the rows of a Spark DataFrame, as `mlotel.drift.compare` finds it.

    Each partition is counted by `mapInArrow` where it lies; counts are integers and add up, so that the answer is that
    of one machine. No rows leave their partitions. mlotel has to be installed for the executors.

    Args:
        reference: what the rows are compared with.
        df: the DataFrame; it is computed once.
        segment: compare with this segment of the reference; the rows have to be those of the segment.
        delta: the PSI that is tolerated, as for `mlotel.drift.compare`.
        alpha: the level of all tests together, as for `mlotel.drift.compare`.

    Raises:
        ArtifactError: it is no Spark DataFrame, or has no rows.
        ConfigurationError: there is no such segment, or a number is out of range.
    """
    _fields(df)
    then = reference if segment is None else reference.segment(segment)

    def of_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counter = then.counter()
        for batch in batches:
            counter.add(batch)
        if counter.counts is not None:
            yield _row(msgspec.json.encode(counter.counts.document()).decode())

    total: Counts | None = None
    for row in df.mapInArrow(of_partition, f"{_COLUMN} string").collect():
        part = Counts.from_document(msgspec.json.decode(row[_COLUMN]))
        total = part if total is None else total.merge(part)
    if total is None:
        raise ArtifactError("the DataFrame has no rows: there is nothing to compare")
    return drift.compare(then, total, delta=delta, alpha=alpha)


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
        yield _row(found.to_json())


def _row(text: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([text])], [_COLUMN])
