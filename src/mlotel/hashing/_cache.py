"""Fingerprints of files that have not changed: in the process, and on request in a small SQLite file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from blake3 import blake3
from msgspec import json

from mlotel._forks import Lock, no_fork_meanwhile
from mlotel._json import UNDECODABLE
from mlotel.model import Fingerprint

if TYPE_CHECKING:
    import sqlite3

__all__ = ["StatCache"]

# A file may change twice within one tick of its file system's clock (2 s on FAT) and keep its size: what was read
# that soon after a change is not remembered. https://git-scm.com/docs/racy-git
_SETTLED_NS = 2_000_000_000
# Below this size reading the file again costs about as much as asking SQLite in another process.
_PERSIST_BYTES = 1 << 20
_PERSIST_ENTRIES = 10_000
_SCHEMA = """CREATE TABLE IF NOT EXISTS fingerprint_v2 (
    path TEXT, algorithm TEXT, scope TEXT, identity TEXT, content TEXT, PRIMARY KEY (path, algorithm, scope)
)"""
_SELECT = "SELECT content FROM fingerprint_v2 WHERE path = ? AND algorithm = ? AND scope = ? AND identity = ?"
_INSERT = "INSERT OR REPLACE INTO fingerprint_v2 VALUES (?, ?, ?, ?, ?)"
_PRUNE = "DELETE FROM fingerprint_v2 WHERE rowid <= (SELECT max(rowid) FROM fingerprint_v2) - ?"

_Identity = tuple[int, int, int, int, int]


def _name_of(path: str) -> str:
    # What files are called is told in spans, where it can be redacted, and nowhere else.
    return blake3(os.fsencode(os.path.abspath(path))).hexdigest()


def _identity(status: os.stat_result) -> _Identity:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


class StatCache:
    """Remembers fingerprints of files by path, size, mtime, ctime, inode, device, algorithm and scope; thread-safe.

    A file that changed less than two seconds before it was read is not remembered.

    Args:
        path: a SQLite file in which fingerprints of files of 1 MiB and more outlive the process, or None. If it
            cannot be used (broken, read-only, locked), the cache goes on in memory.
        max_entries: how many fingerprints are kept in memory; the oldest goes first.
        now_ns: the clock, in nanoseconds since the epoch.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_entries: int = 16_384,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._entries: dict[tuple[str, str, str], tuple[_Identity, Fingerprint]] = {}
        self._lock = Lock()
        self._max_entries = max(1, max_entries)
        self._now_ns = now_ns
        self._path = None if path is None else os.fspath(path)

    def __len__(self) -> int:
        """How many fingerprints are in memory."""
        return len(self._entries)

    def get(self, path: str, algorithm: str, scope: str, status: os.stat_result | None = None) -> Fingerprint | None:
        """Return the fingerprint of an unchanged file, or None; `status` is its fresh `os.stat`, if at hand."""
        if status is None:
            try:
                status = os.stat(path)
            except OSError:
                return None
        found = self._entries.get((path, algorithm, scope))
        if found is not None:
            known = found[0]
            if (
                known[0] == status.st_size
                and known[1] == status.st_mtime_ns
                and known[2] == status.st_ctime_ns
                and known[3] == status.st_ino
                and known[4] == status.st_dev
            ):
                return found[1]
        if self._path is None or status.st_size < _PERSIST_BYTES:
            return None
        loaded = self._load(path, algorithm, scope, _identity(status))
        if loaded is not None:
            self._remember(path, algorithm, scope, _identity(status), loaded)
        return loaded

    def settled(self, status: os.stat_result) -> bool:
        """Whether a file read from now on can be remembered: its last change is two seconds old or older."""
        return self._now_ns() - max(status.st_mtime_ns, status.st_ctime_ns) >= _SETTLED_NS

    def put(self, path: str, algorithm: str, scope: str, status: os.stat_result, fingerprint: Fingerprint) -> None:
        """Remember what was read from a file whose `os.stat` before the reading was `status`, and settled."""
        identity = _identity(status)
        self._remember(path, algorithm, scope, identity, fingerprint)
        if self._path is not None and status.st_size >= _PERSIST_BYTES:
            self._save(path, algorithm, scope, identity, fingerprint)

    def _remember(self, path: str, algorithm: str, scope: str, identity: _Identity, fingerprint: Fingerprint) -> None:
        key = path, algorithm, scope
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= self._max_entries:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = identity, fingerprint

    def _load(self, path: str, algorithm: str, scope: str, identity: _Identity) -> Fingerprint | None:
        import sqlite3

        key = (_name_of(path), algorithm, scope, json.encode(identity).decode())
        try:
            with self._connected() as connection:
                row = connection.execute(_SELECT, key).fetchone()
            return None if row is None else Fingerprint(**json.decode(row[0]))
        except (sqlite3.Error, OSError, TypeError, *UNDECODABLE):
            return None

    def _save(self, path: str, algorithm: str, scope: str, identity: _Identity, fingerprint: Fingerprint) -> None:
        import sqlite3

        content, identified = json.encode(fingerprint).decode(), json.encode(identity).decode()
        try:
            with self._connected() as connection:
                connection.execute(_SCHEMA)
                connection.execute(_INSERT, (_name_of(path), algorithm, scope, identified, content))
                connection.execute(_PRUNE, (_PERSIST_ENTRIES,))
                connection.commit()
        except (sqlite3.Error, OSError, ValueError):
            return

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Open the SQLite file for one statement: 0.1 ms, and nothing is held over a fork or across threads."""
        import sqlite3

        # SQLite would make it readable for all that the umask lets in.
        with suppress(FileExistsError):
            os.close(os.open(f"{self._path!s}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        # A locked file is not worth waiting for: the content is read again instead.
        with no_fork_meanwhile():
            connection = sqlite3.connect(f"{self._path!s}", timeout=0.05)
            try:
                yield connection
            finally:
                connection.close()
