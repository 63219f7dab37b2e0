"""Whether what is being read bears a retracted label: asked for every input, so it costs nothing where none does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlotel._forks import Lock, after_in_child
from mlotel._log import logger
from mlotel.model import Artifact, RetractedLabel
from mlotel.store.files import FileStore
from mlotel.store.index import SMALL_CACHE
from mlotel.store.journal import SEGMENTS
from mlotel.store.watch import State, Watch

if TYPE_CHECKING:
    from mlotel.labels import Retractions

__all__ = ["RetractionLookup"]

_Key = tuple[str | None, str | None]


class RetractionLookup:
    """What is retracted in the embedded store at `root`; asked again at most every `refresh_s` seconds.

    As long as nothing is retracted the store is opened only when another process has written to it, and closed again.
    Whatever goes wrong, nothing is retracted: a fault of mlotel's own stops no pipeline. Safe to use from several
    threads and after a fork.

    Args:
        root: folder of the embedded store; it need not exist. None: nothing is ever retracted.
        refresh_s: seconds after which a retraction by another process is known here.
        timeout_s: how long to wait for another process that fills the index, in seconds.
        bite: how many bytes that nobody has indexed yet are read at once, the newest first.
        limit: of how many artifacts the answer is remembered.
        monotonic: seconds of a clock that is never set back.
    """

    def __init__(
        self,
        root: Path | None,
        *,
        refresh_s: float = 2.0,
        timeout_s: float = 2.0,
        bite: int = 8 * 2**20,
        limit: int = 65_536,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = None if root is None else Path(os.path.abspath(root))
        self._refresh_s, self._timeout_s, self._bite, self._limit = refresh_s, timeout_s, bite, limit
        self._monotonic = monotonic
        self._lock = Lock()
        self._left: list[FileStore] = []
        self._reset()
        after_in_child(self._after_fork)

    def _reset(self) -> None:
        self._whole = self._root is None
        self._changed_here = False
        self._look_at = float("inf") if self._root is None else float("-inf")
        self._watch: Watch | None = None
        self._seen: State | None = None
        self._store: FileStore | None = None
        self._held: Retractions | None = None
        self._known: dict[_Key, tuple[RetractedLabel, ...]] = {}

    def any(self, *, whole: bool = False) -> bool:
        """Whether anything bears a retracted label.

        Args:
            whole: read all that nobody has indexed yet, however long it takes.
        """
        if self._monotonic() >= self._look_at or (whole and not self._whole):
            self._look(whole or self._changed_here)
        return self._held is not None

    def of(self, artifact: Artifact) -> tuple[RetractedLabel, ...]:
        """The retracted labels that an artifact bears which is about to be read, the earliest deadline first."""
        key = artifact.digest, None if artifact.link is None else artifact.link.span_id
        try:
            with self._lock:
                if self._held is None:
                    return ()
                if key not in self._known:
                    if len(self._known) >= self._limit:
                        self._known.clear()
                    self._known[key] = self._held.of(artifact)
                return self._known[key]
        except Exception as error:
            logger.debug("mlotel: retracted labels cannot be looked up: %s", error, exc_info=error)
            return ()

    def look_again(self) -> None:
        """Forget what is known: this process has given a label, or retracted one."""
        if self._root is not None:
            self._seen, self._changed_here = None, True
            self._look_at = float("-inf")

    def close(self) -> None:
        """Close the store."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._reset()

    def _look(self, whole: bool) -> None:
        with self._lock:
            if self._monotonic() < self._look_at and (self._whole or not whole):  # another thread was faster
                return
            try:
                self._refresh(None if whole else self._bite)
                self._changed_here = False
                wait = self._refresh_s
            except Exception as error:  # what cannot be asked is left alone for a while
                logger.debug("mlotel: retractions cannot be read: %s", error, exc_info=error)
                wait, self._whole = 10 * self._refresh_s, True
            self._look_at = self._monotonic() + wait

    def _refresh(self, bite: int | None) -> None:
        assert self._root is not None
        folder = self._root / SEGMENTS
        if self._watch is None:
            self._watch = Watch(folder, lambda: os.listdir(folder), others_only=True, sparing=True)
        try:
            state = self._watch.look()
        except OSError:  # no store, or none any more
            self.close()
            self._whole = True
            return
        if state is self._seen:
            return
        self._known.clear()
        store = self._store or FileStore(self._root, timeout_s=self._timeout_s, cache_bytes=SMALL_CACHE)
        self._whole = store.refresh(max_bytes=bite)
        self._held = None
        if store.known_annotations("retract"):
            from mlotel.labels import Retractions  # the walk is loaded where there is something to look for

            self._held = Retractions(store) or None
        if self._held is None:
            store.close()
        self._store = None if self._held is None else store
        self._seen = state if self._whole else None

    def _after_fork(self) -> None:
        """In the child: the parent's connection must be neither used nor closed."""
        if self._store is not None:
            self._left.append(self._store)
        self._reset()
