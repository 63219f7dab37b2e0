"""What stores over a network do alike: search time ranges within bounds, and keep what was fetched in memory.

A backend is asked for traces; their spans are read as the embedded store reads its lines, and the question is then
answered from those.
"""

from __future__ import annotations

import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from mlotel.errors import StoreError
from mlotel.model import Annotation, Artifact, Link, Prediction, Run
from mlotel.semconv import attributes as A
from mlotel.store.conditions import Condition
from mlotel.store.memory import MemoryStore
from mlotel.store.windows import Windows

__all__ = ["Found", "RemoteSpan", "RemoteStore", "UnreadableError", "WindowTooLongError"]

_DAY = 24 * 3600 * 10**9
_DEFAULT_RANGE = 30 * _DAY
_CLOCKS_DIFFER = 300 * 10**9
_MOST_KEPT = 200_000
_TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
_OPEN_STATES = ("running", "lost")

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


class RemoteStore(ABC, Generic[S]):
    """The Store protocol over a backend of traces; `S` is what the backend is searched for.

    Runs that have not ended, the entries of manifests, flags, notes and labels are told in log records, which such a
    backend does not hold.

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

    @abstractmethod
    def _runs_like(self, component: str | None, where: Sequence[Condition]) -> Sequence[S]:
        """Searches that together find all runs of a component, or all runs, of which `where` may hold."""

    @abstractmethod
    def _runs_named(self, prefix: str) -> Sequence[S]:
        """Searches that together find all runs whose run id, trace id or span id begins so."""

    @abstractmethod
    def _spans_with(self, attributes: Mapping[str, str]) -> S:
        """A search for spans that have all these attributes."""

    @abstractmethod
    def _artifacts_of_digest(self, digest: str, attributes: Mapping[str, str]) -> Sequence[S]:
        """Searches that together find I/O spans of a digest, or of the beginning of one, with these attributes."""

    @abstractmethod
    def _links_to(self, trace_id: str, span_id: str, kind: str) -> Sequence[S]:
        """Searches that together find the spans with a link of this kind to a span."""

    @abstractmethod
    def translates(self, condition: Condition) -> bool:
        """Whether this store selects runs by the condition itself; for others, runs are read and looked at."""

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

    def search_between(self, since_ns: int | None, until_ns: int | None) -> None:
        """Search this time range from now on, nanoseconds since the epoch; None as if it had never been said."""
        with self._lock:
            self._since, self._until = since_ns, until_ns

    def runs(
        self,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Runs that have ended, latest start first, for which all of `where` holds."""
        if limit == 0:
            return ()
        for condition in where:
            if condition.key == "state" and condition.op == "=" and condition.value in _OPEN_STATES:
                self._note(f"runs that have not ended are told in log records, which {self._name} does not hold")
        since, until = _narrowed(*self._range(since_ns, until_ns), where)

        def latest(since: int) -> Sequence[Run]:
            return self._fetched.runs(component=component, since_ns=since, until_ns=until, where=where, limit=limit)

        with self._asking():
            enough = None if limit is None else lambda complete: len(latest(complete)) >= limit
            self._search(self._runs_like(component, where), since, until, enough)
            return latest(since)

    def find_runs(self, reference: str) -> Sequence[Run]:
        """Runs whose run id, trace id or span id equals or begins with `reference` (hex, at least 4 characters).

        Whole run and trace ids are searched for; for others the runs of the time range are gone through.
        """
        prefix = reference.strip().lower()
        if not 4 <= len(prefix) <= 32 or set(prefix) - set("0123456789abcdef"):
            return ()
        with self._asking():
            if len(prefix) < 32:
                self._search(self._runs_named(prefix), *self._range())
            elif not any(run.run_id == prefix and run.end_ns for run in self._fetched.find_runs(prefix)):
                self._keep(self._trace(prefix))
                if not self._fetched.find_runs(prefix):
                    search = self._spans_with({A.MLOTEL_RUN_ID: prefix})
                    self._search([search], *self._range(), lambda _: bool(self._fetched.find_runs(prefix)))
            return self._fetched.find_runs(prefix)

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        """The run to which a span belongs: the run span itself or one of its I/O spans."""
        trace_id, span_id = trace_id.lower(), span_id.lower()
        if not (_TRACE_ID.fullmatch(trace_id) and _SPAN_ID.fullmatch(span_id)):
            return None
        with self._asking():
            known = self._fetched.run_of_span(trace_id, span_id)
            if known is not None and known.end_ns:
                return known
            self._keep(self._trace(trace_id))
            return self._fetched.run_of_span(trace_id, span_id)

    def find_artifacts(
        self,
        *,
        digest: str | None = None,
        name: str | None = None,
        uri: str | None = None,
        direction: str | None = None,
    ) -> Sequence[Artifact]:
        """Artifacts by digest (whole, or a prefix of its hex), exact name or exact URI; latest first."""
        keys = {A.MLOTEL_ARTIFACT_NAME: name, A.MLOTEL_ARTIFACT_URI: uri, A.MLOTEL_IO_DIRECTION: direction}
        given = {key: value for key, value in keys.items() if value is not None}
        if digest is not None:
            searches = self._artifacts_of_digest(digest, given)
        elif given:
            searches = [self._spans_with(given)]
        else:
            searches = [self._spans_with({A.MLOTEL_IO_DIRECTION: each}) for each in ("output", "input")]
        since, until = self._range()
        with self._asking():
            self._search(searches, since, until)
            found = self._fetched.find_artifacts(digest=digest, name=name, uri=uri, direction=direction)
            return tuple(each for each in found if since <= each.time_ns <= until)

    def writer_of(self, digest: str, *, exclude_run: str | None = None, before_ns: int | None = None) -> Link | None:
        """The latest span that wrote content of this digest, other than empty content; None if there is none."""
        with self._asking():
            self.find_artifacts(digest=digest, direction="output")
            return self._fetched.writer_of(digest, exclude_run=exclude_run, before_ns=before_ns)

    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """The artifacts that were read with a link to this span as their producer's, latest first."""
        with self._asking():
            self._search(self._links_to(trace_id.lower(), span_id.lower(), "consumes"), *self._range())
            return self._fetched.readers_of(trace_id, span_id)

    def dependents_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were said to depend on the run of this span, latest first."""
        with self._asking():
            self._search(self._links_to(trace_id.lower(), span_id.lower(), "depends_on"), *self._range())
            return self._fetched.dependents_of(trace_id, span_id)

    def children_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were started within the run of this span, latest first: they are of the same trace."""
        trace_id = trace_id.lower()
        if not _TRACE_ID.fullmatch(trace_id):
            return ()
        with self._asking():
            self._keep(self._trace(trace_id))
            return self._fetched.children_of(trace_id, span_id)

    def annotations(self, *, kind: str | None = None, target: str | None = None) -> Sequence[Annotation]:
        """Nothing, and the answer is partial: what was said of runs and artifacts stands in log records."""
        self._note(f"flags, notes and labels are told in log records, which {self._name} does not hold")
        return ()

    def predictions(self, key: str, *, secret: bytes | None = None) -> Sequence[Prediction]:
        """The predictions that were logged with this key, latest first."""
        return ()

    def manifest_entries(self, span_id: str) -> Sequence[Artifact]:
        """Nothing, and the answer is partial: what a manifest lists stands in log records."""
        self._note(f"what a manifest lists is told in log records, which {self._name} does not hold")
        return ()

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
                try:
                    found = self._find(search, start, end)
                    self._keep(found.spans)
                    if found.full and windows.part():
                        brought = True
                        continue  # which traces were left out is not known: ask again, the later part first
                    if found.full:
                        self._note("more traces began at the same time than a request brings")
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

    def _keep(self, spans: Iterable[RemoteSpan]) -> None:
        for span in spans:
            if (key := (span.trace_id, span.span_id)) not in self._spans:
                self._spans.add(key)
                self._fetched.append(span.line())

    def _forget(self) -> None:
        self._fetched.clear()
        self._spans.clear()

    def _note(self, problem: str) -> None:
        self._problems[problem] = None


def _narrowed(since: int, until: int, where: Iterable[Condition]) -> tuple[int, int]:
    """The part of a time range in which runs can lie that meet conditions on their start."""
    for condition in where:
        if condition.key == "time" and isinstance(condition.value, int) and condition.op != "exists":
            if condition.op in (">", ">="):
                since = max(since, condition.value)
            else:
                until = min(until, condition.value)
    return since, until
