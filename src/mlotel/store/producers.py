"""Who wrote what is being read: asked on the hot path of every run, so it must cost next to nothing and never fail."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mlotel._forks import Lock, after_in_child
from mlotel._log import logger
from mlotel.freshness import Made
from mlotel.model import Run
from mlotel.store.conditions import Condition
from mlotel.store.files import FileStore
from mlotel.store.index import SMALL_CACHE
from mlotel.store.journal import SEGMENTS
from mlotel.store.watch import State, Watch

__all__ = ["ProducerLookup"]


Producer = tuple[int, int]
Origin = tuple[Made, int]
"""The run that wrote something, and when: nanoseconds since the epoch."""

T = TypeVar("T")

_OK = (Condition("state", "=", "ok"),)
# Of each component so many runs that ended last: the latest one decides, unless it began during the run that asks.
_ENDED_KEPT = 8
_LOOK_SECONDS = 1.0


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
        self._origins: dict[int, Origin] = {}
        self._ended: dict[tuple[str, str | None], tuple[Made, ...]] = {}
        self._lock = Lock()
        self._forgotten: list[FileStore] = []
        self._reset()
        after_in_child(self._after_fork)

    def _reset(self) -> None:
        self._store: FileStore | None = None
        self._watch: Watch | None = None
        self._seen: State | None = None
        self._next_look = float("-inf")
        self._forget_answers()

    def _forget_answers(self) -> None:
        self._asked: dict[str, Producer | None] = {}
        self._known_origins: dict[Producer, Origin | None] = {}
        self._known_ended: dict[str, tuple[Made, ...]] = {}

    def remember(self, digest: str, trace_id: int, span_id: int) -> None:
        """Note that a span of this process wrote content of this digest."""
        written = self._written
        written.pop(digest, None)
        written[digest] = (trace_id, span_id)
        if len(written) > self._limit:
            _drop_oldest(written)

    def wrote(self, span_id: int, made: Made, written_ns: int) -> None:
        """Note which run of this process a write span belongs to, and when it wrote."""
        self._origins[span_id] = (made, written_ns)
        if len(self._origins) > self._limit:
            _drop_oldest(self._origins)

    def ended(self, made: Made) -> None:
        """Note that a run of this process ended ok."""
        key = made[:2]
        self._ended[key] = (made, *self._ended.get(key, ())[: _ENDED_KEPT - 1])
        if len(self._ended) > self._limit:
            _drop_oldest(self._ended)

    def find(self, digest: str) -> Producer | None:
        """Trace id and span id of the latest span known to have written this digest; None if there is none."""
        producer = self._written.get(digest)
        if producer is not None:
            return producer
        return self._carefully(lambda: self._find(digest), None)

    def origin(self, trace_id: int, span_id: int) -> Origin | None:
        """The run to which a span belongs that something was written by, and when; None where that is not known."""
        own = self._origins.get(span_id)
        if own is not None or self._root is None:
            return own
        return self._carefully(lambda: self._origin(trace_id, span_id), None)

    def later(self, producer: Made, after_ns: int, before_ns: int) -> Sequence[Made]:
        """The latest runs of a run's component that ended ok and began between two times, latest first.

        Of other processes those are known that `find` and `origin` came upon: nothing is looked for.
        """
        known = self._ended.get(producer[:2], ())
        if self._store is not None:
            nothing: tuple[Made, ...] = ()
            known += self._carefully(lambda: self._ended_elsewhere(producer.component), nothing)
        found = [each for each in known if after_ns < each.start_ns < before_ns] if known else []
        if len(found) > 1:
            found.sort(key=lambda each: -each.start_ns)
        return found

    def _carefully(self, ask: Callable[[], T], otherwise: T) -> T:
        try:
            with self._lock:
                return ask()
        except Exception as error:  # what is not found must not cost the user a run
            self._retry_at = time.monotonic() + 10 * self._timeout_s
            logger.debug("mlotel: producers cannot be looked up: %s", error, exc_info=error)
            return otherwise

    def close(self) -> None:
        """Close the store's index."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._reset()

    def _find(self, digest: str) -> Producer | None:
        store = self._look(self._bite)
        if store is None:
            return None
        if digest in self._asked:
            return self._asked[digest]
        link = store.known_writer_of(digest)
        producer = None if link is None else (int(link.trace_id, 16), int(link.span_id, 16))
        if len(self._asked) >= self._limit:
            self._asked.clear()
        self._asked[digest] = producer
        return producer

    def _origin(self, trace_id: int, span_id: int) -> Origin | None:
        store = self._look_sometimes()
        if store is None:
            return None
        key = trace_id, span_id
        if key in self._known_origins:
            return self._known_origins[key]
        with store.held():
            run = store.run_of_span(f"{trace_id:032x}", f"{span_id:016x}")
        origin = None if run is None else (Made.of(run), _time_of(run, f"{span_id:016x}"))
        if len(self._known_origins) >= self._limit:
            self._known_origins.clear()
        self._known_origins[key] = origin
        return origin

    def _ended_elsewhere(self, component: str) -> tuple[Made, ...]:
        if self._store is None:
            return ()
        if component not in self._known_ended:
            with self._store.held():
                runs = self._store.runs(component=component, where=_OK, limit=_ENDED_KEPT)
            if len(self._known_ended) >= self._limit:
                self._known_ended.clear()
            self._known_ended[component] = tuple(map(Made.of, runs))
        return self._known_ended[component]

    def _look_sometimes(self) -> FileStore | None:
        """As `_look`, once a second at most and with smaller bites: for what a run can do without."""
        if time.monotonic() < max(self._next_look, self._retry_at):
            return self._store
        return self._look(self._bite // 8)

    def _look(self, bite: int) -> FileStore | None:
        """The store, with what other processes wrote taken up and old answers forgotten; None where there is none."""
        now = time.monotonic()
        if self._root is None or now < self._retry_at:
            return None
        if self._watch is None:
            folder = self._root / SEGMENTS
            self._watch = Watch(folder, lambda: os.listdir(folder), others_only=True, sparing=True)
        try:
            state = self._watch.look()
        except OSError:  # no store, or none any more
            self.close()
            return None
        self._next_look = now + _LOOK_SECONDS
        if state is not self._seen:
            if self._store is None:
                self._store = FileStore(self._root, timeout_s=self._timeout_s, cache_bytes=SMALL_CACHE)
            complete = self._store.refresh(max_bytes=bite)
            self._forget_answers()
            if complete:
                self._seen = state
        return self._store

    def _after_fork(self) -> None:
        """In the child: the parent's connection must be neither used nor closed."""
        if self._store is not None:
            self._forgotten.append(self._store)
        self._reset()


def _drop_oldest(remembered: dict[Any, Any]) -> None:
    """Forget the oldest eighth: finding the first key of a dict takes the longer, the more before it were removed."""
    # Another thread may be at it: then that one makes room.
    with contextlib.suppress(RuntimeError):
        for key in list(islice(remembered, len(remembered) // 8 + 1)):
            remembered.pop(key, None)


def _time_of(run: Run, span_id: str) -> int:
    """When a run wrote by this span; where the span wrote nothing, as that of the run itself, when it began."""
    return next((each.time_ns for each in run.outputs if each.span_id == span_id), run.start_ns)
