"""OTLP/JSON lines read back: which spans and log records a line holds, and under which resource.

What is read may come from mlotel's own encoder or from a collector's file exporter, where one line holds many spans of
several resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from orjson import loads

__all__ = ["BAD_SHAPE", "Item", "LineParser"]

# What reading a well-formed JSON value that is not OTLP may raise.
BAD_SHAPE = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)

_TAIL = b"]}]}]}"
# What is remembered is bounded however large a file's resources are; ours and a collector's have a kilobyte or two.
_KNOWN_LIMIT = 256
_LONGEST_BEGINNING = 2**14
_LONGEST_COMPARED = 2**20


class Item(NamedTuple):
    """One span or log record as parsed JSON, with the raw attributes of its resource."""

    is_span: bool
    content: dict[str, Any]
    resource: Sequence[Mapping[str, Any]]


_new_item = partial(tuple.__new__, Item)
_Beginning = tuple[bytes, int, Sequence[Mapping[str, Any]]]


class LineParser:
    """Parses lines; remembers the beginnings of lines with one item, so that a resource is not parsed with every span.

    A line that begins, up to its list of spans, with bytes seen before, and whose rest is one JSON object and the
    closing brackets, is the same document with another span in it: then only that object is parsed.
    """

    def __init__(self) -> None:
        # Lines of one segment mostly begin alike: comparing with the last beginning is cheaper than looking it up.
        self._spans: _Beginning = (b"\n", 0, ())
        self._records: _Beginning = (b"\n", 0, ())
        self._known: dict[bytes, Sequence[Mapping[str, Any]]] = {}

    def span(self, line: bytes) -> dict[str, Any] | None:
        """The span of a line that holds one, and begins like the last such line; None of any other line."""
        beginning, start, _ = self._spans
        if line.startswith(beginning) and line.endswith(_TAIL):
            try:
                span: dict[str, Any] = loads(line[start : -len(_TAIL)])
            except ValueError:  # several items, or something after the list
                return None
            return span
        return None

    def items(self, line: bytes) -> Sequence[Item]:
        """The spans and log records of one line (without its newline), other signals left out.

        Raises ValueError, TypeError, KeyError or AttributeError where the line is not OTLP/JSON.
        """
        is_span = True
        beginning, start, resource = self._spans
        if not line.startswith(beginning):
            is_span = False
            beginning, start, resource = self._records
            if not line.startswith(beginning):
                return self._other(line)
        if line.endswith(_TAIL):
            try:
                return (_new_item((is_span, loads(line[start : -len(_TAIL)]), resource)),)
            except ValueError:  # several items, or something after the list
                pass
        return list(_items(loads(line)))

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
                items = list(_items(loads(line)))
                if len(line) > _LONGEST_COMPARED or not _is_one_item(line[start : -len(_TAIL)], items):
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
        return list(_items(loads(line)))


def _is_one_item(content: bytes, items: Sequence[Item]) -> bool:
    try:
        return len(items) == 1 and bool(loads(content) == items[0].content)
    except ValueError:
        return False


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
