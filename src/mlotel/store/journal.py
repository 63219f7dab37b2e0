"""Appending lines to the embedded store: each process to segments of its own, so that no writer waits for another.

A line is one `write(2)` on a file opened with O_APPEND: when `append` has returned, the line survives the death of the
process (not of the machine: nothing is synced). No lock is held while writing, since a forked child would inherit it
held, and a signal handler that ends a run would wait for its own thread.
"""

from __future__ import annotations

import errno
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from mlotel import provenance
from mlotel._forks import Lock, after_in_child
from mlotel._log import logger

__all__ = ["SEGMENTS", "SEGMENT_SUFFIX", "Journal", "host_key", "make_private", "private", "segment_name"]


SEGMENTS = "segments"
SEGMENT_SUFFIX = ".jsonl"
_DAY_S = 86_400
# Asking the file's state costs as much as the write; a thousand times a second is often enough.
_CHECK_S = 0.001
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def host_key() -> str:
    """Eight hex digits that are the same for two processes if and only if a process id means the same to both.

    That is: the same host, boot and process id namespace.
    """
    me = provenance.identity()
    return blake3(f"{me.host}\0{me.boot_id}\0{me.pid_namespace}".encode()).hexdigest(length=4)


def segment_name(day: str) -> str:
    """Return a name, which no other file has, for a segment of this process on a day, ``YYYY-MM-DD``."""
    return f"{day}-{host_key()}-{os.getpid()}-{os.urandom(4).hex()}{SEGMENT_SUFFIX}"


