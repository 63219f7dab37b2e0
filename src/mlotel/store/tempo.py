"""A store over Tempo: the traces that answer a question are fetched and read as the embedded store reads its lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from mlotel.errors import QueryError, StoreError
from mlotel.model import Run
from mlotel.semconv import attributes as A
from mlotel.store import traceql
from mlotel.store.conditions import Condition
from mlotel.store.fetching import Found, RemoteSpan, UnreadableError
from mlotel.store.remote import RemoteStore
from mlotel.store.tempoquery import SPANS_PER_TRACE, TempoMatch, TempoQuery, TempoTrace
from mlotel.store.windows import Windows

__all__ = ["TempoStore"]

_SECOND = 10**9
# Tempo searches 168 hours at most, unless configured otherwise (query_frontend.search.max_duration).
_LONGEST_WINDOW = 167 * 3600 * _SECOND
_AT_ONCE = 8
# Tempo's times are whole seconds: of what began in the same one, so many times a page is asked for.
_PAGES_A_SECOND = 50


@dataclass(frozen=True, slots=True)
class _Search:
    """A query, and of the traces that it selects those to fetch.

    `wanted` is asked with trace id, span id and texts of selected spans; one for which it holds will do. `exact` is the
    query whose very spans matter, all of them and whenever they began.
    """

    query: str
    wanted: Callable[[str, str, Mapping[str, str]], bool] | None = None
    exact: bool = False


class TempoStore(RemoteStore[_Search]):
    """The Store protocol over Tempo's HTTP API.

    What log records tell, Tempo does not hold: runs that have not ended, the entries of manifests, flags, notes and
    labels.

    Args:
        url: of the HTTP API: ``http://host:3200``, ``https://…`` for TLS, perhaps with a path.
        headers: sent with each request: credentials, ``X-Scope-OrgID`` for a tenant.
        since_ns: searches find what began at or after this time, nanoseconds since the epoch; 30 days before
            `until_ns` unless said.
        until_ns: searches find what began until this time; now unless said. What a link or an id names is found
            whenever it was.
        page: traces per search.
        max_requests: searches per question.
        max_traces: traces that are fetched per question.
        timeout_s: seconds after which a request is given up.
        max_bytes: bytes of one answer that are taken.
        clock: nanoseconds since the epoch.

    Raises:
        ConfigurationError: `url` is no such address.
        StoreError: from every question, if Tempo cannot be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        page: int = 200,
        max_requests: int = 100,
        max_traces: int = 5000,
        timeout_s: float = 10.0,
        max_bytes: int = 64 * 2**20,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__(
            "Tempo", since_ns=since_ns, until_ns=until_ns, page=page, max_requests=max_requests, clock=clock
        )
        self._query = TempoQuery(url, headers=headers or {}, timeout_s=timeout_s, max_bytes=max_bytes)
        self._max_traces = self._traces_left = max_traces
        self._longest_window, self._shortest_window = _LONGEST_WINDOW, _SECOND
        self._workers: ThreadPoolExecutor | None = None
        self._ahead: dict[tuple[str, int, int], Future[Sequence[TempoMatch]]] = {}

    def search(
        self, query: str, *, since_ns: int | None = None, until_ns: int | None = None, limit: int | None = None
    ) -> Sequence[Run]:
        """The runs that a TraceQL query selects a span of, latest start first.

        Args:
            query: in TraceQL, as it is: ``{ span.mlotel.metric.auc < 0.6 } && { resource.service.name = "shop" }``.
            since_ns: runs that began at or after this time, nanoseconds since the epoch.
            until_ns: runs that began at or before this time.
            limit: the latest so many.

        Raises:
            QueryError: the query is empty.
            StoreError: Tempo cannot be asked, or does not take the query.
        """
        if not query.strip():
            raise QueryError('an empty query selects nothing: write one such as { span.mlotel.run.state = "failed" }')
        selected: dict[tuple[str, str], None] = {}

        def note(trace_id: str, span_id: str, texts: Mapping[str, str]) -> bool:
            selected[trace_id, span_id] = None
            return True

        since, until = self._range(since_ns, until_ns)
        with self._asking():
            self._search([_Search(query, note, exact=True)], since, until)
            found: dict[str, Run] = {}
            for trace_id, span_id in selected:
                run = self._fetched.run_of_span(trace_id, span_id)
                if run is not None and since <= run.start_ns <= until:
                    found[run.run_id] = run
            return tuple(sorted(found.values(), key=lambda run: run.start_ns, reverse=True)[:limit])

    def translates(self, condition: Condition) -> bool:
        """Whether this store selects runs by the condition itself; for others, runs are read and looked at."""
        return traceql.selects(condition)

    def _disconnect(self) -> None:
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)
            self._workers = None
        self._query.close()

    def _search(
        self, searches: Iterable[_Search], since: int, until: int, enough: Callable[[int], bool] | None = None
    ) -> None:
        self._traces_left = self._max_traces
        wanted = list(searches)
        windows = list(Windows(since, until, longest=self._longest_window, shortest=self._shortest_window))
        if enough is None and 1 < len(wanted) * len(windows) <= self._max_requests:
            # All of them will be asked for: not one after another, then.
            for search in wanted:
                for start, end in windows:
                    self._ahead[search.query, start, end] = self._pool().submit(self._ask, search.query, start, end)
        try:
            super()._search(wanted, since, until, enough)
        finally:
            for future in self._ahead.values():
                future.cancel()
            self._ahead.clear()

    def _find(self, search: _Search, start_ns: int, end_ns: int) -> Found:
        future = self._ahead.pop((search.query, start_ns, end_ns), None)
        matches = self._ask(search.query, start_ns, end_ns) if future is None else future.result()
        return Found(
            len(matches) >= self._limit(start_ns, end_ns), (), self._batches(search, matches, start_ns, end_ns)
        )

    def _ask(self, query: str, start_ns: int, end_ns: int) -> Sequence[TempoMatch]:
        start_s, end_s = start_ns // _SECOND, -(-end_ns // _SECOND)
        return self._query.search(query, max(start_s, 1), max(end_s, start_s + 1, 2), self._limit(start_ns, end_ns))

    def _limit(self, start_ns: int, end_ns: int) -> int:
        return self._page if end_ns - start_ns > self._shortest_window else self._page * _PAGES_A_SECOND

    def _pool(self) -> ThreadPoolExecutor:
        if self._workers is None:
            self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mlotel-tempo")
        return self._workers

    def _batches(
        self, search: _Search, matches: Sequence[TempoMatch], start_ns: int, end_ns: int
    ) -> Iterator[tuple[Sequence[RemoteSpan], int]]:
        """Fetch the traces that are not known yet, the latest first, several at a time."""
        latest: list[tuple[int, TempoMatch]] = []
        for match in matches:
            # A search finds traces that overlap its time range, whenever their spans began.
            starts = [start for _, start, _ in match.spans if start_ns <= start <= end_ns or search.exact]
            if search.exact and not match.whole:
                self._note(
                    f"of trace {match.trace_id} more than {SPANS_PER_TRACE} spans are selected: not all are told"
                )
            if match.whole and not starts:
                continue
            wanted = [search.wanted is None or search.wanted(match.trace_id, *_named(span)) for span in match.spans]
            if any(wanted) or not match.whole:
                latest.append((max(starts, default=end_ns) if match.whole else end_ns, match))
        latest.sort(key=lambda each: each[0], reverse=True)
        for first in range(0, len(latest), _AT_ONCE):
            batch = latest[first : first + _AT_ONCE]
            complete = latest[first + _AT_ONCE][0] + 1 if first + _AT_ONCE < len(latest) else start_ns
            fetched: list[RemoteSpan] = []
            for trace in self._traces([match.trace_id for _, match in batch if not self._knows(match)]):
                fetched += trace.spans
            yield fetched, complete

    def _knows(self, match: TempoMatch) -> bool:
        return match.whole and all((match.trace_id, span_id) in self._spans for span_id, _, _ in match.spans)

    def _traces(self, trace_ids: Sequence[str]) -> Sequence[TempoTrace]:
        if trace_ids and not self._traces_left:
            raise StoreError(f"there is more than {self._max_traces} traces: ask for less, or for a shorter time")
        now, later = trace_ids[: self._traces_left], trace_ids[self._traces_left :]
        self._traces_left -= len(now)
        traces, errors = [], []
        for future in [self._pool().submit(self._query.trace, trace_id) for trace_id in now]:
            try:
                traces.append(future.result())
            except UnreadableError as error:
                errors.append(error)
        if errors and not traces:
            raise errors[0]
        lacks = [f"there is more than {self._max_traces} traces: ask for less, or for a shorter time"] if later else []
        for problem in (*map(str, errors), *(trace.lacks for trace in traces if trace.lacks), *lacks):
            self._note(problem)
        return traces

    def _trace(self, trace_id: str) -> Sequence[RemoteSpan]:
        trace = self._query.trace(trace_id)
        if trace.lacks:
            self._note(trace.lacks)
        return trace.spans

    def _runs_like(self, component: str | None, where: Sequence[Condition]) -> Sequence[_Search]:
        return [_Search(traceql.runs(component, where))]

    def _runs_named(self, prefix: str) -> Sequence[_Search]:
        def begins(trace_id: str, span_id: str, texts: Mapping[str, str]) -> bool:
            return any(each.startswith(prefix) for each in (trace_id, span_id, texts.get(A.MLOTEL_RUN_ID, prefix)))

        return [_Search(f"{traceql.runs(None, ())} | select(span.{A.MLOTEL_RUN_ID})", begins)]

    def _spans_with(self, attributes: Mapping[str, str]) -> _Search:
        return _Search(traceql.spans(attributes))

    def _artifacts_of_digest(self, digest: str, attributes: Mapping[str, str]) -> Sequence[_Search]:
        return [_Search(traceql.artifacts(digest, attributes))]

    def _links_to(self, trace_id: str, span_id: str, kind: str) -> Sequence[_Search]:
        # Of all spans of the trace at once: a lineage asks for one after another.
        return [_Search(traceql.links(trace_id))]


def _named(span: tuple[str, int, Mapping[str, str]]) -> tuple[str, Mapping[str, str]]:
    return span[0], span[2]
