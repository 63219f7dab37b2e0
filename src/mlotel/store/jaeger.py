"""A store over Jaeger: the traces that answer a question are fetched and read as the embedded store reads its lines."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import sqrt
from types import TracebackType
from typing import Self

from mlotel.errors import StoreError
from mlotel.model import Artifact, Link, Run
from mlotel.semconv import attributes as A
from mlotel.store.jaegerquery import JaegerQuery, JaegerTraces
from mlotel.store.memory import MemoryStore

__all__ = ["JaegerStore"]

_DAY = 24 * 3600 * 10**9
_DEFAULT_SPAN = 30 * _DAY
_CLOCKS_DIFFER = 300 * 10**9
_SHORTEST_WINDOW = 10**6
_ENDED = ("ok", "failed", "cancelled")
_ALGORITHMS = ("blake3", "sha256")
_HEX_DIGEST = re.compile(r"(?:([a-z0-9]+):)?([0-9a-f]+)")
_WHOLE_DIGEST = 64


class JaegerStore:
    """The Store protocol over Jaeger's gRPC query service, over all services at once.

    Runs that have not ended and the entries of manifests are told in log records, which Jaeger does not hold.

    Args:
        url: of the gRPC query service: ``http://host:16685``, ``https://…`` for TLS.
        since_ns: searches find what began at or after this time, nanoseconds since the epoch; 30 days ago unless said.
        until_ns: searches find what began until this time; now unless said. What a link or an id names is found
            whenever it was.
        page: traces per request.
        max_requests: requests per question.
        timeout_s: seconds after which a request is given up.
        clock: nanoseconds since the epoch.

    Raises:
        ConfigurationError: `url` is no such address.
        StoreError: from every question, if Jaeger cannot be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        page: int = 200,
        max_requests: int = 100,
        timeout_s: float = 10.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._query = JaegerQuery(url, timeout_s=timeout_s)
        self._since, self._until = since_ns, until_ns
        self._page, self._max_requests = page, max_requests
        self._clock = clock
        self._lock = threading.RLock()
        self._fetched = MemoryStore(clock=clock)
        self._spans: set[tuple[str, str]] = set()
        self._problems: dict[str, None] = {}

    def close(self) -> None:
        """End the connection and forget what was fetched; the next question begins anew."""
        with self._lock:
            self._query.close()
            self._fetched.clear()
            self._spans.clear()
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

    def runs(self, *, component: str | None = None, limit: int | None = None) -> Sequence[Run]:
        """Runs that have ended, latest start first, of one component or of all."""
        if limit == 0:
            return ()
        with self._lock:
            since, until = self._search(_run_searches(component), enough=limit)
            found = self._fetched.runs(component=component)
            return tuple(run for run in found if since <= run.start_ns <= until)[:limit]

    def find_runs(self, reference: str) -> Sequence[Run]:
        """Runs whose run id, trace id or span id equals or begins with `reference` (hex, at least 4 characters).

        Whole run and trace ids are searched for; for others the runs of the time range are gone through.
        """
        prefix = reference.strip().lower()
        if not 4 <= len(prefix) <= 32 or set(prefix) - set("0123456789abcdef"):
            return ()
        with self._lock:
            if len(prefix) < 32:
                self._search(_run_searches(None))
            elif not any(run.run_id == prefix and run.end_ns for run in self._fetched.find_runs(prefix)):
                self._keep(self._query.trace(prefix))
                if not self._fetched.find_runs(prefix):
                    self._search([{A.MLOTEL_RUN_ID: prefix}], enough=1)
            return self._fetched.find_runs(prefix)

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        """The run to which a span belongs: the run span itself or one of its I/O spans."""
        if not (re.fullmatch(r"[0-9a-fA-F]{32}", trace_id) and re.fullmatch(r"[0-9a-fA-F]{16}", span_id)):
            return None
        with self._lock:
            known = self._fetched.run_of_span(trace_id, span_id)
            if known is not None and known.end_ns:
                return known
            self._keep(self._query.trace(trace_id.lower()))
            return self._fetched.run_of_span(trace_id, span_id)

    def find_artifacts(
        self,
        *,
        digest: str | None = None,
        name: str | None = None,
        uri: str | None = None,
        direction: str | None = None,
    ) -> Sequence[Artifact]:
        """Artifacts by digest (whole, or a prefix of its hex), exact name or exact URI; latest first.

        For the prefix of a digest alone, all artifacts of the time range are gone through.
        """
        keys = {A.MLOTEL_ARTIFACT_NAME: name, A.MLOTEL_ARTIFACT_URI: uri, A.MLOTEL_IO_DIRECTION: direction}
        given = {key: value for key, value in keys.items() if value is not None}
        digests = _spellings(digest)
        searches = [{**given, A.MLOTEL_ARTIFACT_DIGEST: each} for each in digests] or [given]
        if searches == [{}]:
            searches = [{A.MLOTEL_IO_DIRECTION: each} for each in ("output", "input")]
        with self._lock:
            since, until = self._search(searches)
            found = self._fetched.find_artifacts(digest=digest, name=name, uri=uri, direction=direction)
            return tuple(each for each in found if since <= each.time_ns <= until)

    def writer_of(self, digest: str, *, exclude_run: str | None = None, before_ns: int | None = None) -> Link | None:
        """The latest span that wrote content of this digest, other than empty content; None if there is none."""
        with self._lock:
            self.find_artifacts(digest=digest, direction="output")
            return self._fetched.writer_of(digest, exclude_run=exclude_run, before_ns=before_ns)

    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """The artifacts that were read with a link to this span as their producer's, latest first.

        Jaeger cannot search by link: those are found that have the digest that was written, or else its name.
        """
        with self._lock:
            run = self.run_of_span(trace_id, span_id)
            for written in run.outputs if run else ():
                if written.span_id == span_id.lower():
                    key = {"digest": written.digest} if written.digest else {"name": written.name}
                    self.find_artifacts(direction="input", **key)
            return self._fetched.readers_of(trace_id, span_id)

    def manifest_entries(self, span_id: str) -> Sequence[Artifact]:
        """Nothing, and the answer is partial: what a manifest lists stands in log records."""
        self._note("what a manifest lists is told in log records, which Jaeger does not hold")
        return ()

    def _search(self, searches: Iterable[Mapping[str, str]], enough: int | None = None) -> tuple[int, int]:
        """Fetch the traces in which a span has all attributes of one of `searches`; return the time range.

        With `enough`, the latest so many spans of each search will do.
        """
        until = self._clock() + _CLOCKS_DIFFER if self._until is None else self._until
        since = max(0, self._clock() - _DEFAULT_SPAN) if self._since is None else self._since
        asked = 0
        for attributes in searches:
            windows = [(since, until)]
            matching: set[str] = set()
            while windows and (enough is None or len(matching) < enough):
                if asked >= self._max_requests:
                    self._note(f"there is more than {asked} requests bring: ask for less, or for a shorter time")
                    return since, until
                start, end = windows.pop()
                try:
                    found = self._query.find(attributes, start, end, self._page)
                except StoreError as error:
                    if not asked:
                        raise
                    self._note(str(error))
                    return since, until
                asked += 1
                self._keep(found)
                if len(found.trace_ids) >= self._page:
                    if end - start > _SHORTEST_WINDOW:
                        # Which traces were left out is not known: ask again, the later part first.
                        middle = _middle(start, end, until)
                        windows += [(start, middle), (middle, end)]
                        continue
                    self._note(f"more than {self._page} traces began within a millisecond")
                for span in found.spans:
                    if start <= span.start_ns <= end and attributes.items() <= span.texts.items():
                        matching.add(span.span_id)
        return since, until

    def _keep(self, found: JaegerTraces) -> None:
        for span in found.spans:
            if (key := (span.trace_id, span.span_id)) not in self._spans:
                self._spans.add(key)
                self._fetched.append(span.line())

    def _note(self, problem: str) -> None:
        self._problems[problem] = None


def _run_searches(component: str | None) -> list[dict[str, str]]:
    """What finds the spans of runs: Jaeger looks for values, so all runs are those that ended in one way or another."""
    if component is not None:
        return [{A.MLOTEL_COMPONENT_NAME: component}]
    return [{A.MLOTEL_RUN_STATE: state} for state in _ENDED]


def _spellings(digest: str | None) -> Sequence[str]:
    """The whole digests that `digest` may stand for; none where it is the beginning of many."""
    if digest is None:
        return ()
    match = _HEX_DIGEST.fullmatch(digest.lower())
    if match is None:  # another system's
        return (digest,)
    if len(match[2]) < _WHOLE_DIGEST:
        return ()
    return [f"{algorithm}:{match[2]}" for algorithm in ((match[1],) if match[1] else _ALGORITHMS)]


def _middle(start: int, end: int, until: int) -> int:
    """Where to part a time range: much runs lately, so parts are the shorter, the nearer they are to `until`."""
    farthest, nearest = until - start, max(until - end, _SHORTEST_WINDOW)
    middle = until - round(sqrt(farthest) * sqrt(nearest))
    return middle if start < middle < end else (start + end) // 2