def make_private(folder: Path) -> None:
    """Make the root folder of a store if it is not there: for its owner alone, and ignored by git."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        ignore = os.open(folder / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        os.write(ignore, b"*\n")
    finally:
        os.close(ignore)


def private(path: str, flags: int) -> int:
    """Open a file that, if it is made now, only its owner can read, whatever the umask: an ``opener`` of `open`."""
    return os.open(path, flags, 0o600)


class _Segment:
    """An open segment file, closed when the last thread that writes to it has let go of it and never before.

    A number that is closed under a writer may already be another file's.
    """

    __slots__ = ("__weakref__", "_close", "checked", "day", "fd", "identity", "path", "torn")

    def __init__(self, path: Path, day: int) -> None:
        self._close = os.close
        self.fd = -1
        self.fd = os.open(path, _FLAGS, 0o600)
        status = os.fstat(self.fd)
        self.identity = status.st_dev, status.st_ino
        self.path = path
        self.day = day
        self.checked = 0.0
        self.torn = False

    def __del__(self) -> None:
        if self.fd >= 0:
            self._close(self.fd)


class Journal:
    """Appends lines to the store at `root`; never raises while a pipeline runs.

    What cannot be written (full disk, read-only or unreachable folder) is counted in `dropped` and told once; every
    later line tries again, opening files at most once every `retry_s`. A removed store is made anew. A new segment
    begins after `segment_bytes`, on a new day (UTC), and in a forked child.

    Args:
        root: folder whose segments these are; nothing is made before the first line.
        store: folder of the store that `root` lies in, if it is not the store itself.
        segment_bytes: size from which on a new segment is begun.
        retry_s: seconds to wait before a file that could not be opened is tried again.
        lost: what a warning says of what cannot be written; None for no warning.
        clock: seconds since the epoch.
        write: writes bytes to a file descriptor and returns how many were taken.
    """

    def __init__(
        self,
        root: Path,
        *,
        store: Path | None = None,
        segment_bytes: int = 64 * 2**20,
        retry_s: float = 1.0,
        lost: str | None = "runs are not recorded",
        clock: Callable[[], float] = time.time,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self.root = Path(os.path.abspath(root))
        self.store = self.root if store is None else Path(os.path.abspath(store))
        self.dropped = 0
        self._segment: _Segment | None = None
        self._segment_bytes = segment_bytes
        self._retry_s = retry_s
        self._lost = lost
        self._retry_at = float("-inf")
        self._clock = clock
        self._write = write
        self._opening = Lock()
        self._told = False
        self._closed = False
        self._held: weakref.WeakValueDictionary[str, _Segment] = weakref.WeakValueDictionary()
        after_in_child(self._let_go)

    def append(self, line: bytes) -> bool:
        """Write one line, which ends in a newline, as one record; tell whether it is in the store now."""
        try:
            return self._append(line)
        except OSError as error:
            self._fail(error)
        except Exception as error:  # whatever it is: the caller's pipeline must not see it
            self._fail(error)
            logger.debug("mlotel: journal %s", self.root, exc_info=error)
        return False

    @property
    def path(self) -> Path | None:
        """The segment that the latest line stands in; None where the next line begins one."""
        segment = self._segment
        return None if segment is None else segment.path

    def begin_segment(self) -> None:
        """Let the next line begin a segment."""
        self._segment = None

    def close(self) -> None:
        """Let go of the segment; lines that come later are dropped."""
        self._closed = True
        self._segment = None

    def roll(self, name: str) -> None:
        """Begin a new segment with the next line if the one that is written now has this name."""
        segment = self._held.get(name)
        if segment is not None:
            self._drop(segment)

    def is_held(self, name: str) -> bool:
        """Tell whether a thread may still write to the segment of this name."""
        return name in self._held

    def _append(self, line: bytes) -> bool:
        for attempt in range(3):
            now = self._clock()
            segment = self._segment
            if segment is not None and not 0 <= now - segment.checked < _CHECK_S:
                segment.checked = now
                if not self._is_usable(segment):
                    segment = None
            if segment is None or now // _DAY_S != segment.day:
                segment = self._open(segment)
                if segment is None:
                    return False
            if segment.torn:
                segment.torn = False
                record = b"\n" + line
            else:
                record = line
            try:
                written = self._write(segment.fd, record)
            except OSError as error:
                if error.errno == errno.EBADF:
                    self._lose(segment)
                    continue
                if error.errno == errno.EFBIG:  # files may not become that large here (ulimit -f)
                    self._drop(segment)
                    continue
                # Whether a part of it was taken is not known: a blank line does no harm.
                segment.torn = True
                raise
            if written == len(record):
                return True
            segment.torn = True
            if attempt:
                break
        self._fail(OSError("short write"))
        return False

    def _is_usable(self, segment: _Segment) -> bool:
        """Whether lines may still go to the segment; if not, it is dropped."""
        try:
            status = os.fstat(segment.fd)
        except OSError:
            self._lose(segment)
            return False
        if (status.st_dev, status.st_ino) != segment.identity:
            self._lose(segment)
            return False
        if status.st_nlink == 0 or status.st_size >= self._segment_bytes:  # 0: the store was removed under us
            self._drop(segment)
            return False
        return True

    def _open(self, old: _Segment | None) -> _Segment | None:
        with self._opening:
            if self._segment is not old and self._segment is not None:
                return self._segment
            now = self._clock()
            if self._closed or 0 <= now - self._retry_at < self._retry_s:
                self.dropped += 1
                return None
            self._retry_at = now
            folder = self.root / SEGMENTS
            day = time.strftime("%Y-%m-%d", time.gmtime(now))
            name = segment_name(day)
            try:
                segment = _Segment(folder / name, int(now // _DAY_S))
            except FileNotFoundError:
                make_private(self.store)
                inner = [each for each in (folder, *folder.parents) if self.store in each.parents]
                for each in reversed(inner):
                    each.mkdir(mode=0o700, exist_ok=True)
                segment = _Segment(folder / name, int(now // _DAY_S))
            self._retry_at = float("-inf")
            self._held[name] = self._segment = segment
            return segment

    def _drop(self, segment: _Segment) -> None:
        with self._opening:
            if self._segment is segment:
                self._segment = None

    def _lose(self, segment: _Segment) -> None:
        """Drop a segment whose descriptor somebody closed, as daemons do; it may be another file's and stays open."""
        segment.fd = -1
        self._drop(segment)

    def _fail(self, error: Exception) -> None:
        self.dropped += 1
        if not self._told and self._lost is not None:
            self._told = True
            logger.warning("mlotel: cannot write to the store %s, %s: %s", self.root, self._lost, error)

    def _let_go(self) -> None:
        """In the child: let go of the parent's segment, and of one that another thread was about to open."""
        self._held = weakref.WeakValueDictionary()
        self._segment = None
        self._retry_at = float("-inf")
