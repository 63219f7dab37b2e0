"""From rows of the index to runs and artifacts: the lines they point to are read back and put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from mlotel._json import UNDECODABLE
from mlotel.model import Annotation, Artifact, Run, RunHead
from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel.store.anyvalue import decode_attributes
from mlotel.store.artifact_spans import ArtifactSpans
from mlotel.store.conditions import Condition
from mlotel.store.index import Index, marks
from mlotel.store.liveness import state_of_open_run
from mlotel.store.otlp import LogRecord, Span
from mlotel.store.parsing import BAD_SHAPE, Item, LineParser
from mlotel.store.rows import (
    ANNOTATIONS,
    OUTPUT,
    STATES,
    AnnotationRow,
    IoRow,
    Place,
    RunRow,
    ids_of,
    run_id_of,
    span_hex,
    target_number,
)
from mlotel.store.values import annotation_of, artifact_of, entry_of, head_of, head_of_span, run_of, time_of

__all__ = ["Assembly"]

_CHUNK = 500
_LINES_KEPT = 64
# Of what was put together no more is kept than so many bytes of lines hold, however long each is.
_BYTES_KEPT = 64 * 2**20
_LONG_LINE = 16_384
_ARTIFACTS_KEPT, _RUNS_KEPT = 8192, 1024


class Assembly:
    """Puts runs and artifacts together. What cannot be read back any more is left out, and `missed` is then true.

    `cleared` counts how often what was read was forgotten.

    Args:
        line: reads the line at a place; OSError where it cannot.
        clock: nanoseconds since the epoch, to tell running runs from lost ones.
        heard_from: when the writer of a segment was last heard from, by the reader's clock; None where nobody knows.
    """

    def __init__(
        self,
        line: Callable[[Place], bytes],
        clock: Callable[[], int],
        heard_from: Callable[[int], int | None] = lambda _: None,
    ) -> None:
        self._line = line
        self._clock = clock
        self._heard_from = heard_from
        self._parser = LineParser()
        self._artifact_spans = ArtifactSpans()
        # A collector's line holds many spans, and a manifest many entries, which are asked for one after another.
        self._parsed: dict[Place, Sequence[Item]] = {}
        # One artifact is come to by its run, its digest and its producer: it is put together once. By numbers of rows.
        self._artifacts: dict[int, Artifact] = {}
        self._runs: dict[int, Run] = {}
        self._bytes = 0
        self.missed = False
        self.cleared = 0

    def clear(self) -> None:
        """Forget what was read so far; needed when lines were taken up, or places may mean others."""
        self.missed = False
        self.cleared += 1
        self._let_go()

    def _let_go(self) -> None:
        self._bytes = 0
        self._parsed.clear()
        self._artifacts.clear()
        self._runs.clear()

    def runs(self, index: Index, rows: Sequence[RunRow]) -> tuple[Run, ...]:
        """The runs of `rows`, in their order, with all they read and wrote."""
        runs: list[Run] = []
        for first in range(0, len(rows), _CHUNK):
            chunk = rows[first : first + _CHUNK]
            found = {row.id: self._runs[row.id] for row in chunk if row.id in self._runs}
            missing = [row for row in chunk if row.id not in found]
            found |= self._whole(index, missing) if missing else {}
            # Whether a run that has not ended still runs is another question each time.
            ended = {row.id: found[row.id] for row in missing if row.state and row.id in found}
            if len(self._runs) + len(ended) > _RUNS_KEPT:
                self._runs.clear()
            self._runs |= ended
            runs += (found[row.id] for row in chunk if row.id in found)
        return tuple(runs)

    def _whole(self, index: Index, rows: Sequence[RunRow]) -> dict[int, Run]:
        """The runs of rows, by the numbers of these."""
        runs = [row.id for row in rows]
        inputs: defaultdict[int, list[Artifact]] = defaultdict(list)
        outputs: defaultdict[int, list[Artifact]] = defaultdict(list)
        for io in index.io_rows_by_number(f"run IN {marks(runs)} AND entry = 0", runs):
            artifact = self._artifacts.get(io.id) or self._artifact(io)
            if artifact is not None:
                side = outputs if artifact.direction == "output" else inputs
                side[io.run].append(artifact)
        found: dict[int, Run] = {}
        for row in sorted(rows, key=_place):
            try:
                run = self._run(row, sorted(inputs[row.id], key=_time), sorted(outputs[row.id], key=_time))
            except BAD_SHAPE:
                continue
            if run is not None:
                found[row.id] = run
        return found

    def heads(self, rows: Iterable[RunRow]) -> Iterator[Run]:
        """The runs of `rows`, in their order, without what they read and wrote."""
        for row in rows:
            head = self._head(row)
            if head is not None:
                yield head

    def heads_with_counts(self, index: Index, rows: Sequence[RunRow]) -> Iterator[RunHead]:
        """The runs of `rows` as lists show them, in their order."""
        for first in range(0, len(rows), _CHUNK):
            yield from self._heads_with_counts(index, rows[first : first + _CHUNK])

    def _heads_with_counts(self, index: Index, rows: Sequence[RunRow]) -> Iterator[RunHead]:
        runs = [row.id for row in rows]
        sql = (
            f"SELECT run, count(*), sum(flags & {OUTPUT}) FROM io WHERE run IN {marks(runs)} AND entry = 0 GROUP BY run"
        )
        counts = {run: (count - writes, writes) for run, count, writes in index.rows(sql, runs)}
        found: dict[int, RunHead] = {}
        for row in sorted(rows, key=_place):
            reads, writes = counts.get(row.id, (0, 0))
            try:
                place = Place(row.end_segment or 0, row.end_offset or 0, row.end_length or 0)
                span = self.span(place, row.span or 0) if row.by_span else None
                if span is not None:
                    found[row.id] = head_of_span(
                        span,
                        run_id=run_id_of(row),
                        state=STATES[row.state],
                        times=(row.start or 0, int(span.end_time_unix_nano or 0)),
                        counts=(reads, writes),
                    )
                elif (run := self._run(row, (), ())) is not None:
                    found[row.id] = head_of(run, reads, writes)
            except BAD_SHAPE:
                continue
        yield from (found[row.id] for row in rows if row.id in found)

    def keep(self, rows: Sequence[RunRow], where: Sequence[Condition]) -> Sequence[RunRow]:
        """Those of `rows` for whose runs `where` holds, as far as that can be told without what they read and wrote."""
        told = [condition for condition in where if not condition.needs_artifacts]
        if not told:
            return rows
        words = [word for condition in told for word in condition.words]
        kept = []
        for row in rows:
            # Looking for a word in a line costs a tenth of reading it.
            if words and not self._mentions(row, words):
                continue
            head = self._head(row)
            if head is not None and all(condition.matches(head) for condition in told):
                kept.append(row)
        return kept

    def artifacts(self, rows: Iterable[IoRow]) -> Iterator[Artifact]:
        """The artifacts of `rows`, in their order."""
        for row in rows:
            artifact = self._artifacts.get(row.id) or self._artifact(row)
            if artifact is not None:
                yield artifact

    def annotations(self, rows: Iterable[AnnotationRow]) -> Iterator[Annotation]:
        """The flags, notes and labels of `rows`, in their order."""
        for row in rows:
            event = f"mlotel.{ANNOTATIONS[row.kind]}"
            for item in self._items(Place(row.segment, row.offset, row.length)):
                if item.record is None or item.record.event_name != event:
                    continue
                try:
                    said = annotation_of(item.record)
                except BAD_SHAPE:
                    continue
                if said.time_ns == row.time and target_number(said.target) == row.target:
                    yield said
                    break

    def span(self, place: Place, number: int) -> Span | None:
        """The span of this number on the line at `place`."""
        items = self._parsed.get(place)
        if items is None:
            line = self._read(place)
            return None if line is None else self._span_on(line, place, number)
        return _span_among(items, number)

    def _span_on(self, line: bytes, place: Place, number: int) -> Span | None:
        span = self._parser.span(line)  # mostly it has a line of its own
        if span is not None:
            return span if span.span_id.lower() == span_hex(number) else None
        return _span_among(self._parse(place, line), number)

    def _artifact_of_span(self, place: Place, number: int) -> Artifact | None:
        items = self._parsed.get(place)
        if items is None:
            line = self._read(place)
            if line is None:
                return None
            content = self._parser.content(line)
            if content is not None:
                try:
                    artifact = self._artifact_spans.artifact(content)
                    return artifact if artifact.span_id == span_hex(number) else None
                except UNDECODABLE:  # several items, or something after the list, or no span
                    pass
            span = self._span_on(line, place, number)
        else:
            span = _span_among(items, number)
        return None if span is None else artifact_of(span)

    def _record_item(self, place: Place, event: str, *, span: int | None = None, run: str | None = None) -> Item | None:
        """The record of this event, and of this span number or run id where they are given, on the line at `place`."""
        wanted = None if span is None else span_hex(span)
        for item in self._items(place):
            record = item.record
            if record is None or record.event_name != event:
                continue
            if (wanted is None or record.span_id.lower() == wanted) and (run is None or _run_id(record) == run):
                return item
        return None

    def _items(self, place: Place) -> Sequence[Item]:
        """The spans and records of the line at `place`, none where it cannot be read any more."""
        items = self._parsed.get(place)
        if items is None:
            line = self._read(place)
            items = () if line is None else self._parse(place, line)
        return items

    def _read(self, place: Place) -> bytes | None:
        self._bytes += place.length
        if self._bytes > _BYTES_KEPT:
            self._let_go()
        try:
            return self._line(place)
        except OSError:
            self.missed = True
            return None

    def _parse(self, place: Place, line: bytes) -> Sequence[Item]:
        try:
            items = self._parser.items(line)
        except BAD_SHAPE:
            return ()
        if len(items) != 1 or items[0].span is None:  # of a line of one span no more will be asked
            if len(self._parsed) >= _LINES_KEPT:
                self._parsed.clear()
            self._parsed[place] = items
        return items

    def _mentions(self, row: RunRow, words: Sequence[bytes]) -> bool:
        """Whether the lines of a run hold all words; long ones, of many runs, are better read once for all of them."""
        said = b""
        for segment, offset, length in (
            (row.start_segment, row.start_offset, row.start_length),
            (row.end_segment, row.end_offset, row.end_length),
        ):
            if segment is not None:
                if (length or 0) > _LONG_LINE:
                    return True
                try:
                    said += self._line(Place(segment, offset or 0, length or 0))
                except OSError:
                    continue
        return all(word in said for word in words)

    def _head(self, row: RunRow) -> Run | None:
        try:
            return self._run(row, (), ())
        except BAD_SHAPE:
            return None

    def _run(self, row: RunRow, inputs: Iterable[Artifact], outputs: Iterable[Artifact]) -> Run | None:
        ids = ids_of(row)
        start = end = None
        if row.start_segment is not None:
            place = Place(row.start_segment, row.start_offset or 0, row.start_length or 0)
            start = self._record_item(place, events.MLOTEL_RUN_START, span=row.span)
        if row.end_segment is not None:
            place = Place(row.end_segment, row.end_offset or 0, row.end_length or 0)
            end = (
                _item_of_span(self._items(place), row.span)
                if row.by_span
                else self._record_item(place, events.MLOTEL_RUN_END, run=ids[0])
            )
        if start is None and end is None:
            return None
        state = STATES[row.state]
        if state == "open":
            attributes = decode_attributes(start.record.attributes) if start and start.record else {}
            heard = None if row.start_segment is None else self._heard_from(row.start_segment)
            state = state_of_open_run(attributes, heard or row.seen or row.start or 0, self._clock())
        times = (row.start or 0, _end_of(end))
        return run_of(start, end, ids=ids, state=state, times=times, inputs=inputs, outputs=outputs)

    def _artifact(self, row: IoRow) -> Artifact | None:
        place = Place(row.segment, row.offset, row.length)
        try:
            if row.entry:
                item = self._record_item(place, events.MLOTEL_ARTIFACT_MANIFEST, span=row.span)
                artifact = entry_of(item.record, row.entry) if item and item.record else None
            else:
                artifact = self._artifact_of_span(place, row.span)
        except BAD_SHAPE:
            return None
        if artifact is None:
            return None
        if len(self._artifacts) >= _ARTIFACTS_KEPT:
            self._artifacts.clear()
        self._artifacts[row.id] = artifact
        return artifact


def _span_among(items: Iterable[Item], number: int) -> Span | None:
    item = _item_of_span(items, number)
    return None if item is None else item.span


def _item_of_span(items: Iterable[Item], number: int | None) -> Item | None:
    wanted = None if number is None else span_hex(number)
    for item in items:
        if item.span is not None and (wanted is None or item.span.span_id.lower() == wanted):
            return item
    return None


def _place(row: RunRow) -> tuple[int, int]:
    """Where a run's last line stands: lines are read ahead, so it is best to go through a file from front to back."""
    return row.end_segment or row.start_segment or 0, row.end_offset or row.start_offset or 0


def _time(artifact: Artifact) -> int:
    return artifact.time_ns


def _end_of(item: Item | None) -> int | None:
    if item is None:
        return None
    if item.span is not None:
        return int(item.span.end_time_unix_nano or 0)
    return None if item.record is None else time_of(item.record)


def _run_id(record: LogRecord) -> object:
    said = decode_attributes(record.attributes).get(A.MLOTEL_RUN_ID)
    return said.lower() if isinstance(said, str) else said
