"""The embedded store read back, and any OTLP/JSON file that a collector's file exporter wrote."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from mlotel.errors import StoreNotFoundError
from mlotel.store.index import Index, Place
from mlotel.store.indexed import IndexedStore, unavailable
from mlotel.store.ingest import Ingest
from mlotel.store.journal import SEGMENTS, host_key
from mlotel.store.liveness import HEARTBEATS_MISSED_NS, is_alive

__all__ = ["FileStore", "segment_writer"]

_INDEX = "index.sqlite"
_SUFFIXES = (".jsonl", ".json")
_CHUNK = 8 * 2**20
_FILES_OPEN = 32
_DAY_S = 86_400
# Primary result codes of SQLite: https://www.sqlite.org/rescode.html
_BUSY, _LOCKED, _CORRUPT, _NOT_A_DATABASE = 5, 6, 11, 26
_SEGMENT_NAME = re.compile(r"(\d{4}-\d\d-\d\d)-([0-9a-f]{8})-(\d+)-[0-9a-f]+\.jsonl")


def segment_writer(name: str) -> tuple[str, str, int] | None:
    """Day, host key and process id in the name of a segment, None where it is another file's."""
    match = _SEGMENT_NAME.fullmatch(name)
    return None if match is None else (match[1], match[2], int(match[3]))


