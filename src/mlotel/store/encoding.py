"""Spans and log records as OTLP/JSON lines: each is one OTLP/HTTP request body, as in the file exporter.

The JSON is put together from ready-made bytes: building the nested dictionaries first costs more than encoding them.
Field names and forms are those of the OTLP specification (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding):
hex ids, 64-bit integers as decimal strings, enumerations as integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from mlotel.store.anyvalue import encode_attributes, encode_text, encode_value
from mlotel.store.lines import LONGEST_LINE

__all__ = ["LineEncoder", "SpanLines"]

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_HAS_IS_REMOTE = 0x100
_IS_REMOTE = 0x200
_SUFFIX = b"]}]}]}\n"
# Attribute names are few, but parameter names are the user's: the cache of their encoded form must not grow for ever.
_HEADS_LIMIT = 2048
_TEXT_LIMIT = 128
_LONGEST_KEPT = 1000


class LineEncoder:
    """Encodes the spans and events of one resource and one scope.

    Args:
        resource_attributes: attributes of the resource, any OTLP attribute values.
        scope_name: name of the instrumentation scope; None or "" leaves the scope empty.
        scope_version: version of the scope.
        scope_attributes: attributes of the scope.
        resource_schema_url: schema URL of the resource.
        scope_schema_url: schema URL of the scope's spans and records.
    """

    __slots__ = ("_heads", "_log_prefix", "_span_prefix", "_texts")

    def __init__(
        self,
        resource_attributes: Mapping[str, Any],
        scope_name: str | None,
        scope_version: str | None = None,
        *,
        scope_attributes: Mapping[str, Any] | None = None,
        resource_schema_url: str | None = None,
        scope_schema_url: str | None = None,
    ) -> None:
        self._heads: dict[str, bytes] = {}
        self._texts: dict[tuple[str, str], bytes] = {}
        resource = b'"resource":{"attributes":[%b]}' % encode_attributes(resource_attributes)
        scope = [b'"name":' + encode_text(scope_name)] if scope_name else []
        if scope_version:
            scope.append(b'"version":' + encode_text(scope_version))
        if scope_attributes:
            scope.append(b'"attributes":[%b]' % encode_attributes(scope_attributes))
        middle = b'"scope":{%b}' % b",".join(scope)
        # Schema URLs stand before the lists, so that the end of every line is the same.
        if scope_schema_url:
            middle += b',"schemaUrl":' + encode_text(scope_schema_url)
        if resource_schema_url:
            resource += b',"schemaUrl":' + encode_text(resource_schema_url)
        self._span_prefix = b'{"resourceSpans":[{%b,"scopeSpans":[{%b,"spans":[' % (resource, middle)
        self._log_prefix = b'{"resourceLogs":[{%b,"scopeLogs":[{%b,"logRecords":[' % (resource, middle)

    def span(self, span: Any) -> bytes:
        """One ended span (anything shaped like the SDK's ReadableSpan) as a line, newline included.

        A line that would be too long to be read is made without the span's events and long values.
        """
        line = self._span(span)
        return line if len(line) <= LONGEST_LINE else self._span(self._shortened(span))

    def _span(self, span: Any) -> bytes:
        context = span.context
        parent = span.parent
        if parent is None:
            parent_id = b""
            flags = _HAS_IS_REMOTE
        else:
            parent_id = b'"parentSpanId":"%016x",' % parent.span_id
            flags = _HAS_IS_REMOTE | _IS_REMOTE if parent.is_remote else _HAS_IS_REMOTE
        parts = [
            self._span_prefix,
            b'{"traceId":"%032x","spanId":"%016x",%b"flags":%d,"name":%b,"kind":%d,'
            b'"startTimeUnixNano":"%d","endTimeUnixNano":"%d"'
            % (
                context.trace_id,
                context.span_id,
                parent_id,
                flags,
                encode_text(span.name),
                span.kind._value_ + 1,
                span.start_time or 0,
                span.end_time or 0,
            ),
        ]
        if context.trace_state:
            parts.append(b',"traceState":' + _trace_state(context.trace_state))
        attributes = span.attributes
        if attributes:
            parts.append(b',"attributes":[%b]' % self._attributes(attributes))
        dropped = span.dropped_attributes
        if dropped:
            parts.append(b',"droppedAttributesCount":%d' % dropped)
        events = span.events
        if events:
            parts.append(b',"events":[%b]' % b",".join([self._span_event(event) for event in events]))
        dropped = span.dropped_events
        if dropped:
            parts.append(b',"droppedEventsCount":%d' % dropped)
        links = span.links
        if links:
            parts.append(b',"links":[%b]' % b",".join([self._link(link) for link in links]))
        dropped = span.dropped_links
        if dropped:
            parts.append(b',"droppedLinksCount":%d' % dropped)
        parts.append(_status(span.status))
        parts.append(_SUFFIX)
        return b"".join(parts)

    def event(
        self,
        name: str,
        *,
        time_ns: int,
        trace_id: int = 0,
        span_id: int = 0,
        attributes: Mapping[str, Any] | None = None,
        severity_number: int = 9,
        severity_text: str | None = None,
        body: Any = None,
        observed_time_ns: int | None = None,
        flags: int = 0,
    ) -> bytes:
        """One event (a log record with an event name) as a line, newline included.

        Args:
            name: the event's name; "" makes it a plain log record.
            time_ns: when it happened, nanoseconds since the epoch.
            trace_id: the trace it belongs to, 0 for none.
            span_id: the span it belongs to, 0 for none.
            attributes: OTLP attribute values by name.
            severity_number: OTLP severity, 9 is INFO.
            severity_text: the severity in words.
            body: any attribute value.
            observed_time_ns: when it was seen, `time_ns` if not said.
            flags: W3C trace flags of the span's context.
        """
        observed = time_ns if observed_time_ns is None else observed_time_ns
        parts = [
            self._log_prefix,
            b'{"timeUnixNano":"%d","observedTimeUnixNano":"%d"' % (time_ns, observed),
            b',"severityNumber":%d' % severity_number,
        ]
        if severity_text:
            parts.append(b',"severityText":' + encode_text(severity_text))
        if name:
            parts.append(b',"eventName":' + encode_text(name))
        if body is not None:
            parts.append(b',"body":' + encode_value(body))
        if attributes:
            parts.append(b',"attributes":[%b]' % self._attributes(attributes))
        if trace_id:
            parts.append(b',"traceId":"%032x"' % trace_id)
        if span_id:
            parts.append(b',"spanId":"%016x"' % span_id)
        if flags:
            parts.append(b',"flags":%d' % flags)
        parts.append(b"}")
        parts.append(_SUFFIX)
        return b"".join(parts)

    def _shortened(self, span: Any) -> Any:
        """A span without what others may put on one that is current: mlotel's own attributes and links are short."""
        attributes, links, status = dict(span.attributes or {}), list(span.links or ()), span.status
        room = LONGEST_LINE // 4
        most = room // max(len(attributes), 1), room // max(len(links), 1)
        kept = {key: value for key, value in attributes.items() if len(self._attributes({key: value})) < most[0]}
        kept_links = [link for link in links if len(self._link(link)) < most[1]]
        return SimpleNamespace(
            name=span.name[:_LONGEST_KEPT],
            context=span.context,
            parent=span.parent,
            kind=span.kind,
            start_time=span.start_time,
            end_time=span.end_time,
            attributes=kept,
            dropped_attributes=span.dropped_attributes + len(attributes) - len(kept),
            events=(),
            dropped_events=span.dropped_events + len(span.events or ()),
            links=kept_links,
            dropped_links=span.dropped_links + len(links) - len(kept_links),
            status=SimpleNamespace(
                status_code=status.status_code, description=(status.description or "")[:_LONGEST_KEPT]
            ),
        )

    def _attributes(self, attributes: Mapping[str, Any]) -> bytes:
        """The key-value objects of `attributes`, joined by commas."""
        heads, texts = self._heads, self._texts
        # The SDK's mappings iterate in Python, one call per key; their copy() is a plain dict's.
        plain = attributes.copy() if hasattr(attributes, "copy") else attributes
        parts = []
        for item in plain.items():
            key, value = item
            kind = value.__class__
            if kind is str:
                text = texts.get(item)
                parts.append(self._text(item) if text is None else text)
                continue
            try:
                head = heads[key]
            except KeyError:
                head = self._head(key)
            if kind is int and _INT64_MIN <= value <= _INT64_MAX:
                parts.append(b'%b{"intValue":"%d"}}' % (head, value))
            else:
                parts.append(b"%b%b}" % (head, encode_value(value)))
        return b",".join(parts)

    def _text(self, item: tuple[str, str]) -> bytes:
        """A key-value object of two texts; most of them (names, commit, digests) come again within a moment."""
        text = b'{"key":%b,"value":{"stringValue":%b}}' % (encode_text(item[0]), encode_text(item[1]))
        if len(item[1]) <= _TEXT_LIMIT:
            if len(self._texts) >= _HEADS_LIMIT:
                self._texts.clear()
            self._texts[item] = text
        return text

    def _head(self, key: str) -> bytes:
        head = b'{"key":%b,"value":' % encode_text(key)
        if len(self._heads) >= _HEADS_LIMIT:
            self._heads.clear()
        self._heads[key] = head
        return head

    def _span_event(self, event: Any) -> bytes:
        parts = [b'{"timeUnixNano":"%d","name":%b' % (event.timestamp or 0, encode_text(event.name))]
        if event.attributes:
            parts.append(b',"attributes":[%b]' % self._attributes(event.attributes))
        if event.dropped_attributes:
            parts.append(b',"droppedAttributesCount":%d' % event.dropped_attributes)
        parts.append(b"}")
        return b"".join(parts)

    def _link(self, link: Any) -> bytes:
        context = link.context
        flags = _HAS_IS_REMOTE | _IS_REMOTE if context.is_remote else _HAS_IS_REMOTE
        parts = [b'{"traceId":"%032x","spanId":"%016x","flags":%d' % (context.trace_id, context.span_id, flags)]
        if context.trace_state:
            parts.append(b',"traceState":' + _trace_state(context.trace_state))
        if link.attributes:
            parts.append(b',"attributes":[%b]' % self._attributes(link.attributes))
        if link.dropped_attributes:
            parts.append(b',"droppedAttributesCount":%d' % link.dropped_attributes)
        parts.append(b"}")
        return b"".join(parts)


class SpanLines:
    """Encodes spans of any resource and scope, with one `LineEncoder` for each pair of them.

    The application's own spans and mlotel's may come through the same processor. The pairs are told apart by identity,
    which costs nothing; `limit` bounds how many are kept, since tracers may be made without end.
    """

    __slots__ = ("_encoders", "_limit")

    def __init__(self, limit: int = 256) -> None:
        # The values hold the resource and scope, so that an id cannot come back as another object's.
        self._encoders: dict[tuple[int, int], tuple[LineEncoder, object, object]] = {}
        self._limit = limit

    def span(self, span: Any) -> bytes:
        """One ended span (anything shaped like the SDK's ReadableSpan) as a line, newline included."""
        return self.encoder(span.resource, span.instrumentation_scope).span(span)

    def encoder(self, resource: Any, scope: Any) -> LineEncoder:
        """The encoder for a resource and an instrumentation scope (None: no scope), made when it is first asked for."""
        key = (id(resource), id(scope))
        found = self._encoders.get(key)
        if found is None:
            if len(self._encoders) >= self._limit:
                self._encoders.clear()
            found = self._encoders[key] = (_encoder_for(resource, scope), resource, scope)
        return found[0]


def _encoder_for(resource: Any, scope: Any) -> LineEncoder:
    return LineEncoder(
        resource.attributes,
        getattr(scope, "name", None),
        getattr(scope, "version", None),
        scope_attributes=getattr(scope, "attributes", None),
        resource_schema_url=resource.schema_url,
        scope_schema_url=getattr(scope, "schema_url", None),
    )


def _status(status: Any) -> bytes:
    """The status, and the end of the span object."""
    code = status.status_code._value_  # as .value, without the descriptor's price
    if status.description:
        return b',"status":{"message":%b,"code":%d}}' % (encode_text(status.description), code)
    return b',"status":{"code":%d}}' % code if code else b',"status":{}}'


def _trace_state(state: Mapping[str, str]) -> bytes:
    return encode_text(",".join([f"{key}={value}" for key, value in state.items()]))
