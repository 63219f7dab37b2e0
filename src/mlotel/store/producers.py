"""Who wrote what is being read: asked on the hot path of every run, so it must cost next to nothing and never fail."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from mlotel.store.files import FileStore
from mlotel.store.journal import SEGMENTS, host_key
from mlotel.store.segments import segment_writer

__all__ = ["ProducerLookup"]

logger = logging.getLogger("mlotel")

Producer = tuple[int, int]

_DAY_S = 86_400
# Directory times move in ticks of some milliseconds: a folder that changed this recently may change unseen.
_RACY_S = 1.0
# Asking for a file's size takes about a microsecond. Beyond this many files it is not done at every question.
_FREE_STATS = 16
_STATS_SHARE = 20


class ProducerLookup:
    """Which span wrote a digest: what this process wrote, then what the embedded store at `root` knows.

    The store's index is brought up to date only if another process's segment has changed; what was not found is
    remembered until then. Safe to use from several threads and after a fork.

    Args:
        root: folder of the embedded store; it need not exist. None: only what this process wrote is known.
        limit: how many digests are remembered, the oldest being forgotten first.
        timeout_s: how long a question may wait for another process that fills the index, in seconds.
        clock: seconds since the epoch.
    """

    def __init__(
        self, root: Path | None, *, limit: int = 65_536, timeout_s: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._root = None if root is None else Path(os.path.abspath(root))
        self._folder = None if self._root is None else self._root / SEGMENTS
        self._limit = limit
        self._timeout_s = timeout_s
        self._clock = clock
        self._written: dict[str, Producer] = {}
        self._lock = threading.RLock()
        self._forgotten: list[FileStore] = []
        self._reset()
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forked(reference))

    def _reset(self) -> None:
        self._store: FileStore | None = None
        self._asked: dict[str, Producer | None] = {}
        self._folder_time: int | None = None
        self._active: dict[str, int] = {}
        self._next_look = 0.0

    def remember(self, digest: str, trace_id: int, span_id: int) -> None:
        """Note that a span of this process wrote content of this digest."""
        written = self._written
        written.pop(digest, None)
        written[digest] = (trace_id, span_id)
        if len(written) > self._limit:
            # Another thread may be at it: then that one makes room.
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                del written[next(iter(written))]

    def find(self, digest: str) -> Producer | None:
        """Trace id and span id of the latest span known to have written this digest; None if there is none."""
        producer = self._written.get(digest)
        if producer is not None:
            return producer
        try:
            with self._lock:
                if self._root is None or self._folder is None:
                    return None
                if self._changed(self._folder):
                    self._refresh(self._root, self._folder)
                elif digest in self._asked:
                    return self._asked[digest]
                return self._ask(digest)
        except Exception as error:  # a link that is not found must not cost the user a run
            logger.debug("mlotel: the producer of %s cannot be looked up: %s", digest, error, exc_info=error)
            return None

    def close(self) -> None:
        """Close the store's index."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._reset()

    def _ask(self, digest: str) -> Producer | None:
        if self._store is None:
            return None
        link = self._store.known_writer_of(digest)
        producer = None if link is None else (int(link.trace_id, 16), int(link.span_id, 16))
        if len(self._asked) >= self._limit:
            self._asked.clear()
        self._asked[digest] = producer
        return producer

    def _changed(self, folder: Path) -> bool:
        """Whether other processes may have written since the last time."""
        try:
            folder_time = os.stat(folder).st_mtime_ns
        except OSError:  # no store, or none any more
            if self._store is not None:
                self._store.close()
            self._reset()
            return False
        if folder_time != self._folder_time:
            return True
        if len(self._active) > _FREE_STATS:
            now = time.monotonic()
            if now < self._next_look:
                return False
            self._next_look = now + len(self._active) * _STATS_SHARE * 1e-6
        for path, size in self._active.items():
            try:
                if os.stat(path).st_size != size:
                    return True
            except OSError:
                return True
        return False

    def _refresh(self, root: Path, folder: Path) -> None:
        folder_time = os.stat(folder).st_mtime_ns
        now = self._clock()
        # Sizes are taken before the index reads on: what is written in between shows as a change at the next question.
        self._active = _living(folder, now)
        if self._store is None:
            self._store = FileStore(root, timeout_s=self._timeout_s)
        self._store.refresh()
        self._asked.clear()
        self._folder_time = folder_time if now - folder_time / 1e9 > _RACY_S else None

    def _after_fork(self) -> None:
        """In the child: the parent's connection must be neither used nor closed."""
        self._lock = threading.RLock()
        if self._store is not None:
            self._forgotten.append(self._store)
        self._reset()


def _living(folder: Path, now: float) -> dict[str, int]:
    """Segments that another process may still append to, with their sizes."""
    yesterday = time.strftime("%Y-%m-%d", time.gmtime(now - _DAY_S))
    here, me = host_key(), os.getpid()
    living = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            writer = segment_writer(entry.name)
            if writer is None or writer[0] < yesterday:
                continue
            if writer[1] == here and (writer[2] == me or not _exists(writer[2])):
                continue
            living[entry.path] = entry.stat().st_size
    return living


def _exists(pid: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _forked(reference: weakref.ref[ProducerLookup]) -> None:
    lookup = reference()
    if lookup is not None:
        lookup._after_fork()
