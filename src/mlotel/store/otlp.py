"""What of OTLP/JSON is read, as types: the decoder passes over all else, and makes no dictionaries.

Names and shapes are those of OTLP's protobuf messages (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
A 64-bit integer may be written as a string or as a number, and an empty list may be null.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

__all__ = ["AnyValue", "KeyValue", "LogRecord", "Span", "SpanLink", "Status", "TelemetryData"]

# None of them can be part of a cycle, so Python's cycle collector need not look at them.


class AnyValue(Struct, gc=False, rename="camel"):
    """A value of an attribute: one field at most is set."""

    string_value: str | None = None
    int_value: int | float | str | None = None
    double_value: int | float | str | None = None
    bool_value: bool | None = None
    array_value: _Values | None = None
    bytes_value: str | None = None
    kvlist_value: _KeyValues | None = None


class KeyValue(Struct, gc=False):
    """An attribute."""

    key: str
    value: AnyValue | None = None


class _Values(Struct, gc=False):
    values: list[AnyValue] | None = None


class _KeyValues(Struct, gc=False):
    values: list[KeyValue] | None = None


class SpanLink(Struct, gc=False, rename="camel"):
    """A link to another span."""

    trace_id: str = ""
    span_id: str = ""
    attributes: list[KeyValue] | None = None


class Status(Struct, gc=False):
    """How a span ended."""

    code: int | str | None = None
    message: str | None = None


class Span(Struct, gc=False, rename="camel"):
    """A span."""

    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[KeyValue] | None = None
    links: list[SpanLink] | None = None
    status: Status | None = None


class LogRecord(Struct, gc=False, rename="camel"):
    """A log record; an event where it has an `event_name`."""

    trace_id: str = ""
    span_id: str = ""
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    event_name: str | None = None
    attributes: list[KeyValue] | None = None
    body: AnyValue | None = None


class _Resource(Struct, gc=False):
    attributes: list[KeyValue] | None = None


# Spans and records are left as they are written: one that is no OTLP must not cost the others of its line.


class _ScopeSpans(Struct, gc=False):
    spans: list[Raw] | None = None


class _ScopeLogs(Struct, gc=False, rename="camel"):
    log_records: list[Raw] | None = None


class _ResourceSpans(Struct, gc=False, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _ResourceLogs(Struct, gc=False, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class TelemetryData(Struct, gc=False, rename="camel"):
    """What one request or one write holds; `UNSET` where there is no field of that name."""

    resource_spans: list[_ResourceSpans] | UnsetType | None = UNSET
    resource_logs: list[_ResourceLogs] | UnsetType | None = UNSET
    resource_metrics: Any = UNSET
    resource_profiles: Any = UNSET
