"""Filling the index from lines: start records, heartbeats, run spans, I/O spans, manifests, end records, in any order.

What comes twice counts once. Rows are gathered and merged in memory, then written in one go.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.json import decode
from msgspec.structs import astuple

from mlotel._json import UNDECODABLE
from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel.store.anyvalue import decode_attributes
from mlotel.store.index import Index
from mlotel.store.otlp import AnyValue, LogRecord, Span
from mlotel.store.parsing import BAD_SHAPE, LineParser
from mlotel.store.rows import (
    ANNOTATIONS,
    EMPTY,
    OUTPUT,
    STATES,
    RunRow,
    digest_number,
    span_number,
    target_number,
    trace_numbers,
    uri_number,
)
from mlotel.store.values import annotation_of, dependencies_of, entries_of, first_of, span_state, time_of

__all__ = ["Ingest"]

_BATCH = 20_000
_CACHE = 50_000
_LONG_START = 4096
_LONGEST_NAME = 1000  # characters; mlotel's own names have 255 at most
_KNOWN = 2**20
_IO_WIDTH = 12
_PLACEHOLDERS = ", ".join("?" * len(RunRow.__struct_fields__))
_UPDATE = ", ".join(f'"{field}" = ?{number}' for number, field in enumerate(RunRow.__struct_fields__, 1))
# The rest of a run's row: no trace, no span; open, and not by a span.
_NOTHING_KNOWN = (None,) * 6 + (0, 0) + (None,) * 7
_STATE_NUMBERS = {state: number for number, state in enumerate(STATES)}
_RUN_EVENTS = frozenset(
    {events.MLOTEL_RUN_START, events.MLOTEL_RUN_HEARTBEAT, events.MLOTEL_RUN_END, events.MLOTEL_ARTIFACT_MANIFEST}
)


# All that is read of the attributes of spans, in the order in which `_span` takes them.
_OF_SPANS = {
    key: place
    for place, key in enumerate(
        (
            A.MLOTEL_RUN_ID,
            A.MLOTEL_IO_DIRECTION,
            A.MLOTEL_COMPONENT_NAME,
            A.MLOTEL_RECORD_KEY_HASH,
            A.MLOTEL_RUN_STATE,
            A.MLOTEL_PARENT_SPAN_ID,
            A.MLOTEL_ARTIFACT_NAME,
            A.MLOTEL_ARTIFACT_DIGEST,
            A.MLOTEL_ARTIFACT_URI,
            A.MLOTEL_ARTIFACT_ROWS,
            A.MLOTEL_ARTIFACT_SIZE,
        )
    )
}

# Number of the segment, first byte, length: a Place, without the price of making one for every line.
_Place = tuple[int, int, int]
_ANNOTATIONS = frozenset(f"mlotel.{kind}" for kind in ANNOTATIONS)
# The attributes of a span or record that are looked at.
_Raw = dict[str, AnyValue]

# Within a string of JSON these quotes would be escaped: where a line has these bytes, they are its structure.
_EVENT = b'"eventName'
_START = b'"eventName":"%b"' % events.MLOTEL_RUN_START.encode()
_RUN_ID = b'{"key":"%b","value":{"stringValue":"' % A.MLOTEL_RUN_ID.encode()
_LOGS = b'{"resourceLogs":'


class Ingest:
    """Reads lines into `index`, whose transaction the caller holds from beginning to end, the last `flush` included.

    `skipped` counts the lines that are torn, too long, or no OTLP.
    """

    def __init__(self, index: Index) -> None:
        self.skipped = 0
        self._index = index
        self._parser = LineParser()
        self._runs: dict[str, RunRow] = {}
        self._changed: dict[int, RunRow] = {}
        self._names: dict[str, int] = {}
        # Rows one after another: the cycle collector would look at a tuple for each.
        self._io: list[int | None] = []
        self._starts: list[tuple[bytes, _Place]] = []
        self._dependencies: list[tuple[int, int]] = []
        self._keyed: list[tuple[int, ...]] = []
        self._gathered = 0
        execute = index.connection.execute
        self._next_run = execute("SELECT coalesce(max(id), 0) + 1 FROM run").fetchone()[0]
        self._first_new = self._next_run
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
            return isinstance(decode(line), dict)
        except UNDECODABLE:
            return False

    def flush(self) -> None:
        """Write what is gathered."""
        for line, place in self._starts:
            if not self._is_told_by_span(line):
                self._read(line, place)
        self._starts.clear()
        connection = self._index.connection
        new = [astuple(run) for run in self._changed.values() if run.id >= self._first_new]
        connection.executemany(f"INSERT INTO run VALUES ({_PLACEHOLDERS})", new)
        changed = [astuple(run) for run in self._changed.values() if run.id < self._first_new]
        connection.executemany(f"UPDATE run SET {_UPDATE} WHERE id = ?1", changed)
        self._first_new = self._next_run
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
            record = item.record
            try:
                if item.span is not None:
                    self._span(item.span, place)
                elif record is None:
                    bad = 1
                elif record.event_name in _RUN_EVENTS:
                    self._record(record, place)
                elif record.event_name in _ANNOTATIONS:
                    self._annotation(record, place)
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

    def _span(self, span: Span, place: _Place) -> None:
        said: list[AnyValue | None] = [None] * len(_OF_SPANS)
        for attribute in span.attributes or ():
            at = _OF_SPANS.get(attribute.key)
            if at is not None:
                said[at] = attribute.value
        said_run_id, direction, component, key_hash, state, parent, *of_artifact = said
        if said_run_id is None:
            return
        run_id = _text(said_run_id)
        if key_hash is not None:
            self._keyed_span(span, _text(key_hash), place)
        if direction is not None:
            self._io_span(span, run_id, direction.string_value == "output", of_artifact, place)
        elif component is not None:
            above = span.parent_span_id if parent is None else parent.string_value
            self._run_span(span, run_id, _text(component), state.string_value if state else None, above, place)

    def _keyed_span(self, span: Span, key_hash: str, place: _Place) -> None:
        trace_numbers(span.trace_id)
        _time(span.start_time_unix_nano)
        self._keyed.append((span_number(key_hash), span_number(span.span_id), *place))

    def _run_span(
        self, span: Span, run_id: str, component: str, state: str | None, parent: str | None, place: _Place
    ) -> None:
        trace_hi, trace_lo = trace_numbers(span.trace_id)
        number = span_number(span.span_id)
        start = _time(span.start_time_unix_nano)
        _time(span.end_time_unix_nano)
        name = self._names.get(component) or self._name(component)
        run = self._runs.get(run_id) or self._run(run_id)
        if run.by_span:
            return
        run.trace_hi, run.trace_lo, run.span = trace_hi, trace_lo, number
        run.start, run.component = start, name
        run.parent = span_number(parent) if parent else None
        run.state = _STATE_NUMBERS[span_state(state, span.status)]
        run.by_span = True
        run.end_segment, run.end_offset, run.end_length = place
        # The span says all that the start record said.
        run.seen = run.start_segment = run.start_offset = run.start_length = None
        self._changed[run.id] = run
        if span.links:
            found = dependencies_of(span.links, decode_attributes(span.attributes))
            self._dependencies += [(run.id, span_number(link.span_id)) for link in found]
            self._gathered += len(found)

    def _io_span(
        self, span: Span, run_id: str, is_output: bool, said: Sequence[AnyValue | None], place: _Place
    ) -> None:
        name, digest, uri, rows, size = said
        number = span_number(span.span_id)
        time = _time(span.start_time_unix_nano)
        flags, link = 0, None
        if is_output:
            if span_state(None, span.status) == "failed":
                return  # the write failed: there is nothing that anybody could read
            flags = OUTPUT
        elif span.links:  # the links of a write span say what it is derived from
            link = span_number(span.links[0].span_id)
        if _is_zero(rows) or _is_zero(size):
            flags |= EMPTY
        named = None if name is None else _text(name)
        run = self._runs.get(run_id) or self._run(run_id)
        if run.trace_hi is None:
            run.trace_hi, run.trace_lo = trace_numbers(span.trace_id)
            run.span = span_number(span.parent_span_id) if span.parent_span_id else None
            self._changed[run.id] = run
        self._io += (
            number,
            run.id,
            0,
            flags,
            None if named is None else self._names.get(named) or self._name(named),
            None if uri is None else uri_number(_text(uri)),
            None if digest is None else digest_number(_text(digest)),
            time,
            link,
            *place,
        )

    def _record(self, record: LogRecord, place: _Place) -> None:
        raw = {each.key: each.value for each in record.attributes or () if each.value is not None}
        run_id = _text(raw[A.MLOTEL_RUN_ID])
        event = record.event_name
        time = _time(time_of(record))
        if event == events.MLOTEL_RUN_START:
            trace = trace_numbers(record.trace_id)
            span = span_number(record.span_id)
            component = self._name(_text(raw[A.MLOTEL_COMPONENT_NAME]))
            run = self._run(run_id)
            if run.by_span:
                return
            run.trace_hi, run.trace_lo = trace
            run.span, run.component, run.start = span, component, time
            above = raw.get(A.MLOTEL_PARENT_SPAN_ID)
            run.parent = span_number(above.string_value) if above is not None and above.string_value else None
            run.start_segment, run.start_offset, run.start_length = place
            self._changed[run.id] = run
        elif event == events.MLOTEL_RUN_HEARTBEAT:
            run = self._run(run_id)
            if not run.by_span and time > (run.seen or 0):
                run.seen = time
                self._changed[run.id] = run
        elif event == events.MLOTEL_RUN_END:
            said = _text(raw[A.MLOTEL_RUN_STATE])
            run = self._run(run_id)
            if not run.by_span:
                run.state = _STATE_NUMBERS[span_state(said, None)]
                run.end_segment, run.end_offset, run.end_length = place
                self._changed[run.id] = run
        else:
            self._manifest(record, raw, run_id, time, place)

    def _manifest(self, record: LogRecord, raw: _Raw, run_id: str, time: int, place: _Place) -> None:
        span = span_number(record.span_id)
        said = raw.get(A.MLOTEL_IO_DIRECTION)
        flags = OUTPUT if said is not None and said.string_value == "output" else 0
        entries = entries_of(record)
        run = self._run(run_id)
        self._gathered += len(entries)
        first = first_of(decode_attributes(record.attributes))
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

    def _annotation(self, record: LogRecord, place: _Place) -> None:
        said = annotation_of(record)
        self._index.connection.execute(
            "INSERT OR IGNORE INTO annotation VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (ANNOTATIONS.index(said.kind), target_number(said.target), _time(said.time_ns), *place),
        )

    def _run(self, run_id: str) -> RunRow:
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
                run = RunRow(self._next_run, run_hi, run_lo, *_NOTHING_KNOWN)
                self._next_run += 1
                self._changed[run.id] = run
            else:
                run = RunRow(*row)
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


def _text(value: AnyValue) -> str:
    text = value.string_value
    if text is None:
        raise TypeError("no text")
    return text


def _is_zero(value: AnyValue | None) -> bool:
    return value is not None and value.int_value is not None and int(value.int_value) == 0


def _time(said: int | str | None) -> int:
    if said is None:
        raise TypeError("no time")
    time = int(said)
    if not 0 <= time < 1 << 63:  # SQLite could not hold it
        raise ValueError(f"no time: {time}")
    return time
