"""OTLP/JSON lines written by hand (with the standard library's json), to be read by the stores under test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlotel.semconv import attributes as A
from mlotel.semconv import events

T0 = 1_790_000_000_000_000_000
SECOND = 10**9


def hex_id(number: int, digits: int) -> str:
    return f"{number:0{digits}x}"


def value(item: Any) -> dict[str, Any]:
    if isinstance(item, bool):
        return {"boolValue": item}
    if isinstance(item, int):
        return {"intValue": str(item)}
    if isinstance(item, float):
        return {"doubleValue": item}
    if isinstance(item, list | tuple):
        return {"arrayValue": {"values": [value(one) for one in item]}}
    return {"stringValue": item}


def key_values(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(item)} for key, item in attributes.items() if item is not None]


def span_line(*spans: Mapping[str, Any], service: str = "shop") -> bytes:
    scopes = [{"scope": {"name": "mlotel", "version": "1"}, "spans": list(spans)}]
    resource = {"attributes": key_values({A.SERVICE_NAME: service})}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}, separators=(",", ":")).encode()


def log_line(*records: Mapping[str, Any], service: str = "shop") -> bytes:
    scopes = [{"scope": {"name": "mlotel", "version": "1"}, "logRecords": list(records)}]
    resource = {"attributes": key_values({A.SERVICE_NAME: service})}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": scopes}]}, separators=(",", ":")).encode()


class RunLines:
    """The lines of one run; `number` makes its ids: run ``…0aN``, trace ``…0bN``, span ``…0cN``."""

    def __init__(self, number: int, component: str = "train", *, start_s: float = 0.0, **attributes: Any) -> None:
        self.run_id = hex_id((0xA << 120) + number, 32)
        self.trace_id = hex_id((0xB << 120) + number, 32)
        self.span_id = hex_id((0xC << 56) + number, 16)
        self.component = component
        self.start_ns = T0 + round(start_s * SECOND)
        self.attributes = {A.MLOTEL_COMPONENT_NAME: component, A.MLOTEL_RUN_ID: self.run_id, **attributes}
        self._artifacts = 0

    def start(self, **attributes: Any) -> bytes:
        return log_line(self.record(events.MLOTEL_RUN_START, self.start_ns, **{**self.attributes, **attributes}))

    def heartbeat(self, after_s: float) -> bytes:
        time = self.start_ns + round(after_s * SECOND)
        return log_line(self.record(events.MLOTEL_RUN_HEARTBEAT, time, **{A.MLOTEL_RUN_ID: self.run_id}))

    def end_record(self, state: str, after_s: float, **attributes: Any) -> bytes:
        time = self.start_ns + round(after_s * SECOND)
        said = {A.MLOTEL_RUN_ID: self.run_id, A.MLOTEL_RUN_STATE: state, **attributes}
        return log_line(self.record(events.MLOTEL_RUN_END, time, **said))

    def manifest(
        self, entries: Sequence[Mapping[str, Any]], span_id: str, direction: str = "input", first: int | None = None
    ) -> bytes:
        said = {A.MLOTEL_RUN_ID: self.run_id, A.MLOTEL_IO_DIRECTION: direction, A.MLOTEL_ARTIFACT_MANIFEST_FIRST: first}
        record = self.record(events.MLOTEL_ARTIFACT_MANIFEST, self.start_ns, **said)
        return log_line({**record, "spanId": span_id, "body": value(json.dumps(entries))})

    def record(self, event: str, time_ns: int, **attributes: Any) -> dict[str, Any]:
        return {
            "timeUnixNano": str(time_ns),
            "observedTimeUnixNano": str(time_ns),
            "severityNumber": 9,
            "eventName": event,
            "attributes": key_values(attributes),
            "traceId": self.trace_id,
            "spanId": self.span_id,
        }

    def end(self, state: str | None = "ok", after_s: float = 1.0, **attributes: Any) -> bytes:
        return span_line(self.span(state, after_s, **attributes))

    def span(
        self,
        state: str | None = "ok",
        after_s: float = 1.0,
        *,
        status: Mapping[str, Any] | None = None,
        parent: str | None = None,
        **attributes: Any,
    ) -> dict[str, Any]:
        said = {**self.attributes, A.MLOTEL_RUN_STATE: state, **attributes}
        return {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            **({} if parent is None else {"parentSpanId": parent}),
            "name": self.component,
            "kind": 1,
            "startTimeUnixNano": str(self.start_ns),
            "endTimeUnixNano": str(self.start_ns + round(after_s * SECOND)),
            "attributes": key_values(said),
            "status": status or {},
        }

    def read(self, name: str, digest: str | None = None, **more: Any) -> dict[str, Any]:
        return self._io("input", name, digest, **more)

    def write(self, name: str, digest: str | None = None, **more: Any) -> dict[str, Any]:
        return self._io("output", name, digest, **more)

    def _io(
        self,
        direction: str,
        name: str,
        digest: str | None,
        *,
        links: Sequence[Mapping[str, Any]] = (),
        after_s: float | None = None,
        **attributes: Any,
    ) -> dict[str, Any]:
        self._artifacts += 1
        number = int(self.span_id, 16) + (self._artifacts << 32)
        time = self.start_ns + (self._artifacts * 1000 if after_s is None else round(after_s * SECOND))
        said = {
            A.MLOTEL_IO_DIRECTION: direction,
            A.MLOTEL_RUN_ID: self.run_id,
            A.MLOTEL_ARTIFACT_NAME: name,
            A.MLOTEL_ARTIFACT_DIGEST: digest,
            **attributes,
        }
        return {
            "traceId": self.trace_id,
            "spanId": hex_id(number, 16),
            "parentSpanId": self.span_id,
            "name": f"{'read' if direction == 'input' else 'write'} {name}",
            "kind": 1,
            "startTimeUnixNano": str(time),
            "endTimeUnixNano": str(time + 1000),
            "attributes": key_values(said),
            **({"links": list(links)} if links else {}),
            "status": {},
        }


def link_to(span: Mapping[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"traceId": span["traceId"], "spanId": span["spanId"], "attributes": key_values(attributes)}


def digest(character: str) -> str:
    return "blake3:" + character * 64
