"""The queries of a store, over an index and whatever its lines are kept in."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeVar

from mlotel._forks import SteadyLock
from mlotel.errors import StoreError
from mlotel.model import Annotation, Artifact, Link, Prediction, Run, RunHead
from mlotel.store import bulk
from mlotel.store.assembly import Assembly
from mlotel.store.bulk import Span
from mlotel.store.conditions import Condition
from mlotel.store.index import WRITES, Index
from mlotel.store.predictions.keys import hashes
from mlotel.store.rows import (
    ANNOTATIONS,
    Place,
    begins,
    digest_number,
    digest_range,
    ids_of,
    span_number,
    target_number,
)
from mlotel.store.selecting import (
    component_names,
    is_selected,
    latest_names,
    select,
    select_artifacts,
    states_of_components,
)
from mlotel.store.values import artifact_of, prediction_of_span

__all__ = ["IndexedStore", "StoreStatus", "unavailable"]


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store holds, and what in it could not be read.

    `runs` and `artifacts` count those of mlotel. `skipped` counts lines torn in their middle, otherwise no
    OTLP, or too long, `torn` unfinished last lines of writers that are gone.
    """

    runs: int
    artifacts: int
    segments: int
    skipped: int
    torn: int


P = ParamSpec("P")
T = TypeVar("T")


