"""The predictions of one key, out of any number: read from sorted files by their row groups, and from the journal.

A look-up reads the footer of each file and one column of one row group in it: about a millisecond a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlotel.model import Prediction
from mlotel.store.lines import blocks
from mlotel.store.predictions.keys import MOST_CHARACTERS, RecordKeys, key_text
from mlotel.store.predictions.parts import Part, model_name, parts
from mlotel.store.predictions.rows import (
    BAD_LINE,
    SCHEMA,
    day_of,
    fits,
    hashes_of,
    needle,
    prediction_of,
    predictions_of,
    row_of_line,
)
from mlotel.store.predictions.tails import tails

__all__ = ["LookUp"]

_LARGEST_GROUP = 1 << 20  # rows: no file of ours has a row group of so many
_LARGEST_GROUP_BYTES = 256 << 20
_COLUMN = "key_hash"
# What reading a file that is damaged, or none of ours, may raise
_UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, OverflowError)


@dataclass(slots=True)
class LookUp:
    """Looks up keys in the data set at `root`; `problems` says, by path, what could not be read.

    Args:
        root: folder of the data set; there need be none.
        own_secret: the secret of the store that it belongs to.
    """

    root: Path
    own_secret: bytes | None = None
    problems: dict[Path, str] = field(default_factory=dict)

    def find(
        self, key: str, *, secret: bytes | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> tuple[Prediction, ...]:
        """Return the predictions of a key within a time range, latest first.

        Args:
            key: the key as it was logged.
            secret: what keys were hashed with; those hashed with the store's own, or without, are found as well.
            since_ns: predictions made at or after this time, nanoseconds since the epoch.
            until_ns: predictions made at or before this time.
        """
        text = key_text(key)
        if text is None:
            return ()
        wanted = {
            RecordKeys(each).hash(text): text[:MOST_CHARACTERS] if each is None else None for each in self._ways(secret)
        }
        days = "" if since_ns is None else day_of(since_ns), "9999-99-99" if until_ns is None else day_of(until_ns)
        found = self._rows(wanted, days)
        # What was moved from one file into another may have been read in both.
        distinct = dict.fromkeys(
            each
            for each in found
            if (since_ns is None or each.time_ns >= since_ns) and (until_ns is None or each.time_ns <= until_ns)
        )
        return tuple(sorted(distinct, key=lambda each: each.time_ns, reverse=True))

    def _ways(self, secret: bytes | None) -> Sequence[bytes | None]:
        return [*(each for each in (secret, self.own_secret) if each), None]

    def _rows(self, wanted: dict[int, str | None], days: tuple[str, str]) -> list[Prediction]:
        gone: set[Path] = set()
        while True:
            before = len(gone)
            self.problems.clear()
            # In this order: what another process moves meanwhile from the journal into a file is met there.
            found = [
                *(each for path in tails(self.root) for each in self._tell(path, gone, _of_tail(path, wanted))),
                *(
                    each
                    for part in parts(self.root, *days)
                    for each in self._tell(part.path, gone, _of_part(part, wanted))
                ),
            ]
            if len(gone) == before:
                return found

    def _tell(self, path: Path, gone: set[Path], found: Iterator[Prediction]) -> list[Prediction]:
        """What is found in one file. One that is gone was moved into another since it was listed: then all is read
        again, unless it is still listed then.
        """
        try:
            return list(found)
        except _UNREADABLE as error:
            if isinstance(error, FileNotFoundError) and path not in gone:
                gone.add(path)
            else:
                self.problems[path] = str(error).splitlines()[0] if str(error) else type(error).__name__
            return []


def _of_part(part: Part, wanted: dict[int, str | None]) -> Iterator[Prediction]:
    with pq.ParquetFile(part.path) as file:
        schema = file.schema_arrow
        if not fits(schema):
            raise ValueError("not a file of keyed predictions")
        model = model_name(schema, part)
        for group in _groups(file.metadata, wanted):
            hashes = hashes_of(file.read_row_group(group, columns=[_COLUMN]))
            rows = np.flatnonzero(np.isin(hashes, np.array(list(wanted), dtype=np.uint64))).tolist()
            if rows:
                table = file.read_row_group(group, columns=SCHEMA.names)
                found = pa.concat_tables([table.slice(row, 1) for row in rows])
                yield from _confirmed(predictions_of(found, model), wanted)


def _groups(metadata: pq.FileMetaData, wanted: dict[int, str | None]) -> Iterator[int]:
    """The row groups in which one of the hashes may be. Raises ValueError for one too large to be of ours."""
    column = next(n for n in range(metadata.num_columns) if metadata.schema.column(n).path == _COLUMN)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        statistics = group.column(column).statistics
        if statistics is not None and statistics.has_min_max:
            low, high = statistics.min, statistics.max
            if not any(low <= each <= high for each in wanted):
                continue
        if group.num_rows > _LARGEST_GROUP or group.total_byte_size > _LARGEST_GROUP_BYTES:
            raise ValueError("a row group too large to be read")
        yield number


def _of_tail(path: Path, wanted: dict[int, str | None]) -> Iterator[Prediction]:
    needles = tuple(map(needle, wanted))
    with open(path, "rb") as file:
        for block in blocks(file):
            for line in block.lines:
                if line.startswith(needles) and line.endswith(b"\n"):  # else it is still being written
                    with contextlib.suppress(*BAD_LINE):
                        model, values = row_of_line(line)
                        yield from _confirmed([prediction_of(values, model)], wanted)


def _confirmed(found: Iterable[Prediction], wanted: dict[int, str | None]) -> Iterator[Prediction]:
    """Those of the key itself, where it is kept, and not of another one with the same hash."""
    for each in found:
        if each.key == wanted[int(each.key_hash, 16)]:
            yield each
