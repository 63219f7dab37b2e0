"""OTLP/JSON lines read back: which spans and log records a line holds, and under which resource.

What is read may come from mlotel's own encoder or from a collector's file exporter, where one line holds many spans of
several resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import UNSET, Struct
from msgspec.json import Decoder

from mlotel._json import UNDECODABLE
from mlotel.store.otlp import KeyValue, LogRecord, Span, TelemetryData

__all__ = ["BAD_SHAPE", "Item", "LineParser"]

# What reading a JSON value may raise that is not OTLP.
BAD_SHAPE = (*UNDECODABLE, TypeError, KeyError, AttributeError, IndexError)

_TAIL = b"]}]}]}"
# What is remembered is bounded however large a file's resources are; ours and a collector's have a kilobyte or two.
_KNOWN_LIMIT = 256
_LONGEST_BEGINNING = 2**14
_LONGEST_COMPARED = 2**20

_decode = Decoder(TelemetryData).decode
_decode_span = Decoder(Span).decode
_decode_record = Decoder(LogRecord).decode


class Item(Struct, frozen=True, gc=False):
    """One span or log record, with the attributes of its resource; neither where a line holds something else there."""

    span: Span | None
    record: LogRecord | None
    resource: Sequence[KeyValue]


_Beginning = tuple[bytes, int, Sequence[KeyValue]]


class LineParser:
    """Parses lines; remembers the beginnings of lines with one item, so that a resource is not parsed with every span.

    A line that begins, up to its list of spans, with bytes seen before, and whose rest is one JSON object and the
    closing brackets, is the same document with another span in it: then only that object is parsed.
    """

    def __init__(self) -> None:
        # Lines of one segment mostly begin alike: comparing with the last beginning is cheaper than looking it up.
        self._spans: _Beginning = (b"\n", 0, ())
        self._records: _Beginning = (b"\n", 0, ())
        self._known: dict[bytes, Sequence[KeyValue]] = {}

    def content(self, line: bytes) -> bytes | None:
        """What stands in the list of spans of a line that begins like the last one with one span; None of any other."""
        beginning, start, _ = self._spans
        return line[start : -len(_TAIL)] if line.startswith(beginning) and line.endswith(_TAIL) else None

    def span(self, line: bytes) -> Span | None:
        """The span of a line that holds one, and begins like the last such line; None of any other line."""
        content = self.content(line)
        try:
            return None if content is None else _decode_span(content)
        except UNDECODABLE:  # several items, or something after the list, or no span
            return None

    def items(self, line: bytes) -> Sequence[Item]:
        """The spans and log records of one line (without its newline), other signals left out.

        Raises ValueError, TypeError, KeyError or AttributeError where the line is not OTLP/JSON.
        """
        beginning, start, resource = self._spans
        try:
            if line.startswith(beginning):
                if line.endswith(_TAIL):
                    return (Item(_decode_span(line[start : -len(_TAIL)]), None, resource),)
            else:
                beginning, start, resource = self._records
                if not line.startswith(beginning):
                    return self._other(line)
                if line.endswith(_TAIL):
                    return (Item(None, _decode_record(line[start : -len(_TAIL)]), resource),)
        except UNDECODABLE:  # several items, or something after the list, or no item
            pass
        return list(_items(line))

    def _other(self, line: bytes) -> Sequence[Item]:
        """The items of a line that does not begin like the last one."""
        is_span = line.startswith(b'{"resourceSpans"')
        # Inside a JSON string these quotes would be escaped: what is found is the document's own structure.
        opening = b'"spans":[{' if is_span else b'"logRecords":[{'
        at = line.find(opening, 0, _LONGEST_BEGINNING)
        start = at + len(opening) - 1
        if at > 0 and line.endswith(_TAIL):
            beginning = line[:start]
            resource = self._known.get(beginning)
            if resource is None:
                items = list(_items(line))
                if len(line) > _LONGEST_COMPARED or not _is_one_item(line[start : -len(_TAIL)], items, is_span):
                    return items
                resource = items[0].resource
                if len(self._known) >= _KNOWN_LIMIT:
                    self._known.clear()
                self._known[beginning] = resource
            if is_span:
                self._spans = (beginning, start, resource)
            else:
                self._records = (beginning, start, resource)
            return self.items(line)
        return list(_items(line))


def _is_one_item(content: bytes, items: Sequence[Item], is_span: bool) -> bool:
    try:
        return len(items) == 1 and (
            _decode_span(content) == items[0].span if is_span else _decode_record(content) == items[0].record
        )
    except UNDECODABLE:
        return False


def _items(line: bytes) -> Iterator[Item]:
    data = _decode(line)
    for spans in data.resource_spans or ():
        resource = (spans.resource and spans.resource.attributes) or ()
        for scope in spans.scope_spans or ():
            for content in scope.spans or ():
                try:
                    yield Item(_decode_span(content), None, resource)
                except UNDECODABLE:
                    yield Item(None, None, resource)
    for logs in data.resource_logs or ():
        resource = (logs.resource and logs.resource.attributes) or ()
        for records in logs.scope_logs or ():
            for content in records.log_records or ():
                try:
                    yield Item(None, _decode_record(content), resource)
                except UNDECODABLE:
                    yield Item(None, None, resource)
    signals = data.resource_spans, data.resource_logs, data.resource_metrics, data.resource_profiles
    if all(each is UNSET for each in signals):
        raise ValueError("not an OTLP document")
