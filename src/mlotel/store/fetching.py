"""Fetching from a backend of traces: time ranges are searched within bounds, and what was fetched is kept in memory."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from mlotel.errors import StoreError
from mlotel.store.memory import MemoryStore
from mlotel.store.windows import Windows

__all__ = ["Fetching", "Found", "RemoteSpan", "UnreadableError", "WindowTooLongError"]

_DAY = 24 * 3600 * 10**9
_DEFAULT_RANGE = 30 * _DAY
_CLOCKS_DIFFER = 300 * 10**9
_MOMENT = 30 * 10**9
_MOST_KEPT = 200_000
_MOST_PROBLEMS = 20

S = TypeVar("S")


class WindowTooLongError(StoreError):
    """A backend searches no time range as long as this one."""


class UnreadableError(StoreError):
    """One trace cannot be read; others may."""


@dataclass(frozen=True, slots=True)
class RemoteSpan:
    """A span of mlotel's as a backend has it: its ids (hex), and what makes its line of OTLP/JSON."""

    trace_id: str
    span_id: str
    line: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """What one request found in a time range.

    It is `full` where it brought as many traces as were asked for, so that there may be more. `spans` came with the
    answer; `batches` are fetched as they are taken: spans, and from which time on (nanoseconds since the epoch) there
    are no others in the time range.
    """

    full: bool
    spans: Sequence[RemoteSpan] = ()
    batches: Iterable[tuple[Sequence[RemoteSpan], int]] = ()


class Fetching(ABC, Generic[S]):
    """What was fetched from a backend, and the way to more; `S` is what the backend is searched for.

    Args:
        name: of the backend, for people.
        since_ns: searches find what began at or after this time, nanoseconds since the epoch; 30 days before
            `until_ns` unless said.
        until_ns: searches find what began until this time; now unless said. What a link or an id names is found
            whenever it was.
        page: traces per request.
        max_requests: requests per question.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        *,
        since_ns: int | None,
        until_ns: int | None,
        page: int,
        max_requests: int,
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self._since, self._until = since_ns, until_ns
        self._page, self._max_requests = page, max_requests
        self._longest_window: int | None = None
        self._shortest_window = 10**6
        self._clock = clock
        self._lock = threading.RLock()
        self._fetched = MemoryStore(clock=clock)
        self._spans: set[tuple[str, str]] = set()
        self._done: dict[str, tuple[int, int, int]] = {}
        self._depth = 0
        self._problems: dict[str, None] = {}

    @abstractmethod
    def _disconnect(self) -> None:
        """End the connections; the next question makes others."""

    @abstractmethod
    def _find(self, search: S, start_ns: int, end_ns: int) -> Found:
        """Ask once for what began in a time range. Raises StoreError, WindowTooLongError among them."""

    @abstractmethod
    def _trace(self, trace_id: str) -> Sequence[RemoteSpan]:
        """The spans of one trace, whenever it was; none if there is no such trace. Raises StoreError."""

    def close(self) -> None:
        """End the connections and forget what was fetched; the next question begins anew."""
        with self._lock:
            self._disconnect()
            self._forget()
            self._problems.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def problems(self) -> Sequence[str]:
        """What could not be read for the questions so far, in words."""
        return tuple(self._problems)

    @property
    def partial(self) -> bool:
        """Whether an answer so far may lack something that could not be read; `problems` says what."""
        return bool(self._problems)

    @property
    def searched_since(self) -> int:
        """From which time on is searched where a question says nothing else, nanoseconds since the epoch."""
        return self._range()[0]

    @contextmanager
    def searching(self, since_ns: int | None = None, until_ns: int | None = None) -> Iterator[None]:
        """Search another time range meanwhile, nanoseconds since the epoch; None leaves an end of it as it is."""
        before = self._since, self._until
        self._since = before[0] if since_ns is None else since_ns
        self._until = before[1] if until_ns is None else until_ns
        try:
            yield
        finally:
            self._since, self._until = before

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """The right to ask a question, which may consist of others."""
        with self._lock:
            if not self._depth and len(self._spans) > _MOST_KEPT:
                self._forget()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def _range(self, since_ns: int | None = None, until_ns: int | None = None) -> tuple[int, int]:
        """The time range to search: as it is asked for, or else as it was set."""
        until = self._until if until_ns is None else until_ns
        until = self._clock() + _CLOCKS_DIFFER if until is None else until
        since = self._since if since_ns is None else since_ns
        return max(0, min(self._clock(), until) - _DEFAULT_RANGE if since is None else since), until

    def _search(
        self, searches: Iterable[S], since: int, until: int, enough: Callable[[int], bool] | None = None
    ) -> None:
        """Fetch the traces in which a span of the time range is what one of `searches` is for.

        Args:
            searches: what to look for, one after another.
            since: nanoseconds since the epoch.
            until: nanoseconds since the epoch.
            enough: tells whether what was fetched will do, told from which time on a search is complete.
        """
        asked, brought = 0, False
        for search in searches:
            windows = Windows(since, until, longest=self._longest_window, shortest=self._shortest_window)
            for start, end in windows:
                if asked >= self._max_requests:
                    self._note(f"there is more than {asked} requests bring: ask for less, or for a shorter time")
                    return
                asked += 1
                last = asked >= self._max_requests
                try:
                    found = self._find(search, start, end)
                    self._keep(found.spans)
                    if found.full and not last and windows.part():
                        brought = True
                        continue  # which traces were left out is not known: ask again, the later part first
                    if found.full and not last:
                        self._note("more traces began at the same time than a request brings")
                    elif found.full:
                        self._note(f"there is more than {asked} requests bring: ask for less, or for a shorter time")
                    for spans, complete in found.batches:
                        self._keep(spans)
                        brought = True
                        if enough is not None and enough(max(start, complete)):
                            windows.stop()
                            break
                    brought = True
                    if enough is not None and enough(start):
                        windows.stop()
                except WindowTooLongError:
                    if not windows.part():
                        raise
                    self._longest_window = (end - start) // 2
                except StoreError as error:
                    if not brought:
                        raise
                    self._note(str(error))
                    return

    def _search_once(self, searches: Sequence[S], since: int, until: int) -> None:
        """As `_search`, unless this was done a moment ago: a lineage asks the same of many runs."""
        key, now = repr(searches), self._clock()
        done = self._done.get(key)
        if done is not None and done[0] <= since and until - done[1] <= _MOMENT and now - done[2] <= _MOMENT:
            return
        problems = len(self._problems)
        self._search(searches, since, until)
        if len(self._problems) == problems:
            self._done[key] = (since, until, now)

    def _keep(self, spans: Iterable[RemoteSpan]) -> None:
        for span in spans:
            if (key := (span.trace_id, span.span_id)) not in self._spans:
                self._spans.add(key)
                self._fetched.append(span.line())

    def _forget(self) -> None:
        self._fetched.clear()
        self._spans.clear()
        self._done.clear()

    def _note(self, problem: str) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems[problem] = None
