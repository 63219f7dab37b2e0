"""The SQLite index over the lines of a store: what can be asked for, and where the lines stand that answer it.

It holds keys and places only; every value is read back from the lines. So it may be thrown away at any time. Ids and
digests are kept as the 64-bit integers of their first 16 hex digits (a prefix is then a range), URIs as 32-bit hashes:
whoever looks something up compares with the line.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mlotel.store.rows import OUTPUT, STATES, AnnotationRow, IoRow, RunRow, SegmentRow

__all__ = ["LARGE_CACHE", "NOT_OK", "SMALL_CACHE", "WRITES", "Index", "marks", "numbers"]

# Raise this whenever the tables or what is put into them change: an index of another version is built anew.
_VERSION = 9
LARGE_CACHE, SMALL_CACHE = 64 * 2**20, 8 * 2**20
"""Bytes of pages that are kept: for a program whose work it is, and for one that has other work to do."""
_LARGEST_CHUNK = 500
_APPLICATION = 0x6D6C6F74  # "mlot"


_TABLES = """
CREATE TABLE segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, inode INTEGER NOT NULL, offset INTEGER NOT NULL,
    skipped INTEGER NOT NULL, inside INTEGER NOT NULL
);
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE run (
    id INTEGER PRIMARY KEY, run_hi INTEGER NOT NULL, run_lo INTEGER NOT NULL, trace_hi INTEGER, trace_lo INTEGER,
    span INTEGER, component INTEGER, start INTEGER, parent INTEGER, state INTEGER NOT NULL, by_span INTEGER NOT NULL,
    seen INTEGER, start_segment INTEGER, start_offset INTEGER, start_length INTEGER,
    end_segment INTEGER, end_offset INTEGER, end_length INTEGER
);
CREATE TABLE io (
    id INTEGER PRIMARY KEY, span INTEGER NOT NULL, run INTEGER NOT NULL, entry INTEGER NOT NULL, flags INTEGER NOT NULL,
    name INTEGER, uri INTEGER, digest INTEGER, time INTEGER NOT NULL, link INTEGER,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL
);
CREATE TABLE dependency (run INTEGER NOT NULL, link INTEGER NOT NULL, PRIMARY KEY (link, run)) WITHOUT ROWID;
CREATE TABLE annotation (
    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, target INTEGER NOT NULL, time INTEGER NOT NULL,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, UNIQUE (target, kind, time)
);
CREATE TABLE keyed (
    hash INTEGER NOT NULL, span INTEGER NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, PRIMARY KEY (hash, span)
) WITHOUT ROWID;
"""
_IO_COLUMNS = ", ".join(IoRow._fields)
_RUN_BY_ID = "CREATE UNIQUE INDEX IF NOT EXISTS run_by_id ON run (run_hi, run_lo)"
# Writes of content by which a producer may be found.
WRITES = f"flags = {OUTPUT} AND entry = 0"
# Runs that failed, were cancelled or have not ended, in the words of the index that is made for them.
NOT_OK = f"state <> {STATES.index('ok')}"
# Built last when everything is read anew: faster, and smaller, than keeping them up to date row by row.
_UNIQUE_IO = "CREATE UNIQUE INDEX IF NOT EXISTS io_by_span ON io (span, run, entry)"
_DOUBLE_IO = """
DELETE FROM io WHERE id IN (
    SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY span, run, entry ORDER BY id) AS number FROM io)
    WHERE number > 1
)
"""
_LATE = {
    "run_by_trace": "run (trace_hi)",
    "run_by_span": "run (span)",
    "run_by_parent": "run (parent) WHERE parent IS NOT NULL",
    "run_by_start": "run (start) WHERE component IS NOT NULL",
    "run_by_component": "run (component, start) WHERE component IS NOT NULL",
    # Most runs end well: the others are found without them.
    "run_by_state": f"run (state, start) WHERE component IS NOT NULL AND {NOT_OK}",
    "io_by_run": "io (run)",
    # A model is read a hundred thousand times and written once: its writer must not be looked for among its readers.
    "io_by_digest": "io (digest, flags, time) WHERE digest IS NOT NULL",
    "io_by_name": "io (name)",
    "io_by_uri": "io (uri) WHERE uri IS NOT NULL",
    "io_by_link": "io (link) WHERE link IS NOT NULL",
}


class Index:
    """An index in a file, or in memory where `path` is None.

    Args:
        path: its file.
        timeout_s: how long to wait for another process that writes to it, in seconds.
        cache_bytes: how much of it is kept in memory.
        temporary: it is of no use after a crash, nor to any other process before it is closed.

    Raises sqlite3.Error (OperationalError, DatabaseError) where the file cannot be used.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        timeout_s: float = 60.0,
        cache_bytes: int = LARGE_CACHE,
        temporary: bool = False,
    ) -> None:
        self.path = path
        self._temporary = temporary
        self._cache_bytes = cache_bytes
        self._afterwards = ExitStack()
        if path is not None:
            _touch(path)
        # One connection may be used by any thread: its owner holds a lock.
        self.connection = sqlite3.connect(
            ":memory:" if path is None else path, timeout=timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(timeout_s)
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _prepare(self, timeout_s: float) -> None:
        execute = self.connection.execute
        if self._temporary:
            execute("PRAGMA journal_mode = OFF")
        elif self.path is not None:
            self._write_ahead(timeout_s)
        # A crash of the machine may cost the latest part of the index, which is then read again.
        execute(f"PRAGMA synchronous = {'OFF' if self._temporary else 'NORMAL'}")
        execute(f"PRAGMA cache_size = -{self._cache_bytes // 1024}")
        execute("PRAGMA temp_store = MEMORY")
        if not self.is_current():
            with self.transaction():
                if not self.is_current():  # another process may have been faster
                    self.reset()

    def _write_ahead(self, timeout_s: float) -> None:
        # SQLite does not wait for the lock by which the journal is changed: of processes that open a new index at
        # once, all but one are told that it is busy (https://www.sqlite.org/pragma.html#pragma_busy_timeout).
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(0.005)

    def is_current(self) -> bool:
        """Whether the tables are those of this version."""
        execute = self.connection.execute
        return bool(
            execute("PRAGMA application_id").fetchone()[0] == _APPLICATION
            and execute("PRAGMA user_version").fetchone()[0] == _VERSION
        )

    def data_version(self) -> int:
        """A number that changes when another connection has changed the index."""
        version: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def reset(self) -> None:
        """Empty the index; within a transaction."""
        execute = self.connection.execute
        for (table,) in execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall():
            execute(f'DROP TABLE "{table}"')
        for statement in _TABLES.split(";"):
            execute(statement)
        execute(f"PRAGMA application_id = {_APPLICATION}")
        execute(f"PRAGMA user_version = {_VERSION}")

    def add_run_index(self) -> None:
        """Make the index by which runs are found by their id, where it is missing; within a transaction."""
        self.connection.execute(_RUN_BY_ID)

    def add_indices(self) -> None:
        """Make the indices that queries need, where they are missing; within a transaction."""
        self.add_run_index()
        try:
            self.connection.execute(_UNIQUE_IO)
        except sqlite3.IntegrityError:  # what came twice was not noticed before there was this index
            self.connection.execute(_DOUBLE_IO)
            self.connection.execute(_UNIQUE_IO)
        for name, columns in _LATE.items():
            self.connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """The right to write, for this process alone; taken back where an exception comes out."""
        self.connection.execute("BEGIN IMMEDIATE")
        with self._afterwards:
            try:
                yield
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    def after_transaction(self, call: Callable[[], object]) -> None:
        """Call something when the present transaction has ended, one way or the other; what was said last, first."""
        self._afterwards.callback(call)

    def attach(self, path: Path) -> str:
        """Let the tables of another index be read, under the name returned, until the present transaction has ended."""
        name = f"part{len(self.rows('PRAGMA database_list'))}"
        self.connection.execute(f"ATTACH ? AS {name}", (os.fspath(path),))
        self.after_transaction(partial(self.connection.execute, f"DETACH {name}"))
        return name

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        return self.connection.execute(sql, parameters).fetchall()

    def run_rows(
        self,
        where: str,
        parameters: Sequence[Any] = (),
        limit: int | None = None,
        *,
        first: int = 0,
        order: str = "start DESC, id DESC",
    ) -> list[RunRow]:
        """Runs that have a start or a span, latest start first if no other order is asked for, from `first` on."""
        sql = f"SELECT * FROM run WHERE component IS NOT NULL AND {where} ORDER BY {order}"
        if limit is not None or first:
            sql += f" LIMIT {-1 if limit is None else int(limit)} OFFSET {int(first)}"
        return [RunRow(*row) for row in self.connection.execute(sql, parameters)]

    def run_chunks(
        self, where: str, parameters: Sequence[Any] = (), *, first: int | None = None
    ) -> Iterator[list[RunRow]]:
        """The same, latest start first, in lists: `first` of them, then the more, the more are wanted."""
        sql = f"SELECT * FROM run WHERE component IS NOT NULL AND {where} ORDER BY start DESC, id DESC"
        cursor, size = self.connection.execute(sql, parameters), min(first or _LARGEST_CHUNK, _LARGEST_CHUNK)
        while rows := cursor.fetchmany(size):
            yield [RunRow(*row) for row in rows]
            size = min(2 * size, _LARGEST_CHUNK)

    def count_runs(self, where: str, parameters: Sequence[Any] = ()) -> int:
        """How many runs there are that have a start or a span."""
        count: int = self.rows(f"SELECT count(*) FROM run WHERE component IS NOT NULL AND {where}", parameters)[0][0]
        return count

    def io_rows(self, where: str, parameters: Sequence[Any] = (), order: str = "time DESC, id DESC") -> Iterator[IoRow]:
        """I/O rows, latest first if no other order is asked for, one by one as they are wanted."""
        return self._io_rows(f"{where} ORDER BY {order}", parameters)

    def io_rows_by_number(self, where: str, parameters: Sequence[Any]) -> list[IoRow]:
        """The same, all of them, in the order of their numbers, which is mostly that of the lines."""
        return sorted(self._io_rows(where, parameters))

    def _io_rows(self, where: str, parameters: Sequence[Any]) -> Iterator[IoRow]:
        return map(IoRow._make, self.connection.execute(f"SELECT {_IO_COLUMNS} FROM io WHERE {where}", parameters))

    def annotation_rows(self, where: str, parameters: Sequence[Any] = ()) -> list[AnnotationRow]:
        """Flags, notes and labels, latest first."""
        sql = f"SELECT * FROM annotation WHERE {where} ORDER BY time DESC, id DESC"
        return [AnnotationRow._make(row) for row in self.connection.execute(sql, parameters)]

    def name_id(self, text: str) -> int | None:
        """The number of a component's or artifact's name, None where it never came up."""
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair: no name that JSON could hold
            return None
        row = self.connection.execute("SELECT id FROM name WHERE text = ?", (text,)).fetchone()
        return None if row is None else row[0]

    def segments(self) -> dict[str, SegmentRow]:
        """What has been read so far, by file name."""
        return {row[1]: SegmentRow._make(row) for row in self.connection.execute("SELECT * FROM segment")}

    def save_segment(self, name: str, inode: int, offset: int, skipped: int = 0, *, inside: bool = False) -> int:
        """Note how far a file has been read, add to its skipped lines, and return its number; within a transaction."""
        self.connection.execute(
            "INSERT INTO segment (name, inode, offset, skipped, inside) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET inode = excluded.inode, offset = excluded.offset,"
            " skipped = skipped + excluded.skipped, inside = excluded.inside",
            (name, inode, offset, skipped, inside),
        )
        number: int = self.connection.execute("SELECT id FROM segment WHERE name = ?", (name,)).fetchone()[0]
        return number

    def forget(self, segments: Collection[int]) -> None:
        """Remove what was known from segments that are gone; within a transaction."""
        execute = self.connection.execute
        gone = f"IN ({numbers(segments)})"
        told = execute(
            f"SELECT id FROM run WHERE start_segment {gone} OR end_segment {gone}"
            f" UNION SELECT run FROM io WHERE segment {gone}"
        ).fetchall()
        runs = f"IN ({numbers(run for (run,) in told)})"
        for table in ("io", "annotation", "keyed"):
            execute(f"DELETE FROM {table} WHERE segment {gone}")
        execute(f"DELETE FROM dependency WHERE run IN (SELECT id FROM run WHERE end_segment {gone})")
        execute(f"UPDATE run SET start_segment = NULL WHERE start_segment {gone}")
        execute(f"UPDATE run SET end_segment = NULL, state = 0, by_span = 0 WHERE end_segment {gone}")
        # What stays without a line is a stub, as the I/O spans of a run that is not known otherwise have it.
        execute(
            "UPDATE run SET component = NULL, start = NULL WHERE start_segment IS NULL AND end_segment IS NULL"
            " AND component IS NOT NULL"
        )
        execute(
            f"DELETE FROM run WHERE id {runs} AND component IS NULL AND seen IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM io WHERE io.run = run.id)"
        )
        execute(f"DELETE FROM segment WHERE id {gone}")

    def shrink(self) -> None:
        """Give the room of removed rows back to the file system, where it is a quarter of the file or more."""
        execute = self.connection.execute
        free, pages = (execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
        if self.path is not None and 4 * free >= pages:
            execute("PRAGMA temp_store = FILE")  # the copy that it makes may be larger than the memory
            execute("VACUUM")
            execute("PRAGMA temp_store = MEMORY")
            execute("PRAGMA wal_checkpoint(TRUNCATE)")


def marks(values: Sized) -> str:
    """Return as many question marks as there are values, in parentheses as they stand after ``IN``.

    SQLite need not parse numbers then, and finds the statement again that it prepared for as many.
    """
    return f"({', '.join('?' * len(values))})"


def numbers(values: Iterable[int]) -> str:
    """Return numbers as they stand within ``IN (…)``."""
    return ", ".join(map(str, values))


def _touch(path: Path) -> None:
    # SQLite would make it readable for all that the umask lets in. A file that is there must not be opened: closing it
    # would drop the locks of this process's other connections (https://www.sqlite.org/howtocorrupt.html, 2.2).
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise sqlite3.OperationalError(f"unable to open database file {path}: {error}") from error
