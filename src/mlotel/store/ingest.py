"""Filling the index from lines: start records, heartbeats, run spans, I/O spans, manifests, end records, in any order.

What comes twice counts once. Rows are gathered and merged in memory, then written in one go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel.store.anyvalue import decode_attributes
from mlotel.store.index import Index
from mlotel.store.parsing import BAD_SHAPE, Item, LineParser
from mlotel.store.rows import (
    ANNOTATIONS,
    EMPTY,
    OUTPUT,
    STATES,
    RunDraft,
    RunRow,
    digest_number,
    span_number,
    target_number,
    trace_numbers,
    uri_number,
)
from mlotel.store.values import annotation_of, dependencies_of, entries_of, first_of, span_state

__all__ = ["Ingest"]

_BATCH = 20_000
_CACHE = 50_000
_LONG_START = 4096
_LONGEST_NAME = 1000  # characters; mlotel's own names have 255 at most
_KNOWN = 2**20
_IO_WIDTH = 12
_PLACEHOLDERS = ", ".join("?" * len(RunRow._fields))
_UPDATE = ", ".join(f'"{field}" = ?{number}' for number, field in enumerate(RunRow._fields, 1))
# The rest of a run's row: no trace, no span; open, and not by a span.
_NOTHING_KNOWN = (None,) * 6 + (0, 0) + (None,) * 7
_STATE_NUMBERS = {state: number for number, state in enumerate(STATES)}
_RUN_EVENTS = frozenset(
    {events.MLOTEL_RUN_START, events.MLOTEL_RUN_HEARTBEAT, events.MLOTEL_RUN_END, events.MLOTEL_ARTIFACT_MANIFEST}
)


# All that is read of the attributes of spans; the others need not be put into a dictionary.
_OF_SPANS = frozenset(
    {
        A.MLOTEL_ARTIFACT_DIGEST,
        A.MLOTEL_ARTIFACT_NAME,
        A.MLOTEL_ARTIFACT_ROWS,
        A.MLOTEL_ARTIFACT_SIZE,
        A.MLOTEL_ARTIFACT_URI,
        A.MLOTEL_COMPONENT_NAME,
        A.MLOTEL_IO_DIRECTION,
        A.MLOTEL_PARENT_SPAN_ID,
        A.MLOTEL_RECORD_KEY_HASH,
        A.MLOTEL_RUN_ID,
        A.MLOTEL_RUN_STATE,
    }
)

# Number of the segment, first byte, length: a Place, without the price of making one for every line.
_Place = tuple[int, int, int]
_ANNOTATIONS = {f"mlotel.{kind}": number for number, kind in enumerate(ANNOTATIONS)}

# Within a string of JSON these quotes would be escaped: where a line has these bytes, they are its structure.
_EVENT = b'"eventName'
_START = b'"eventName":"%b"' % events.MLOTEL_RUN_START.encode()
_RUN_ID = b'{"key":"%b","value":{"stringValue":"' % A.MLOTEL_RUN_ID.encode()
_LOGS = b'{"resourceLogs":'


class Ingest:
    """Reads lines into `index`, whose transaction the caller holds from beginning to end, `finish` included.

    `skipped` counts the lines that are torn, too long, or no OTLP.
    """

    def __init__(self, index: Index) -> None:
        self.skipped = 0
        self._index = index
        self._parser = LineParser()
        self._runs: dict[str, RunDraft] = {}
        self._changed: dict[int, RunDraft] = {}
        self._names: dict[str, int] = {}
        # Rows one after another: the cycle collector would look at a tuple for each.
        self._io: list[int | None] = []
        self._starts: list[tuple[bytes, _Place]] = []
        self._dependencies: list[tuple[int, int]] = []
        self._keyed: list[tuple[int, ...]] = []
        self._gathered = 0
        execute = index.connection.execute
        self._next_run = execute("SELECT coalesce(max(id), 0) + 1 FROM run").fetchone()[0]
        # Numbers of the runs that are in the index and not in `_runs`; None where they are not known.
        self._elsewhere: set[int] | None = set() if self._next_run == 1 else None

    def line(self, line: bytes, place: _Place) -> None:
        """Read one line, without its newline; blank ones are allowed, others that are no OTLP are counted.

        `place` is where it stands: number of the segment, first byte, length.
        """
        span = self._parser.span(line)
        if span is not None:
            try:
                self._span(span, place)
            except BAD_SHAPE:
                self.skipped += 1
            self._gathered += 1
        elif line.startswith(_LOGS) and _START in line:
            self._starts.append((line, place))  # there may be nothing new in it when others have been read
            self._gathered += 1 + len(line) // _LONG_START  # long ones must not wait by the thousand
        else:
            self._read(line, place)
        if self._gathered >= _BATCH:
            self.flush()

    def complete(self, line: bytes) -> bool:
        """Whether `line` is a whole JSON object, and not the beginning of one that is still being written."""
        if not line.endswith(b"}"):
            return False
        try:
            self._parser.items(line)
        except ValueError:
            return False
        except BAD_SHAPE:
            pass
        return True

    def finish(self) -> None:
        """Write what is gathered and make the query indices; still within the caller's transaction."""
        self.flush()
        self._runs, self._elsewhere = {}, None  # making indices takes memory as well
        self._index.add_indices()

    def flush(self) -> None:
        """Write what is gathered."""
        for line, place in self._starts:
            if not self._is_told_by_span(line):
                self._read(line, place)
        self._starts.clear()
        connection = self._index.connection
        new = [run.row() for run in self._changed.values() if run.new]
        connection.executemany(f"INSERT INTO run VALUES ({_PLACEHOLDERS})", new)
        changed = [run.row() for run in self._changed.values() if not run.new]
        connection.executemany(f"UPDATE run SET {_UPDATE} WHERE id = ?1", changed)
        for run in self._changed.values():
            run.new = False
        self._changed.clear()
        rows = zip(*[iter(self._io)] * _IO_WIDTH, strict=True)
        connection.executemany(f"INSERT OR IGNORE INTO io VALUES (NULL{', ?' * _IO_WIDTH})", rows)
        self._io.clear()
        connection.executemany("INSERT OR IGNORE INTO dependency VALUES (?, ?)", self._dependencies)
        self._dependencies.clear()
        connection.executemany("INSERT OR IGNORE INTO keyed VALUES (?, ?, ?, ?, ?)", self._keyed)
        self._keyed.clear()
        self._gathered = 0
        if len(self._runs) >= _CACHE:
            self._keep_open_runs()

    def _keep_open_runs(self) -> None:
        """Leave those runs to the index whose spans have come: there is seldom more to be said of them."""
        gone = [run for run in self._runs.values() if run.by_span]
        self._runs = {run_id: run for run_id, run in self._runs.items() if not run.by_span}
        if len(self._runs) >= _CACHE // 2:
            gone += self._runs.values()
            self._runs = {}
        if self._elsewhere is not None:
            self._elsewhere.update(run.run_hi for run in gone)
            if len(self._elsewhere) > _KNOWN:
                self._look_up_runs()

    def _look_up_runs(self) -> None:
        self._index.add_run_index()
        self._elsewhere = None

    def _read(self, line: bytes, place: _Place) -> None:
        try:
            items = self._parser.items(line)
        except BAD_SHAPE:
            if line and not line.isspace():
                self.skipped += 1
            return
        self._gathered += len(items)
        bad = 0
        for item in items:
            is_span, content, _ = item
            try:
                if is_span:
                    self._span(content, place)
                elif (event := content.get("eventName")) in _RUN_EVENTS:
                    self._record(item, place)
                elif event in _ANNOTATIONS:
                    self._annotation(item, place)
            except BAD_SHAPE:
                bad = 1
        self.skipped += bad

    def _is_told_by_span(self, line: bytes) -> bool:
        """Whether all that a line tells is the start of a run whose span is known, which tells that as well.

        Most runs have ended by the end of a batch: this saves a tenth of the time.
        """
        start = line.index(_START) + len(_START)
        at = line.find(_RUN_ID, start) + len(_RUN_ID)
        if line.find(_EVENT, start) >= 0 or at < start or line[at + 32 : at + 33] != b'"':
            return False
        run = self._runs.get(line[at : at + 32].decode("ascii", "replace"))
        return run is not None and bool(run.by_span)

    def _span(self, span: dict[str, Any], place: _Place) -> None:
        raw: dict[str, Any] = {}
        wanted = _OF_SPANS
        for attribute in span.get("attributes") or ():
            key = attribute["key"]
            if key in wanted:
                raw[key] = attribute["value"]
        if A.MLOTEL_RUN_ID not in raw:
            return
        if A.MLOTEL_RECORD_KEY_HASH in raw:
            self._keyed_span(span, raw[A.MLOTEL_RECORD_KEY_HASH]["stringValue"], place)
        if A.MLOTEL_IO_DIRECTION in raw:
            self._io_span(span, raw, place)
        elif A.MLOTEL_COMPONENT_NAME in raw:
            self._run_span(span, raw, place)

    def _keyed_span(self, span: dict[str, Any], key_hash: str, place: _Place) -> None:
        trace_numbers(span["traceId"])
        _time(span["startTimeUnixNano"])
        self._keyed.append((span_number(key_hash), span_number(span["spanId"]), *place))

    def _run_span(self, span: dict[str, Any], raw: dict[str, Any], place: _Place) -> None:
        trace_hi, trace_lo = trace_numbers(span["traceId"])
        number = span_number(span["spanId"])
        start = _time(span["startTimeUnixNano"])
        _time(span["endTimeUnixNano"])
        component = self._name(raw[A.MLOTEL_COMPONENT_NAME]["stringValue"])
        said = raw.get(A.MLOTEL_RUN_STATE)
        state = span_state(None if said is None else said.get("stringValue"), span.get("status") or {})
        run = self._run(raw[A.MLOTEL_RUN_ID]["stringValue"])
        if run.by_span:
            return
        run.trace_hi, run.trace_lo, run.span = trace_hi, trace_lo, number
        run.start, run.component = start, component
        run.parent = _parent(raw, span.get("parentSpanId"))
        run.state = _STATE_NUMBERS[state]
        run.by_span = True
        run.end_segment, run.end_offset, run.end_length = place
        # The span says all that the start record said.
        run.seen = run.start_segment = run.start_offset = run.start_length = None
        self._changed[run.id] = run
        if links := span.get("links"):
            found = dependencies_of(links, decode_attributes(span["attributes"]))
            self._dependencies += [(run.id, span_number(link.span_id)) for link in found]
            self._gathered += len(found)

    def _io_span(self, span: dict[str, Any], raw: dict[str, Any], place: _Place) -> None:
        number = span_number(span["spanId"])
        time = _time(span["startTimeUnixNano"])
        flags = link = name = uri = digest = None
        if raw[A.MLOTEL_IO_DIRECTION]["stringValue"] == "output":
            if "status" in span and span_state(None, span["status"] or {}) == "failed":
                return  # the write failed: there is nothing that anybody could read
            flags = OUTPUT
        else:  # the links of a write span say what it is derived from
            flags = 0
            for candidate in span.get("links") or ():
                link = span_number(candidate["spanId"])
                break
        if (said := raw.get(A.MLOTEL_ARTIFACT_ROWS)) is not None and int(said["intValue"]) == 0:
            flags |= EMPTY
        if (said := raw.get(A.MLOTEL_ARTIFACT_SIZE)) is not None and int(said["intValue"]) == 0:
            flags |= EMPTY
        if (said := raw.get(A.MLOTEL_ARTIFACT_NAME)) is not None:
            text = said["stringValue"]
            name = self._names.get(text) or self._name(text)
        if (said := raw.get(A.MLOTEL_ARTIFACT_URI)) is not None:
            uri = uri_number(said["stringValue"])
        if (said := raw.get(A.MLOTEL_ARTIFACT_DIGEST)) is not None:
            digest = digest_number(said["stringValue"])
        run_id = raw[A.MLOTEL_RUN_ID]["stringValue"]
        run = self._runs.get(run_id) or self._run(run_id)
        if run.trace_hi is None:
            run.trace_hi, run.trace_lo = trace_numbers(span["traceId"])
            parent = span.get("parentSpanId")
            run.span = span_number(parent) if parent else None
            self._changed[run.id] = run
        self._io += number, run.id, 0, flags, name, uri, digest, time, link, *place

    def _record(self, item: Item, place: _Place) -> None:
        record = item.content
        raw = {attribute["key"]: attribute["value"] for attribute in record.get("attributes") or ()}
        run_id = raw[A.MLOTEL_RUN_ID]["stringValue"]
        event = record["eventName"]
        time = _time(record.get("timeUnixNano") or record["observedTimeUnixNano"])
        if event == events.MLOTEL_RUN_START:
            trace = trace_numbers(record["traceId"])
            span = span_number(record["spanId"])
            component = self._name(raw[A.MLOTEL_COMPONENT_NAME]["stringValue"])
            run = self._run(run_id)
            if run.by_span:
                return
            run.trace_hi, run.trace_lo = trace
            run.span, run.component, run.start = span, component, time
            run.parent = _parent(raw, None)
            run.start_segment, run.start_offset, run.start_length = place
            self._changed[run.id] = run
        elif event == events.MLOTEL_RUN_HEARTBEAT:
            run = self._run(run_id)
            if not run.by_span and time > (run.seen or 0):
                run.seen = time
                self._changed[run.id] = run
        elif event == events.MLOTEL_RUN_END:
            said = raw[A.MLOTEL_RUN_STATE]["stringValue"]
            run = self._run(run_id)
            if not run.by_span:
                run.state = _STATE_NUMBERS[span_state(said, {})]
                run.end_segment, run.end_offset, run.end_length = place
                self._changed[run.id] = run
        else:
            self._manifest(item, raw, run_id, time, place)

    def _manifest(self, item: Item, raw: Mapping[str, Any], run_id: str, time: int, place: _Place) -> None:
        span = span_number(item.content["spanId"])
        said = raw.get(A.MLOTEL_IO_DIRECTION)
        flags = OUTPUT if said is not None and said["stringValue"] == "output" else 0
        entries = entries_of(item)
        run = self._run(run_id)
        self._gathered += len(entries)
        first = first_of(decode_attributes(item.content.get("attributes") or ()))
        for number, entry in enumerate(entries, first + 1):
            name, digest, uri = entry.get("name"), entry.get("digest"), entry.get("uri")
            self._io += (
                span,
                run.id,
                number,
                flags | (EMPTY if entry.get("size") == 0 else 0),
                None if name is None else self._name(str(name)),
                None if uri is None else uri_number(str(uri)),
                None if digest is None else digest_number(str(digest)),
                time,
                None,
                *place,
            )

    def _annotation(self, item: Item, place: _Place) -> None:
        said = annotation_of(item)
        kind = _ANNOTATIONS[item.content["eventName"]]
        self._index.connection.execute(
            "INSERT OR IGNORE INTO annotation VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (kind, target_number(said.target), _time(said.time_ns), *place),
        )

    def _run(self, run_id: str) -> RunDraft:
        run = self._runs.get(run_id) or self._runs.get(run_id.lower())
        if run is None:
            run_id = run_id.lower()
            run_hi, run_lo = trace_numbers(run_id)
            row = None
            if self._elsewhere is not None and run_hi in self._elsewhere:
                self._look_up_runs()
            if self._elsewhere is None:
                sql = "SELECT * FROM run WHERE run_hi = ? AND run_lo = ?"
                row = self._index.connection.execute(sql, (run_hi, run_lo)).fetchone()
            if row is None:
                run = RunDraft((self._next_run, run_hi, run_lo, *_NOTHING_KNOWN), True)
                self._next_run += 1
                self._changed[run.id] = run
            else:
                run = RunDraft(row, False)
            self._runs[run_id] = run
        return run

    def _name(self, text: str) -> int:
        number = self._names.get(text)
        if number is None:
            if not isinstance(text, str) or len(text) > _LONGEST_NAME:  # whatever a line says
                raise TypeError("no name")
            number = self._index.name_id(text)
            if number is None:
                cursor = self._index.connection.execute("INSERT INTO name (text) VALUES (?)", (text,))
                number = cursor.lastrowid or 0
            if len(self._names) >= _CACHE:
                self._names.clear()
            self._names[text] = number
        return number


def _parent(raw: Mapping[str, Any], span_id: str | None) -> int | None:
    """The number of the nearest run's span above, as far as it is known; else that of the parent span."""
    said = raw.get(A.MLOTEL_PARENT_SPAN_ID)
    above = span_id if said is None else said["stringValue"]
    return span_number(above) if above else None


def _time(said: Any) -> int:
    time = int(said)
    if not 0 <= time < 1 << 63:  # SQLite could not hold it
        raise ValueError(f"no time: {time}")
    return time