def _question(
    method: Callable[Concatenate[IndexedStore, P], T],
) -> Callable[Concatenate[IndexedStore, P], T]:
    """A method that is asked with the lock held and the index up to date.

    It is asked once more if the index turns out damaged, or if files were taken away under it.
    """

    @functools.wraps(method)
    def ask(self: IndexedStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            if not self._held and not self._steady():
                self._refresh()
            try:
                answer = method(self, *args, **kwargs)
                if not (self._assembly.missed and self._changed()):
                    return answer
            except sqlite3.Error as error:
                self._recover(error)
            try:
                return method(self, *args, **kwargs)
            except sqlite3.Error as error:
                raise unavailable(self, error) from error

    return ask


class IndexedStore(ABC):
    """The Store protocol over an index; where its lines come from is left to `_refresh`.

    Args:
        line: reads the line at a place; OSError where it cannot.
        clock: nanoseconds since the epoch, to tell running runs from lost ones.
        heard_from: when the writer of a segment was last heard from, by that clock; None where nobody knows.
    """

    def __init__(
        self,
        line: Callable[[Place], bytes],
        clock: Callable[[], int],
        heard_from: Callable[[int], int | None] = lambda _: None,
    ) -> None:
        self._lock = SteadyLock()
        self._held = 0
        self._thread = threading.local()
        self._clock = clock
        self._assembly = Assembly(line, clock, heard_from)

    def __del__(self) -> None:
        # An index that is dropped without being closed would warn of it.
        with contextlib.suppress(Exception):
            self.close()

    @abstractmethod
    def close(self) -> None:
        """Close whatever is open; the next question opens it again."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Answer within a ``with`` block by what has been taken up so far: new lines are not looked for.

        Other threads' questions wait until it is left.
        """
        with self._lock:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Answer this thread's questions within a ``with`` block by what had been taken up when it began.

        New lines are looked for once; again where files were taken away meanwhile, or by another thread's question.
        """
        self._question_nothing()
        outer = self._steady()
        self._thread.steady = True
        try:
            yield
        finally:
            self._thread.steady = outer

    @_question
    def _question_nothing(self) -> None:
        """Bring the index up to date, as any question does."""
        return

    def _steady(self) -> bool:
        return getattr(self._thread, "steady", False)

    @abstractmethod
    def _refresh(self) -> object:
        """Bring the index up to date; called with the lock held."""

    @abstractmethod
    def _index(self) -> Index:
        """The index as it is; called with the lock held."""

    @_question
    def runs(
        self,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Runs, latest start first, for which all of `where` holds."""
        index = self._index()
        chosen = select(index, component=component, since_ns=since_ns, until_ns=until_ns, where=where)
        if not where:
            return self._assembly.runs(index, index.run_rows(*chosen, limit))
        found: list[Run] = []
        unselected = [condition for condition in where if not is_selected(condition)]
        for rows in index.run_chunks(*chosen, first=limit):
            runs = self._assembly.runs(index, self._assembly.keep(rows, unselected))
            found += (run for run in runs if all(condition.matches(run) for condition in where))
            if limit is not None and len(found) >= limit:
                break
        return tuple(found[:limit])

    @_question
    def heads(
        self,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int | None = None,
    ) -> Sequence[RunHead]:
        """As `runs`, without reading what they read and wrote: a third of the time."""
        index = self._index()
        chosen = select(index, component=component, since_ns=since_ns, until_ns=until_ns)
        return tuple(self._assembly.heads_with_counts(index, index.run_rows(*chosen, limit)))

    def translates(self, condition: Condition) -> bool:
        """Whether this store selects runs by the condition itself; for others, runs are read and looked at."""
        return is_selected(condition)

    @_question
    def count_runs(
        self, *, component: str | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> int:
        """How many runs there are, of one component or all, that began within a time."""
        index = self._index()
        return index.count_runs(*select(index, component=component, since_ns=since_ns, until_ns=until_ns))

    @_question
    def runs_from(
        self,
        first: int,
        count: int,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Sequence[Run]:
        """Up to `count` runs from number `first` on, counted from 0, the earliest start first."""
        index = self._index()
        chosen = select(index, component=component, since_ns=since_ns, until_ns=until_ns)
        return self._assembly.runs(index, index.run_rows(*chosen, count, first=first, order="start, id"))

    @_question
    def component_states(
        self, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Mapping[str, Mapping[str, int]]:
        """How many runs each component has in each state."""
        index = self._index()
        counts: dict[str, Counter[str]] = {}
        for name, state, count in states_of_components(index, select(index, since_ns=since_ns, until_ns=until_ns)):
            counts.setdefault(name, Counter())[state] = count
        chosen = select(index, since_ns=since_ns, until_ns=until_ns, where=(Condition("state", "=", "running"),))
        for rows in index.run_chunks(*chosen):  # whether they still run must be looked up one by one
            for run in self._assembly.heads(rows):
                counts.setdefault(run.component, Counter())[run.state] += 1
        return {name: {state: n for state, n in each.items() if state != "open"} for name, each in counts.items()}

    @_question
    def component_names(self) -> Sequence[str]:
        """The names of all components that have runs, in order."""
        return sorted(component_names(self._index()))

    @_question
    def artifact_names(self, limit: int) -> Sequence[str]:
        """Names of what was read and written lately: of the latest `limit` reads and writes."""
        return latest_names(self._index(), limit)

    def known_components(self) -> Sequence[str]:
        """The same, of what has been taken up so far: new lines are not looked for."""
        with self._lock:
            return sorted(component_names(self._index()))

    @_question
    def find_runs(self, reference: str) -> Sequence[Run]:
        """Runs whose run id, trace id or span id equals or begins with `reference` (hex, at least 4 characters)."""
        prefix = reference.strip().lower()
        if not 4 <= len(prefix) <= 32 or set(prefix) - set("0123456789abcdef"):
            return ()
        low, high = digest_range(prefix)
        index = self._index()
        found = {
            row.id: row
            for column in ("run_hi", "trace_hi", "span")
            for row in index.run_rows(f"{column} BETWEEN ? AND ?", (low, high))
            if any(identity.startswith(prefix) for identity in ids_of(row))
        }
        rows = sorted(found.values(), key=lambda row: (row.start or 0, row.id), reverse=True)
        return self._assembly.runs(index, rows)

    @_question
    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        """The run to which a span belongs: the run span itself or one of its I/O spans."""
        span = (trace_id, span_id)
        return bulk.runs_of_spans(self._index(), self._assembly, [span]).get(span)

    @_question
    def find_artifacts(
        self,
        *,
        digest: str | None = None,
        name: str | None = None,
        uri: str | None = None,
        direction: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Artifact]:
        """Artifacts by digest (whole, or a prefix of its hex), exact name or exact URI; latest first."""
        index = self._index()
        chosen = select_artifacts(index, digest=digest, name=name, uri=uri, direction=direction)
        found = (
            artifact
            for artifact in self._assembly.artifacts(index.io_rows(*chosen))
            if (digest is None or begins(artifact.digest, digest)) and (uri is None or artifact.uri == uri)
        )
        return tuple(islice(found, limit))

    @_question
    def writer_of(self, digest: str, *, exclude_run: str | None = None, before_ns: int | None = None) -> Link | None:
        """The latest span that wrote content of this digest, other than empty content; None if there is none.

        Args:
            digest: the whole digest, ``algorithm:hex``.
            exclude_run: a run id whose own writes do not count.
            before_ns: only writes that began before this time, nanoseconds since the epoch.
        """
        return self._writer_of(digest, exclude_run, before_ns)

    def known_writer_of(self, digest: str) -> Link | None:
        """As `writer_of`, of what has been taken up so far: new lines are not looked for."""
        with self._lock:
            return self._writer_of(digest)

    def _writer_of(self, digest: str, exclude_run: str | None = None, before_ns: int | None = None) -> Link | None:
        where = f"digest = ? AND {WRITES}"
        parameters: list[Any] = [digest_number(digest)]
        if before_ns is not None:
            where += " AND time < ?"
            parameters.append(before_ns)
        for row in self._index().io_rows(where, parameters):
            span = self._assembly.span(Place(row.segment, row.offset, row.length), row.span)
            if span is None:
                continue
            artifact = artifact_of(span)
            if artifact.digest == digest and artifact.run_id != exclude_run:
                return Link(span.trace_id.lower(), artifact.span_id, "consumes", "digest")
        return None

    @_question
    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """The artifacts that were read with a link to this span as their producer's, latest first."""
        return tuple(bulk.reads_of(self._index(), self._assembly, [(trace_id, span_id)]))

    @_question
    def dependents_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were said to depend on the run of this span, latest first."""
        return tuple(bulk.dependents_of(self._index(), self._assembly, [(trace_id, span_id)]))

    @_question
    def children_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were started within the run of this span, latest first."""
        try:
            number = span_number(span_id.lower())
        except ValueError:
            return ()
        index = self._index()
        found = self._assembly.runs(index, index.run_rows("parent = ?", (number,)))
        return tuple(run for run in found if run.trace_id == trace_id.lower())

    @_question
    def runs_with_ids(self, run_ids: Iterable[str]) -> Mapping[str, Run]:
        """The runs of whole run ids, by id; those that are not there are left out."""
        return bulk.runs_with_ids(self._index(), self._assembly, run_ids)

    @_question
    def runs_of_spans(self, spans: Iterable[Span]) -> Mapping[Span, Run]:
        """As `run_of_span` of each of many spans; those that belong to no run are left out."""
        return bulk.runs_of_spans(self._index(), self._assembly, spans)

    @_question
    def writes_of(self, digests: Iterable[str]) -> Sequence[Artifact]:
        """The writes of whole digests, of each digest the latest first."""
        return tuple(bulk.writes_of(self._index(), self._assembly, digests))

    @_question
    def latest_of_each_digest(self, beginning: str) -> Sequence[Artifact]:
        """For each digest that begins so (as for `find_artifacts`), its latest write, or else its latest read."""
        return tuple(bulk.latest_of_each_digest(self._index(), self._assembly, beginning))

    @_question
    def digests_written_often(self, digests: Iterable[str], *, more_than: int) -> Collection[str]:
        """Those of whole digests of which there are more writes than that."""
        return bulk.digests_written_often(self._index(), digests, more_than)

    @_question
    def latest_write(self, digest: str, *, until_ns: int | None) -> Artifact | None:
        """The latest write of a whole digest that began no later than `until_ns` (nanoseconds since the epoch)."""
        return bulk.latest_write(self._index(), self._assembly, digest, until_ns)

    @_question
    def is_written_by_others(self, digest: str, run_id: str) -> bool:
        """Whether any run but this one wrote a whole digest."""
        return bulk.is_written_by_others(self._index(), self._assembly, digest, run_id)

    @_question
    def reads_of(self, spans: Iterable[Span], digests: Iterable[str]) -> Sequence[Artifact]:
        """The artifacts that were read with a link to one of these spans, or are of one of these whole digests."""
        return tuple(bulk.reads_of(self._index(), self._assembly, spans, digests))

    @_question
    def reads_of_runs(self, run_ids: Iterable[str]) -> Sequence[Artifact]:
        """The artifacts that were read with a link to a run itself: to its span, or to that of one of its reads."""
        return tuple(bulk.reads_of_runs(self._index(), self._assembly, run_ids))

    @_question
    def dependents_of_spans(self, spans: Iterable[Span]) -> Sequence[Run]:
        """As `dependents_of` of each of many spans."""
        return tuple(bulk.dependents_of(self._index(), self._assembly, spans))

    @_question
    def annotations(self, *, kind: str | None = None, target: str | None = None) -> Sequence[Annotation]:
        """What was said of runs, artifacts and predictions, of one kind or all, of one target or all; latest first."""
        return self._annotations(kind, target)

    def known_annotations(self, kind: str) -> Sequence[Annotation]:
        """Those of one kind, of what has been taken up so far: new lines are not looked for."""
        with self._lock:
            return self._annotations(kind)

    def _annotations(self, kind: str | None, target: str | None = None) -> Sequence[Annotation]:
        if kind is not None and kind not in ANNOTATIONS:
            return ()
        where, parameters = ["TRUE"], list[Any]()
        if kind is not None:
            where.append("kind = ?")
            parameters.append(ANNOTATIONS.index(kind))
        if target is not None:
            where.append("target = ?")
            parameters.append(target_number(target))
        found = self._assembly.annotations(self._index().annotation_rows(" AND ".join(where), parameters))
        return tuple(each for each in found if target is None or each.target == target)

    @property
    def record_secret(self) -> bytes | None:
        """The secret that this store made for itself to hash the keys of records with; None if it has none."""
        return None

    @_question
    def predictions(
        self, key: str, *, secret: bytes | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> Sequence[Prediction]:
        """The predictions that were logged with this key, latest first; here, those that spans tell of."""
        index, found = self._index(), list[Prediction]()
        for number in map(span_number, hashes(key, secret, self.record_secret)):
            rows = index.rows("SELECT span, segment, offset, length FROM keyed WHERE hash = ?", (number,))
            spans = (self._assembly.span(Place(*place), span) for span, *place in rows)
            found += (each for span in spans if span is not None and (each := prediction_of_span(span)) is not None)
        within = [
            each
            for each in found
            if (since_ns is None or each.time_ns >= since_ns) and (until_ns is None or each.time_ns <= until_ns)
        ]
        return tuple(sorted(within, key=lambda each: each.time_ns, reverse=True))

    @_question
    def manifest_entries(self, span_id: str) -> Sequence[Artifact]:
        """What the manifest of this I/O span lists, in its order."""
        try:
            number = span_number(span_id.lower())
        except ValueError:
            return ()
        return tuple(self._assembly.artifacts(self._index().io_rows("span = ? AND entry > 0", (number,), "entry")))

    @_question
    def status(self) -> StoreStatus:
        """How much there is, and how many lines could not be read."""
        index = self._index()
        runs = index.rows("SELECT count(*) FROM run WHERE component IS NOT NULL")[0][0]
        artifacts = index.rows("SELECT count(*) FROM io")[0][0]
        segments, skipped = index.rows("SELECT count(*), coalesce(sum(skipped), 0) FROM segment")[0]
        return StoreStatus(runs, artifacts, segments, skipped, self._torn())

    @_question
    def unread(self) -> int:
        """How many lines could not be read: `skipped` and `torn` of `status`, without counting all that there is."""
        skipped: int = self._index().rows("SELECT coalesce(sum(skipped), 0) FROM segment")[0][0]
        return skipped + self._torn()

    def _torn(self) -> int:
        return 0

    def _changed(self) -> bool:
        """Whether the index changes by being brought up to date."""
        self._assembly.missed = False
        before = self._assembly.cleared
        if not self._held:
            self._refresh()
        return self._assembly.cleared != before

    def _recover(self, error: sqlite3.Error) -> None:
        """Make the index answer again after `error`, or raise it."""
        raise error


def unavailable(store: object, error: Exception) -> StoreError:
    """The error to raise where the index of a store (or of the store at a path) cannot be used."""
    return StoreError(f"the index of {store} cannot be used: {error}. It holds nothing of its own: remove it")
