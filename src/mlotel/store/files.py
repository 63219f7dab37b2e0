"""The embedded store read back, and any OTLP/JSON file that a collector's file exporter wrote."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mlotel.errors import StoreNotFoundError
from mlotel.model import Prediction
from mlotel.store.descriptors import Canary
from mlotel.store.filling import Unread, fill
from mlotel.store.index import LARGE_CACHE, Index
from mlotel.store.indexed import IndexedStore, unavailable
from mlotel.store.predictions.keys import secret_of_store
from mlotel.store.predictions.tails import predictions_root
from mlotel.store.segments import Segments, Sizes
from mlotel.store.staying import Staying
from mlotel.store.watch import State, Watch

__all__ = ["INDEX", "FileStore"]

INDEX = "index.sqlite"
# Bytes of predictions' journals that are searched faster than they are made into files
_JOURNAL_READ = 16 * 2**20
# Primary result codes of SQLite: https://www.sqlite.org/rescode.html
_ERROR, _BUSY, _LOCKED, _CORRUPT, _NOT_A_DATABASE = 1, 5, 6, 11, 26


class FileStore(IndexedStore):
    """The Store protocol over the embedded store at `root`, or over a file or folder of OTLP/JSON lines.

    The embedded store keeps its index beside its segments; where that cannot be written, and for other files, the index
    is in memory. Each question first takes up what has been appended since. Any number of processes may read and write.

    Args:
        root: folder of the embedded store, a ``.json`` or ``.jsonl`` file, or a folder of those.
        clock: nanoseconds since the epoch, to tell running runs from lost ones.
        timeout_s: how long to wait for another process that fills the index, in seconds.
        processes: how many may read at once where most of a large store is unread. More than one start Python anew,
            which is for programs that do nothing else.
        cache_bytes: how much of the index is kept in memory.
        while_reading: is given the number of unread bytes, and is entered as they are read.

    Raises:
        StoreNotFoundError: there is nothing at `root`.
        StoreError: from any question, where the index stays locked for longer than `timeout_s`.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        clock: Callable[[], int] = time.time_ns,
        timeout_s: float = 60.0,
        processes: int = 1,
        cache_bytes: int = LARGE_CACHE,
        while_reading: Callable[[int], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.root = Path(os.path.abspath(root))
        if not self.root.exists():
            raise StoreNotFoundError(f"there is no store at {self.root}: run a component first, or set MLOTEL_STORE")
        self._timeout_s = timeout_s
        self._processes = processes
        self._cache_bytes = cache_bytes
        self._while_reading = while_reading
        self._segments = Segments(self.root)
        self._watch: Watch | None = None
        self._opened: Index | None = None
        self._abandoned: list[Index] = []
        self._canary = Canary()
        self._sizes: Sizes = {}
        self._seen: tuple[State, int] | None = None
        self._offsets: dict[str, int] = {}
        self._unreadable: dict[Path, str] = {}
        super().__init__(self._segments.line, clock, self._segments.heard_from)

    @property
    def journal_root(self) -> Path | None:
        """Where a `Journal` may write what this store then reads; None where the files are somebody else's."""
        return None if self._segments.settle() and not self._segments.embedded else self.root

    def refresh(self, *, max_bytes: int | None = None) -> bool:
        """Take up what has been appended since, as every question does by itself; return whether that was all.

        Args:
            max_bytes: stop after about so many bytes, the newest segments being read first.
        """
        with self._lock:
            return self._refresh(max_bytes)

    def close(self) -> None:
        """Close the index and every file; the next question opens them again."""
        with self._lock:
            self._leave_what_is_lost()
            if self._opened is not None:
                self._opened.close()
                self._opened = None
            self._canary.close()
            self._seen = None
            self._sizes = {}
            self._assembly.clear()
            self._segments.close()

    def staying(self, going: Collection[str], until: str) -> Staying:
        """What must stay of segments that go, by their names, up to the day `until`, ``YYYY-MM-DD``."""
        with self._lock:
            self._refresh()
            return Staying(self._index(), self._assembly, going, until)

    @contextlib.contextmanager
    def exchanging(self) -> Iterator[None]:
        """Let segments be removed or replaced within a ``with`` block: whoever shares the index sees all of it at once.

        Raises StoreError where the index stays locked.
        """
        with self._lock:
            index = self._index()
            done = False
            try:
                with index.transaction():
                    yield
                    done = True
                    self._take_up(index)
            except sqlite3.Error as error:
                if not done:
                    raise unavailable(self.root, error) from error
                self._recover(error)

    def shrink_index(self) -> None:
        """Give the room of what was removed from the index back to the file system, if the disk has room to do so."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._index().shrink()

    @property
    def unreadable(self) -> Mapping[Path, str]:
        """The files of predictions that could not be read when they were last asked for, and why."""
        return self._unreadable

    @property
    def record_secret(self) -> bytes | None:
        """The secret that this store made for itself to hash the keys of records with; None if it has none."""
        return secret_of_store(self.root) if self._segments.embedded else None

    def predictions(
        self, key: str, *, secret: bytes | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> Sequence[Prediction]:
        """The predictions that were logged with this key, latest first; files that cannot be read are left out."""
        told = super().predictions(key, secret=secret, since_ns=since_ns, until_ns=until_ns)
        root = predictions_root(self.root)
        if not self._segments.embedded or not root.is_dir():
            return told
        # Arrow is loaded for this question alone
        from mlotel.store.predictions.compaction import compact
        from mlotel.store.predictions.lookup import LookUp

        with contextlib.suppress(OSError):  # a store that cannot be written is read as it is
            compact(root, least_bytes=_JOURNAL_READ)
        look_up = LookUp(root, self.record_secret)
        found = look_up.find(key, secret=secret, since_ns=since_ns, until_ns=until_ns)
        self._unreadable = look_up.problems
        known = {(each.trace_id, each.span_id) for each in found}
        spans = [each for each in told if (each.trace_id, each.span_id) not in known]
        return tuple(sorted((*found, *spans), key=lambda each: each.time_ns, reverse=True))

    def __enter__(self) -> FileStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _index(self) -> Index:
        self._leave_what_is_lost()
        if self._opened is None:
            self._canary.close()
            self._canary = Canary()
            self._opened = self._open()
        return self._opened

    def _leave_what_is_lost(self) -> None:
        """After a fork, or when somebody closed every descriptor, neither use nor close what was open.

        SQLite forbids the one, and would write to whatever file has got the number of its own in the other.
        """
        if self._opened is not None and not self._canary.is_alive():
            self._abandoned.append(self._opened)
            self._opened = self._seen = None
            self._segments.abandon()

    def _open(self) -> Index:
        if not self._segments.embedded or not _has_locks(self.root):
            return Index(None)
        path = self.root / INDEX
        try:
            return Index(path, timeout_s=self._timeout_s, cache_bytes=self._cache_bytes)
        except sqlite3.Error as error:
            if _code(error) in (_BUSY, _LOCKED):
                raise unavailable(self.root, error) from error
            if _code(error) in (_CORRUPT, _NOT_A_DATABASE):
                _remove(path)
                try:
                    return Index(path, timeout_s=self._timeout_s, cache_bytes=self._cache_bytes)
                except sqlite3.Error:
                    pass
            return Index(None)

    def _refresh(self, max_bytes: int | None = None) -> bool:
        if not self._segments.settled:
            if not self._segments.settle():
                return True  # an empty folder
            self.close()
        index = self._index()
        # Another process may have changed the index as well, and the numbers of segments with it.
        try:
            state = self._look(), index.data_version()
            if self._seen is None or state[0] is not self._seen[0] or state != self._seen:
                complete = self._read_new(index, max_bytes)
                self._seen = (state[0], index.data_version()) if complete else None
                return complete
        except sqlite3.Error as error:
            self._recover(error)
        return True

    def _look(self) -> State:
        if self._watch is None:
            self._watch = Watch(self._segments.folder, self._segments.names, segments=self._segments.embedded)
        try:
            return self._watch.look()
        except OSError:  # no folder
            return {}

    def _recover(self, error: sqlite3.Error) -> None:
        code = _code(error)
        if code in (_BUSY, _LOCKED):
            raise unavailable(self.root, error) from error
        index = self._index()
        index.close()
        self._seen = None
        if index.path is not None and code in (_CORRUPT, _NOT_A_DATABASE):
            _remove(index.path)
            self._opened = self._open()
        elif code == _ERROR:  # not the tables that were expected: an mlotel of another version was here
            self._opened = self._open()
        else:  # the file cannot be written (full disk, say): memory must do
            self._opened = Index(None)
        try:
            self._read_new(self._index())
        except sqlite3.Error as again:
            raise unavailable(self.root, again) from again

    def _read_new(self, index: Index, max_bytes: int | None = None) -> bool:
        with index.transaction():
            return self._take_up(index, max_bytes)

    def _take_up(self, index: Index, max_bytes: int | None = None) -> bool:
        """Bring the index up to date within the caller's transaction; return whether that was all."""
        # Looked at now that nobody else can write: what the index knows is never newer than this.
        files = self._segments.sizes(self._clock(), self._sizes)
        if not index.is_current():  # an mlotel of another version was here
            index.reset()
        unread = self._unread(index, files, reversed(files) if max_bytes is not None else files)
        complete = True
        if unread:
            with self._while_reading(_bytes_of(unread)):
                if max_bytes is not None or not self._fill_by_processes(index, unread, files):
                    complete = fill(index, self._segments, unread, max_bytes)
                index.add_indices()
        segments = index.segments()
        self._sizes = files
        self._offsets = {name: row.offset for name, row in segments.items()}
        self._segments.number({row.id: name for name, row in segments.items()})
        self._assembly.clear()
        return complete

    def _fill_by_processes(self, index: Index, unread: Sequence[Unread], files: Sizes) -> bool:
        """Read all files anew where that is sooner done by several processes; return whether it was."""
        # It takes an empty index: where less is unread than was read, that would be for nothing.
        if self._processes == 1 or 2 * _bytes_of(unread) <= sum(size for _, size in files.values()):
            return False
        # Modules that a pipeline never needs
        from mlotel.store.parts import fill_by_processes, is_worth_it

        if not is_worth_it(unread, self._processes):
            return False
        index.reset()
        fill_by_processes(index, self.root, self._segments, self._unread(index, files, files), self._processes)
        return True

    def _unread(self, index: Index, files: Sizes, order: Iterable[str]) -> list[Unread]:
        """What the index does not know of the files, in this order; it forgets those that are gone."""
        known = index.segments()  # another process may have read on meanwhile
        if gone := known.keys() - files.keys():
            index.forget([known[name].id for name in gone])
        unread: list[Unread] = []
        for name in order:
            inode, size = files[name]
            row = known.get(name)
            if row is not None and (row.inode != inode or row.offset > size):  # not the file it was
                index.forget([row.id])
                row = None
            offset, inside = (0, False) if row is None else (row.offset, bool(row.inside))
            if offset < size:
                unread.append(Unread(name, inode, offset, size, inside))
            elif row is None:
                index.save_segment(name, inode, offset)
        return unread

    def _torn(self) -> int:
        """Unfinished last lines of writers that are gone; those of living ones will be finished."""
        now = self._clock()
        unfinished = [name for name, (_, size) in self._sizes.items() if size > self._offsets.get(name, 0)]
        return sum(self._segments.is_torn(name, now) for name in unfinished)


def _bytes_of(unread: Sequence[Unread]) -> int:
    return sum(file.size - file.offset for file in unread)


def _has_locks(root: Path) -> bool:
    """Whether files of the store can be locked at all: some network file systems refuse it.

    SQLite takes a refusal for a lock that somebody holds, and would wait for it each time.
    """
    try:
        import fcntl

        # Not the index itself: closing it would drop the locks of this process's other connections.
        fd = os.open(root / ".gitignore", os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except (ImportError, OSError):  # not to be found out
        return True
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EAGAIN)  # another process is finding out
    finally:
        os.close(fd)
    return True


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        try:
            os.remove(f"{path}{suffix}")
        except OSError:
            continue
