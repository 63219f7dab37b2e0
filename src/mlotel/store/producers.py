"""Who wrote what is being read: asked on the hot path of every run, so it must cost next to nothing and never fail."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from pathlib import Path

from mlotel.store.files import FileStore
from mlotel.store.journal import SEGMENTS
from mlotel.store.watch import State, Watch

__all__ = ["ProducerLookup"]

logger = logging.getLogger("mlotel")

Producer = tuple[int, int]


class ProducerLookup:
    """Which span wrote a digest: what this process wrote, then what the embedded store at `root` knows.

    The store's index is brought up to date only if another process's segment has changed; what was not found is
    remembered until then. Safe to use from several threads and after a fork.

    Args:
        root: folder of the embedded store; it need not exist. None: only what this process wrote is known.
        limit: how many digests are remembered, the oldest being forgotten first.
        timeout_s: how long a question may wait for another process that fills the index, in seconds; after a failure
            the store is left alone for ten times as long.
        bite: how many bytes that nobody has indexed yet a question reads at most.
    """

    def __init__(
        self, root: Path | None, *, limit: int = 65_536, timeout_s: float = 2.0, bite: int = 32 * 2**20
    ) -> None:
        self._root = None if root is None else Path(os.path.abspath(root))
        self._limit = limit
        self._timeout_s = timeout_s
        self._bite = bite
        self._retry_at = float("-inf")
        self._written: dict[str, Producer] = {}
        self._lock = threading.RLock()
        self._forgotten: list[FileStore] = []
        self._reset()
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forked(reference))

    def _reset(self) -> None:
        self._store: FileStore | None = None
        self._watch: Watch | None = None
        self._seen: State | None = None
        self._asked: dict[str, Producer | None] = {}

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
                return self._find(digest)
        except Exception as error:  # a link that is not found must not cost the user a run
            self._retry_at = time.monotonic() + 10 * self._timeout_s
            logger.debug("mlotel: the producer of %s cannot be looked up: %s", digest, error, exc_info=error)
            return None

    def close(self) -> None:
        """Close the store's index."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._reset()

    def _find(self, digest: str) -> Producer | None:
        if self._root is None or time.monotonic() < self._retry_at:
            return None
        if self._watch is None:
            folder = self._root / SEGMENTS
            self._watch = Watch(folder, lambda: os.listdir(folder), others_only=True, sparing=True)
        try:
            state = self._watch.look()
        except OSError:  # no store, or none any more
            self.close()
            return None
        if state is not self._seen:
            if self._store is None:
                self._store = FileStore(self._root, timeout_s=self._timeout_s)
            complete = self._store.refresh(max_bytes=self._bite)
            self._asked.clear()
            if complete:
                self._seen = state
        elif digest in self._asked:
            return self._asked[digest]
        link = None if self._store is None else self._store.known_writer_of(digest)
        producer = None if link is None else (int(link.trace_id, 16), int(link.span_id, 16))
        if len(self._asked) >= self._limit:
            self._asked.clear()
        self._asked[digest] = producer
        return producer

    def _after_fork(self) -> None:
        """In the child: the parent's connection must be neither used nor closed."""
        self._lock = threading.RLock()
        if self._store is not None:
            self._forgotten.append(self._store)
        self._reset()


def _forked(reference: weakref.ref[ProducerLookup]) -> None:
    lookup = reference()
    if lookup is not None:
        lookup._after_fork()
