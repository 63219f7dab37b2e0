"""The queries of a store, over an index and whatever its lines are kept in."""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlotel.errors import StoreError
from mlotel.model import Artifact, Link, Run
from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel.store.anyvalue import decode_attributes
from mlotel.store.index import (
    EMPTY,
    OUTPUT,
    STATES,
    Index,
    IoRow,
    Place,
    RunRow,
    digest_number,
    digest_range,
    uri_number,
)
from mlotel.store.liveness import state_of_open_run
from mlotel.store.parsing import BAD_SHAPE, Item, LineParser, span_number
from mlotel.store.values import artifact_of, entry_of, run_of

__all__ = ["IndexedStore", "StoreStatus"]

_CHUNK = 500
_LINES_KEPT = 64
_UNSIGNED = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store holds, and what in it could not be read.

    `runs` and `artifacts` count those of mlotel. `skipped` counts lines torn in their middle or otherwise no OTLP,
    `torn` unfinished last lines of writers that are gone.
    """

    runs: int
    artifacts: int
    segments: int
    skipped: int
    torn: int


class IndexedStore(ABC):
    """The Store protocol over an index; where lines come from is left to `_refresh` and `_line`."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._parser = LineParser()
        self._parsed: dict[Place, Sequence[Item]] = {}

    def __del__(self) -> None:
        # An index that is dropped without being closed would warn of it.
        with contextlib.suppress(Exception):
            self.close()

    @abstractmethod
    def close(self) -> None:
        """Close whatever is open; the next question opens it again."""

    @abstractmethod
    def _refresh(self) -> Index:
        """Bring the index up to date and return it; called with the lock held."""

    @abstractmethod
    def _line(self, place: Place) -> bytes:
        """The line at `place`; OSError where it cannot be read any more."""

    def runs(self, *, component: str | None = None, limit: int | None = None) -> Sequence[Run]:
        """Runs, latest start first, of one component or of all."""
        with self._lock:
            index = self._refresh()
            if component is None:
                return self._runs(index.run_rows("TRUE", (), limit))
            name = index.name_id(component)
            return () if name is None else self._runs(index.run_rows("component = ?", (name,), limit))

    def find_runs(self, reference: str) -> Sequence[Run]:
        """Runs whose run id, trace id or span id equals or begins with `reference` (hex, at least 4 characters)."""
        prefix = reference.strip().lower()
        if not 4 <= len(prefix) <= 32 or set(prefix) - set("0123456789abcdef"):
            return ()
        low, high = digest_range(prefix)
        with self._lock:
            index = self._refresh()
            found = {
                row.id: row
                for column in ("run_hi", "trace_hi", "span")
                for row in index.run_rows(f"{column} BETWEEN ? AND ?", (low, high))
                if any(identity.startswith(prefix) for identity in _ids(row))
            }
            rows = sorted(found.values(), key=lambda row: (row.start or 0, row.id), reverse=True)
            return self._runs(rows)

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        """The run to which a span belongs: the run span itself or one of its I/O spans."""
        try:
            number = span_number(span_id.lower())
        except ValueError:
            return None
        trace_id = trace_id.lower()
        with self._lock:
            index = self._refresh()
            rows = index.run_rows("(span = ? OR id IN (SELECT run FROM io WHERE span = ?))", (number, number))
            for run in self._runs([row for row in rows if _ids(row)[1] == trace_id]):
                return run
        return None

    def find_artifacts(
        self,
        *,
        digest: str | None = None,
        name: str | None = None,
        uri: str | None = None,
        direction: str | None = None,
    ) -> Sequence[Artifact]:
        """Artifacts by digest (whole, or a prefix of its hex), exact name or exact URI; latest first."""
        with self._lock:
            index = self._refresh()
            where, parameters = ["TRUE"], list[Any]()
            if digest is not None:
                where.append("digest BETWEEN ? AND ?")
                parameters += digest_range(digest)
            # A unary plus keeps SQLite from taking the index of a condition that selects less than another one does.
            if uri is not None:
                where.append("uri = ?" if digest is None else "+uri = ?")
                parameters.append(uri_number(uri))
            if name is not None:
                number = index.name_id(name)
                if number is None:
                    return ()
                where.append("name = ?" if digest is None and uri is None else "+name = ?")
                parameters.append(number)
            if direction is not None:
                where.append("(flags & ?) = ?")
                parameters += (OUTPUT, OUTPUT if direction == "output" else 0)
            found = self._artifacts(index.io_rows(" AND ".join(where), parameters))
            return tuple(
                artifact
                for artifact in found
                if (digest is None or _matches(artifact.digest, digest)) and (uri is None or artifact.uri == uri)
            )

    def writer_of(
        self, digest: str, *, exclude_run: str | None = None, before_ns: int | None = None, refresh: bool = True
    ) -> Link | None:
        """The latest span that wrote content of this digest, other than empty content; None if there is none.

        Args:
            digest: the whole digest, ``algorithm:hex``.
            exclude_run: a run id whose own writes do not count.
            before_ns: only writes that began before this time, nanoseconds since the epoch.
            refresh: look for new lines first.
        """
        where = "digest = ? AND entry = 0 AND (flags & ?) = ?"
        parameters: list[Any] = [digest_number(digest), OUTPUT | EMPTY, OUTPUT]
        if before_ns is not None:
            where += " AND time < ?"
            parameters.append(before_ns)
        with self._lock:
            index = self._refresh() if refresh else self._index()
            for row in index.io_rows(where, parameters):
                item = self._item(Place(row.segment, row.offset, row.length), span=row.span)
                if item is None:
                    continue
                artifact = artifact_of(item)
                if artifact.digest == digest and artifact.run_id != exclude_run:
                    return Link(item.content["traceId"].lower(), artifact.span_id, "consumes", "digest")
        return None

    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """The artifacts that were read with a link to this span as their producer's, latest first."""
        try:
            number = span_number(span_id.lower())
        except ValueError:
            return ()
        trace_id, span_id = trace_id.lower(), span_id.lower()
        with self._lock:
            found = self._artifacts(self._refresh().io_rows("link = ?", (number,)))
            return tuple(
                artifact
                for artifact in found
                if artifact.link is not None and (artifact.link.trace_id, artifact.link.span_id) == (trace_id, span_id)
            )

    def status(self) -> StoreStatus:
        """How much there is, and how many lines could not be read."""
        with self._lock:
            index = self._refresh()
            runs = index.rows("SELECT count(*) FROM run WHERE component IS NOT NULL")[0][0]
            artifacts = index.rows("SELECT count(*) FROM io")[0][0]
            segments, skipped = index.rows("SELECT count(*), coalesce(sum(skipped), 0) FROM segment")[0]
            return StoreStatus(runs, artifacts, segments, skipped, self._torn())

    @abstractmethod
    def _index(self) -> Index:
        """The index as it is; called with the lock held."""

    def _torn(self) -> int:
        return 0

    def _runs(self, rows: Sequence[RunRow]) -> tuple[Run, ...]:
        runs: list[Run] = []
        for first in range(0, len(rows), _CHUNK):
            chunk = rows[first : first + _CHUNK]
            sides: dict[tuple[int, bool], list[Artifact]] = {}
            where = f"run IN ({','.join('?' * len(chunk))}) AND entry = 0"
            for row in self._index().io_rows(where, [row.id for row in chunk], "time, id"):
                artifact = self._artifact(row)
                if artifact is not None:
                    sides.setdefault((row.run, artifact.direction == "output"), []).append(artifact)
            for run_row in chunk:
                run = self._run(run_row, sides.get((run_row.id, False), ()), sides.get((run_row.id, True), ()))
                if run is not None:
                    runs.append(run)
        return tuple(runs)

    def _run(self, row: RunRow, inputs: Iterable[Artifact], outputs: Iterable[Artifact]) -> Run | None:
        start = end = None
        if row.start_segment is not None:
            place = Place(row.start_segment, row.start_offset or 0, row.start_length or 0)
            start = self._item(place, span=row.span, event=events.MLOTEL_RUN_START)
        if row.end_segment is not None:
            place = Place(row.end_segment, row.end_offset or 0, row.end_length or 0)
            if row.by_span:
                end = self._item(place, span=row.span)
            else:
                end = self._item(place, event=events.MLOTEL_RUN_END, run=_ids(row)[0])
        if start is None and end is None:
            return None
        state = STATES[row.state]
        if state == "open":
            attributes = decode_attributes(start.content.get("attributes") or ()) if start else {}
            state = state_of_open_run(attributes, row.seen or row.start or 0, self._clock())
        times = (row.start or 0, row.end)
        return run_of(start, end, ids=_ids(row), state=state, times=times, inputs=inputs, outputs=outputs)

    def _artifacts(self, rows: Iterable[IoRow]) -> Iterator[Artifact]:
        for row in rows:
            artifact = self._artifact(row)
            if artifact is not None:
                yield artifact

    def _artifact(self, row: IoRow) -> Artifact | None:
        place = Place(row.segment, row.offset, row.length)
        try:
            if row.entry:
                item = self._item(place, span=row.span, event=events.MLOTEL_ARTIFACT_MANIFEST)
                return None if item is None else entry_of(item, row.entry)
            item = self._item(place, span=row.span)
            return None if item is None else artifact_of(item)
        except BAD_SHAPE:
            return None

    def _item(
        self, place: Place, *, span: int | None = None, event: str | None = None, run: str | None = None
    ) -> Item | None:
        """The span (or record, where `event` names it) of this span number or run id on the line at `place`."""
        items = self._parsed.get(place)
        if items is None:
            try:
                items = self._parser.items(self._line(place))
            except (OSError, *BAD_SHAPE):
                return None
            if len(self._parsed) >= _LINES_KEPT:
                self._parsed.clear()
            self._parsed[place] = items
        wanted = None if span is None else f"{span & _UNSIGNED:016x}"
        for item in items:
            content = item.content
            if item.is_span is (event is None) and (event is None or content.get("eventName") == event):
                if wanted is not None and str(content.get("spanId")).lower() != wanted:
                    continue
                if run is not None and decode_attributes(content.get("attributes") or ()).get(A.MLOTEL_RUN_ID) != run:
                    continue
                return item
        return None


def _ids(row: RunRow) -> tuple[str, str, str]:
    """Run id, trace id and span id in hex."""
    numbers = [row.run_hi, row.run_lo, row.trace_hi or 0, row.trace_lo or 0, row.span or 0]
    run_hi, run_lo, trace_hi, trace_lo, span = (f"{number & _UNSIGNED:016x}" for number in numbers)
    return run_hi + run_lo, trace_hi + trace_lo, span


def _matches(digest: str | None, wanted: str) -> bool:
    if digest is None:
        return False
    wanted = wanted.lower()
    return digest.lower().startswith(wanted) or digest.rpartition(":")[2].lower().startswith(wanted)


def unavailable(what: object, error: Exception) -> StoreError:
    """The error to raise where a store's index or lines cannot be read."""
    return StoreError(f"cannot read the store {what}: {error}")
