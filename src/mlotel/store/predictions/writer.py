"""Adding keyed predictions to the data set: a large batch as a file, small ones to a journal that becomes files."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from mlotel._log import logger
from mlotel.store.journal import Journal, make_private
from mlotel.store.predictions.tails import TAIL_BYTES, journal_root, predictions_root

if TYPE_CHECKING:
    from mlotel.store.predictions.rows import KeyedRows

__all__ = ["PredictionLog"]


_FILE_ROWS = 1000
"""Rows of one call from which on they get a file of their own at once."""
_FILES = 8  # after that many of its own, a process looks whether there is something to merge


class PredictionLog:
    """Adds keyed predictions to the data set below the store at `store`; never raises while a pipeline runs.

    A small batch is one `write(2)` to a journal of this process's own: when `add` has returned, it survives the death
    of the process. What cannot be written is told once. Any number of processes may add.

    Args:
        store: folder of the embedded store; nothing is made before the first prediction.
        file_rows: rows of one call from which on they get a file of their own.
    """

    def __init__(self, store: Path, *, file_rows: int = _FILE_ROWS) -> None:
        self._store = store
        self._root = predictions_root(store)
        self._journal = Journal(
            journal_root(self._root), segment_bytes=TAIL_BYTES, lost="predictions are not kept by their keys"
        )
        self._file_rows = file_rows
        self._bytes = self._files = 0
        self._tidying: threading.Thread | None = None
        self._made = self._told = False

    def add(self, rows: KeyedRows) -> bool:
        """Add the predictions of one call; tell whether they are in the data set now."""
        try:
            if not self._made:
                make_private(self._store)
                self._root.mkdir(mode=0o700, exist_ok=True)
                self._made = True
            taken = self._append(rows) if len(rows) < self._file_rows else self._write(rows)
        except Exception as error:  # whatever it is: the caller's pipeline must not see it
            if not self._told:
                self._told = True
                logger.warning("mlotel: predictions are not kept by their keys in %s: %s", self._root, error)
            logger.debug("mlotel: predictions in %s", self._root, exc_info=error)
            return False
        if (self._bytes >= TAIL_BYTES or self._files >= _FILES) and self._tidy():
            self._bytes = self._files = 0
        return taken

    def wait(self) -> None:
        """Wait until files that are being merged are."""
        if self._tidying is not None:
            self._tidying.join()

    def _append(self, rows: KeyedRows) -> bool:
        lines = rows.lines()
        taken = self._journal.append(lines)
        if taken:
            self._bytes += len(lines)
        return taken

    def _write(self, rows: KeyedRows) -> bool:
        from mlotel.store.predictions.parts import write_part
        from mlotel.store.predictions.rows import day_of

        write_part(self._root, rows.model, day_of(rows.time_ns), rows.table())
        self._files += 1
        return True

    def _tidy(self) -> bool:
        """Turn full journals into files, and merge small ones, in a thread that ends when that is done.

        Returns whether one was started: as long as one is at it, or none can be had, the next batch asks again.
        """
        if self._tidying is not None and self._tidying.is_alive():
            return False
        if self._tidying is None and hasattr(os, "register_at_fork"):
            # A child must not be made in the middle of it; a registration must not keep this object alive.
            reference = weakref.ref(self)
            os.register_at_fork(before=lambda: _wait(reference))
        self._tidying = threading.Thread(target=_compact, args=(self._root,), name="mlotel-predictions")
        try:
            self._tidying.start()
        except RuntimeError:  # the process has no thread to spare, or ends
            self._tidying = None
        return self._tidying is not None


def _wait(reference: weakref.ref[PredictionLog]) -> None:
    log = reference()
    if log is not None:
        log.wait()


def _compact(root: Path) -> None:
    from mlotel.store.predictions.compaction import compact

    try:
        while compact(root):  # others, and this process too, may have added to it meanwhile
            pass
    except Exception as error:  # a reader, or the next time, may have more luck
        logger.debug("mlotel: predictions in %s", root, exc_info=error)
