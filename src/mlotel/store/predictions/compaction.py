"""Keeping the data set in few files: journals that are closed become files, and many small files one.

What is moved is on the disk before it is removed from where it was. A process that dies in between leaves rows that
stand twice, and count once when they are looked up.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlotel.store.predictions.parts import (
    GROUP_ROWS,
    Part,
    model_name,
    part_name,
    parts,
    remove_leftovers,
    sorted_rows,
    sync,
    write_part,
    writing,
)
from mlotel.store.predictions.rows import SCHEMA, day_of, fits, hashes_of, tables_of_lines
from mlotel.store.predictions.tails import TAIL_BYTES, closed_tails, journal_root

__all__ = ["LARGE_ROWS", "MOST_SMALL", "compact"]

MOST_SMALL = 8
"""Files of one order of size that a model may have today before they are merged."""
LARGE_ROWS = 500_000
"""Rows from which on a file is left as it is."""
_MOST_ROWS = 1_000_000  # of a merged file
_MOST_MERGED = 2_000_000  # rows at once
_MOST_TAILS = 100
_TAIL_BUDGET = 8 * TAIL_BYTES  # bytes of journal that are read at once


def compact(root: Path, *, least_bytes: int = TAIL_BYTES) -> bool:
    """Do a bounded piece of what there is to do at `root`, if no other process is at it; return whether it was done.

    At most 32 MB of journal become files, where there are `least_bytes` or very many files of it to which nobody writes
    any more; and small files of one model and day become one, of two million rows in all. Raises OSError where files
    cannot be written.
    """
    if not _worthwhile(closed_tails(root), least_bytes) and not any(_crowded(root)):
        return False
    with _alone(root) as alone:
        if not alone:
            return False
        moved = _move_tails(root, least_bytes)
        merged = [_merge(root, small) for small in _crowded(root)]
        remove_leftovers(root)
    return moved or any(merged)


@contextmanager
def _alone(root: Path) -> Iterator[bool]:
    """Tell whether this process has the data set to itself: others may read it and add to it all the same."""
    folder = journal_root(root)
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (OSError, ImportError):  # another process has it, or there are no such locks here
            yield False
            return
        yield True
    finally:
        os.close(lock)


def _worthwhile(closed: Iterable[tuple[Path, int]], least_bytes: int) -> bool:
    """Whether there are so many journals, or such large ones, that they are in the way."""
    sizes = [size for _, size in closed]
    return len(sizes) >= _MOST_TAILS or sum(sizes) >= least_bytes


def _move_tails(root: Path, least_bytes: int) -> bool:
    """Make files of closed journals."""
    closed = list(closed_tails(root))
    if not _worthwhile(closed, least_bytes):
        return False
    chosen: list[Path] = []
    left = _TAIL_BUDGET
    for path, size in closed:
        if chosen and left < size:
            break
        chosen.append(path)
        left -= size
    found: defaultdict[tuple[str | None, str], list[pa.Table]] = defaultdict(list)
    for path in chosen:  # one at a time: as Python objects rows take ten times as much memory as in a table
        for partition, table in tables_of_lines(path.read_bytes().split(b"\n")).items():
            found[partition].append(table)
    source = "\n".join(path.name for path in chosen)
    for (model, day), tables in found.items():
        table = pa.concat_tables(tables)
        sync(write_part(root, model, day, table, part_name(len(table), source)))
    for path in chosen:
        path.unlink(missing_ok=True)
    return True


def _crowded(root: Path) -> Iterator[list[Part]]:
    """The small files that are to become one, by model and day, as many as one look may merge.

    Of a day gone by these are all of them; of today those of one order of size of which there are too many, so that a
    row is not written again with each file that comes.
    """
    today = day_of(time.time_ns())
    groups: defaultdict[tuple[Path, int], list[tuple[int, Part]]] = defaultdict(list)
    for part in parts(root):
        if part.rows is not None and part.rows < LARGE_ROWS:
            order = 0 if part.day < today else part.rows.bit_length() // 3
            groups[part.path.parent, order].append((part.rows, part))
    left = _MOST_MERGED
    for candidates in groups.values():
        chosen: list[Part] = []
        total = 0
        for rows, part in sorted(candidates, key=lambda each: each[0]):
            if total + rows <= min(_MOST_ROWS, left):
                chosen.append(part)
                total += rows
        if len(chosen) > (1 if chosen and chosen[0].day < today else MOST_SMALL):
            left -= total
            yield chosen


def _merge(root: Path, small: Sequence[Part]) -> bool:
    """Merge files of one model and day into one, holding a row group of each in memory."""
    try:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(pq.ParquetFile(part.path)) for part in small]
            if not all(fits(file.schema_arrow) for file in files):
                return False
            models = {model_name(file.schema_arrow, part) for file, part in zip(files, small, strict=True)}
            if len(models) > 1:  # somebody moved files about: what they say of themselves must not be lost
                return False
            with writing(root, models.pop(), small[0].day, part_name(sum(part.rows or 0 for part in small))) as (
                writer,
                path,
            ):
                for table in _in_order(files):
                    writer.write_table(table, row_group_size=GROUP_ROWS)
        sync(path)
    except (pa.ArrowException, ValueError):  # one of them is damaged: all stay as they are
        return False
    for part in small:
        part.path.unlink(missing_ok=True)
    return True


def _in_order(files: Sequence[pq.ParquetFile]) -> Iterator[pa.Table]:
    """The rows of sorted files in order, in tables of a row group or more."""
    sources = [_Source(file) for file in files]
    waiting: list[pa.Table] = []
    count = 0
    while sources := [source for source in sources if source.fill()]:
        bound = min(source.last for source in sources)
        step = sorted_rows(pa.concat_tables([source.take(bound) for source in sources]))
        waiting.append(step)
        count += len(step)
        if count >= 4 * GROUP_ROWS:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


class _Source:
    """One of several sorted files while they are merged: the row group that is being taken from."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self._next = 0
        self._rows: pa.Table = SCHEMA.empty_table()
        self._hashes = np.array([], dtype=np.uint64)
        self._last = np.uint64(0)

    def fill(self) -> bool:
        """Read on if need be; return whether there are rows left."""
        while not len(self._rows):
            if self._next == self._file.num_row_groups:
                return False
            before = self._last
            self._rows = self._file.read_row_group(self._next, columns=SCHEMA.names).replace_schema_metadata()
            self._hashes = hashes_of(self._rows)
            self._next += 1
            if (self._hashes[1:] < self._hashes[:-1]).any() or (len(self._hashes) and self._hashes[0] < before):
                raise ValueError("a file that is not sorted")
            self._last = self._hashes[-1] if len(self._hashes) else before
        return True

    @property
    def last(self) -> int:
        """The last hash of the row group."""
        return int(self._last)

    def take(self, bound: int) -> pa.Table:
        """Take the rows of hashes up to `bound`."""
        number = int(np.searchsorted(self._hashes, np.uint64(bound), side="right"))
        taken, self._rows, self._hashes = self._rows[:number], self._rows[number:], self._hashes[number:]
        return taken