class FileStore(IndexedStore):
    """The Store protocol over the embedded store at `root`, or over a file or folder of OTLP/JSON lines.

    The embedded store keeps its index beside its segments; where that cannot be written, and for other files, the index
    is in memory. Each question first takes up what has been appended since. Any number of processes may read and write.

    Args:
        root: folder of the embedded store, a ``.json`` or ``.jsonl`` file, or a folder of those.
        clock: nanoseconds since the epoch, to tell running runs from lost ones.
        timeout_s: how long to wait for another process that fills the index, in seconds.

    Raises:
        StoreNotFoundError: there is nothing at `root`.
        StoreError: from any question, where the index stays locked for longer than `timeout_s`.
    """

    def __init__(self, root: Path | str, *, clock: Callable[[], int] = time.time_ns, timeout_s: float = 60.0) -> None:
        super().__init__(clock)
        self.root = Path(os.path.abspath(root))
        if not self.root.exists():
            raise StoreNotFoundError(f"there is no store at {self.root}: run a component first, or set MLOTEL_STORE")
        self._timeout_s = timeout_s
        self._embedded = (self.root / SEGMENTS).is_dir() or not (self.root.is_file() or any(self._list(self.root)))
        if self.root.is_file():
            self._folder = self.root.parent
        else:
            self._folder = self.root / SEGMENTS if self._embedded else self.root
        self._opened: Index | None = None
        self._seen: dict[str, tuple[int, int]] | None = None
        self._offsets: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._files: dict[str, IO[bytes]] = {}

    def refresh(self) -> None:
        """Take up what has been appended since; every question does so by itself."""
        with self._lock:
            self._refresh()

    def close(self) -> None:
        """Close the index and every file; the next question opens them again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None
            self._seen = None
            self._parsed.clear()
            self._close_files()

    def __enter__(self) -> FileStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _index(self) -> Index:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> Index:
        if not self._embedded or not self._folder.is_dir():
            return Index(None)
        path = self.root / _INDEX
        try:
            return Index(path, timeout_s=self._timeout_s)
        except sqlite3.Error as error:
            if _code(error) in (_BUSY, _LOCKED):
                raise unavailable(self.root, error) from error
            if _code(error) in (_CORRUPT, _NOT_A_DATABASE):
                _remove(path)
                try:
                    return Index(path, timeout_s=self._timeout_s)
                except sqlite3.Error:
                    pass
            return Index(None)

    def _refresh(self) -> Index:
        files = self._list_sizes()
        if files == self._seen:
            return self._index()
        try:
            self._read_new(self._index(), files)
        except sqlite3.Error as error:
            if _code(error) in (_BUSY, _LOCKED):
                raise unavailable(self.root, error) from error
            self._replace_index(damaged=_code(error) in (_CORRUPT, _NOT_A_DATABASE))
            self._read_new(self._index(), files)
        self._seen = files
        return self._index()

    def _replace_index(self, *, damaged: bool) -> None:
        """A damaged index is made anew; where the file cannot be written (full disk, say) memory must do."""
        index = self._index()
        index.close()
        if damaged and index.path is not None:
            _remove(index.path)
            self._opened = self._open()
        else:
            self._opened = Index(None)

    def _list_sizes(self) -> dict[str, tuple[int, int]]:
        """Inode and size of each file, in order of name, which for segments is the order of days."""
        # A segment is written on its own day alone. Two days later nothing comes any more, whatever the clocks say.
        last_day = time.strftime("%Y-%m-%d", time.gmtime(self._clock() // 10**9 - 2 * _DAY_S)) if self._embedded else ""
        sealed = {} if self._seen is None else self._seen
        sizes = {}
        for name in sorted(self._list(self._folder)):
            if name < last_day and name in sealed:
                sizes[name] = sealed[name]
                continue
            try:
                status = os.stat(self._folder / name)
            except OSError:
                continue
            sizes[name] = (status.st_ino, status.st_size)
        return sizes

    def _list(self, folder: Path) -> Iterator[str]:
        if folder == self.root.parent:
            yield self.root.name
            return
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(_SUFFIXES):
                        yield entry.name
        except OSError:
            return

    def _read_new(self, index: Index, files: dict[str, tuple[int, int]]) -> None:
        with index.transaction():
            if not index.is_current():  # an mlotel of another version was here
                index.reset()
            known = index.segments()  # another process may have read on meanwhile
            ingest: Ingest | None = None
            for name in known.keys() - files.keys():
                index.forget(known[name].id)
            for name, (inode, size) in files.items():
                row = known.get(name)
                if row is not None and (row.inode != inode or row.offset > size):  # not the file it was
                    index.forget(row.id)
                    row = None
                offset = 0 if row is None else row.offset
                if offset < size:
                    ingest = ingest or Ingest(index)
                    number = index.save_segment(name, inode, offset)
                    before = ingest.skipped
                    # A file that cannot be opened (removed this moment, say) is tried again at the next question.
                    with contextlib.suppress(OSError):
                        offset = self._read_file(name, number, offset, ingest)
                    index.save_segment(name, inode, offset, ingest.skipped - before)
                elif row is None:
                    index.save_segment(name, inode, offset)
            if ingest is not None:
                ingest.finish()
            segments = index.segments()
        self._offsets = {name: row.offset for name, row in segments.items()}
        self._names = {row.id: name for name, row in segments.items()}
        self._parsed.clear()
        self._close_files()

    def _read_file(self, name: str, number: int, offset: int, ingest: Ingest) -> int:
        """Read the complete lines from `offset` on; return where the first incomplete one begins."""
        with open(self._folder / name, "rb", buffering=0) as file:
            file.seek(offset)
            rest = b""
            while data := file.read(_CHUNK):
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    ingest.line(line, Place(number, offset, len(line)))
                    offset += len(line) + 1
        # A JSON object cannot be cut so that it still is one: a last line without its newline counts if it parses.
        if rest.endswith(b"}") and ingest.complete(rest):
            ingest.line(rest, Place(number, offset, len(rest)))
            offset += len(rest)
        return offset

    def _line(self, place: Place) -> bytes:
        name = self._names.get(place.segment)
        if name is None:
            raise FileNotFoundError(place)
        file = self._files.get(name)
        if file is None:
            if len(self._files) >= _FILES_OPEN:
                self._close_files()
            # Closed by _close_files: opening costs more than reading one line.
            file = self._files[name] = (self._folder / name).open("rb", buffering=0)
        file.seek(place.offset)
        line = file.read(place.length)
        if len(line) != place.length:
            raise EOFError(place)
        return line

    def _torn(self) -> int:
        """Unfinished last lines of writers that are gone; those of living ones will be finished."""
        here, now = host_key(), self._clock()
        torn = 0
        for name, (_, size) in (self._seen or {}).items():
            if size <= self._offsets.get(name, 0):
                continue
            writer = segment_writer(name) if self._embedded else None
            if writer is not None and writer[1] == here:
                torn += not is_alive(writer[2])
            else:
                try:
                    torn += now - os.stat(self._folder / name).st_mtime_ns > HEARTBEATS_MISSED_NS
                except OSError:
                    continue
        return torn

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        try:
            os.remove(f"{path}{suffix}")
        except OSError:
            continue
