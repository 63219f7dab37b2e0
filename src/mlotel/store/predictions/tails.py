"""The journal before the files: what was logged a few at a time, as lines, until there is enough of it for a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from mlotel.store.journal import SEGMENT_SUFFIX, SEGMENTS
from mlotel.store.segments import first_open_day, is_written, segment_writer

__all__ = ["TAIL_BYTES", "closed_tails", "journal_root", "predictions_root", "tails"]

TAIL_BYTES = 4 * 2**20
"""Size from which on a process begins a new journal file: some 15,000 predictions."""

_LARGEST = 8 * TAIL_BYTES  # no file of ours is, which ends with the write that comes to its size
_QUIET_S = 2.0  # after it has reached that size nothing comes any more, once a write that was under way has ended


def predictions_root(store: Path) -> Path:
    """Return the folder of the data set of the embedded store at `store`."""
    return store / "predictions"


def journal_root(root: Path) -> Path:
    """Return the folder of the journal of the data set at `root`; readers of data sets leave out such names."""
    return root / "_journal"


def tails(root: Path) -> list[Path]:
    """The files of the journal, oldest day first."""
    folder = journal_root(root) / SEGMENTS
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(SEGMENT_SUFFIX)]
    except OSError:
        return []


def closed_tails(root: Path, now_s: float | None = None) -> Iterator[tuple[Path, int]]:
    """The files of the journal to which nobody writes any more, each with its size in bytes.

    That is: those of processes that are gone, of days gone by, and those that are full. What is larger than any of ours
    stays where it is.
    """
    now = time.time() if now_s is None else now_s
    open_day = first_open_day(int(now * 1e9))
    for path in tails(root):
        writer = segment_writer(path.name)
        try:
            status = path.stat()
        except OSError:  # moved into a file this moment
            continue
        full = status.st_size >= TAIL_BYTES and now - status.st_mtime > _QUIET_S
        gone = writer is not None and (writer[0] < open_day or not is_written(path.name, elsewhere=True))
        if (full or gone) and status.st_size <= _LARGEST:
            yield path, status.st_size
