"""What is on its way to a collector, on disk: the SDK's queues die with the process.

Each item is appended to a file before it is handed over; a file whose items have all arrived, or are in the spool, is
removed. What is left when the process was killed is moved to the spool by whoever sends that next, as something that
may have arrived.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from mlotel._forks import Lock, after_in_child
from mlotel.sdk.spool import SPOOL, UNANSWERED
from mlotel.store.journal import SEGMENTS, Journal
from mlotel.store.segments import is_heard, is_written

__all__ = ["FOLDER", "Underway", "recover"]

FOLDER = "underway"
"""The folder, in that of the spool, of what is on its way."""


class Underway:
    """The items of one signal that are on their way to the collector. Nothing here raises.

    Where it cannot be written nothing is said: nothing is lost unless the process is killed as well.

    Args:
        root: The folder of the store.
    """

    def __init__(self, root: Path) -> None:
        self._journal = Journal(root / SPOOL / FOLDER, store=root, lost=None)
        self._lock = Lock()
        self._files: dict[Path, set[int]] = {}
        self._file_of: dict[int, Path] = {}
        after_in_child(self._forget)

    def add(self, key: int, line: bytes) -> None:
        """Note an item that is about to be handed over."""
        with self._lock:
            if self._journal.append(line) and (file := self._journal.path) is not None:
                self._files.setdefault(file, set()).add(key)
                self._file_of[key] = file

    def begin_batch(self) -> None:
        """Let what comes from now on stand in another file: what is in this one will arrive together."""
        with self._lock:
            file = self._journal.path
            self._journal.begin_segment()
            if file is not None and not self._files.get(file):
                self._remove(file)

    def done(self, keys: Iterable[int]) -> None:
        """Forget items that arrived or are kept elsewhere."""
        with self._lock:
            for key in keys:
                file = self._file_of.pop(key, None)
                if file is None:
                    continue
                left = self._files[file]
                left.discard(key)
                if not left and file != self._journal.path:
                    self._remove(file)

    def close(self) -> None:
        """Leave nothing behind where nothing is on its way: not even folders that were made for it alone."""
        self.begin_batch()
        store = self._journal.store
        with contextlib.suppress(OSError):  # one of them holds something
            for folder in (self._journal.root / SEGMENTS, self._journal.root, store / SPOOL):
                folder.rmdir()
            if os.listdir(store) == [".gitignore"]:
                (store / ".gitignore").unlink()
                store.rmdir()

    def _remove(self, file: Path) -> None:
        self._files.pop(file, None)
        with contextlib.suppress(OSError):
            os.unlink(file)

    def _forget(self) -> None:
        self._files, self._file_of = {}, {}  # they are the parent's


def recover(root: Path) -> int:
    """Move what was on its way when its process was killed to the spool; return how many files that were.

    Args:
        root: The folder of the store.

    Raises:
        OSError: the spool cannot be written.
    """
    moved = 0
    folder, target = root / SPOOL / FOLDER / SEGMENTS, root / SPOOL / UNANSWERED / SEGMENTS
    for file in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        if not is_written(file.name, elsewhere=is_heard(file, time.time_ns())):
            for each in (target.parent, target):
                each.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.rename(file, target / file.name)
                moved += 1
    return moved
