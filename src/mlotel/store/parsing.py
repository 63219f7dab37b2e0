"""OTLP/JSON lines read back: which spans and log records a line holds, and under which resource.

What is read may come from mlotel's own encoder or from a collector's file exporter, where one line holds many spans of
several resources.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orjson import loads

__all__ = ["BAD_SHAPE", "Item", "LineParser", "span_number", "trace_numbers"]

# What reading a well-formed JSON value that is not OTLP may raise.
BAD_SHAPE = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)

_TAIL = b"]}]}]}"
_KNOWN_LIMIT = 256
_NUMBER, _TWO_NUMBERS = struct.Struct(">q"), struct.Struct(">qq")


class Item(NamedTuple):
    """One span or log record as parsed JSON, with the raw attributes of its resource."""

    is_span: bool
    content: dict[str, Any]
    resource: Sequence[Mapping[str, Any]]


class LineParser:
    """Parses lines; remembers the beginnings of lines with one item, so that a resource is not parsed with every span.

    A line that begins, up to its list of spans, with bytes seen before, and whose rest is one JSON object and the
    closing brackets, is the same document with another span in it: then only that object is parsed.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Sequence[Mapping[str, Any]]] = {}

    def items(self, line: bytes) -> Sequence[Item]:
        """The spans and log records of one line (without its newline), other signals left out.

        Raises ValueError, TypeError, KeyError or AttributeError where the line is not OTLP/JSON.
        """
        is_span = line.startswith(b'{"resourceSpans"')
        # Inside a JSON string these quotes would be escaped: what is found is the document's own structure.
        at = line.find(b'"spans":[{' if is_span else b'"logRecords":[{')
        if at > 0 and line.endswith(_TAIL):
            start = at + (9 if is_span else 14)
            resource = self._known.get(line[:start])
            if resource is not None:
                try:
                    return (Item(is_span, loads(line[start : -len(_TAIL)]), resource),)
                except ValueError:  # several items, or something after the list
                    return list(_items(loads(line)))
        items = list(_items(loads(line)))
        if len(items) == 1 and at > 0 and line.endswith(_TAIL):
            self._remember(line, start, items[0])
        return items

    def _remember(self, line: bytes, start: int, item: Item) -> None:
        try:
            if loads(line[start : -len(_TAIL)]) != item.content:
                return
        except ValueError:
            return
        if len(self._known) >= _KNOWN_LIMIT:
            self._known.clear()
        self._known[line[:start]] = item.resource


def _items(document: Any) -> Iterator[Item]:
    if not isinstance(document, dict):
        raise TypeError("not an OTLP document")
    known = False
    for key, scopes, lists, is_span in (
        ("resourceSpans", "scopeSpans", "spans", True),
        ("resourceLogs", "scopeLogs", "logRecords", False),
    ):
        for group in document.get(key) or ():
            resource = (group.get("resource") or {}).get("attributes") or ()
            for scope in group.get(scopes) or ():
                for content in scope.get(lists) or ():
                    yield Item(is_span, content, resource)
        known = known or key in document
    if not known and not any(key.startswith("resource") for key in document):
        raise ValueError("not an OTLP document")


def trace_numbers(trace_id: str) -> tuple[int, int]:
    """The two halves of a trace or run id of 32 hex digits, as signed 64-bit integers; ValueError if it is none."""
    try:
        high, low = _TWO_NUMBERS.unpack(bytes.fromhex(trace_id))
    except (struct.error, TypeError) as error:
        raise ValueError(f"not 32 hex digits: {trace_id!r}") from error
    return high, low


def span_number(span_id: str) -> int:
    """A span id of 16 hex digits as a signed 64-bit integer; ValueError if it is none."""
    try:
        number: int = _NUMBER.unpack(bytes.fromhex(span_id))[0]
    except (struct.error, TypeError) as error:
        raise ValueError(f"not 16 hex digits: {span_id!r}") from error
    return number
