"""Runs made up for tests, as the values a store returns and as the OTLP lines it would read them from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from mlotel.model import Artifact, Link, Run
from mlotel.store.conditions import Condition

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def digest(content: str) -> str:
    return f"blake3:{hashlib.sha256(content.encode()).hexdigest()}"


@dataclass(frozen=True)
class Io:
    """What a run reads or writes. `content` decides the digest (None: none), `name` is the content by default."""

    content: str | None
    name: str | None = None
    link: Artifact | Run | Link | None = None
    resolved_by: str | None = "embedded"
    derived_from: tuple[str, ...] = ()
    rows: int | None = 10
    size: int | None = None
    digest: str | None = None
    scope: str | None = "logical"
    uri: str | None = None
    type: str | None = "dataset"
    note: str | None = None


class Book:
    """Records runs one after the other: each event is a second after the one before."""

    def __init__(self) -> None:
        self.made: list[Run] = []
        self.manifests: dict[str, list[Artifact]] = {}
        self._now = START
        self._spans = 0

    def _tick(self) -> int:
        self._now += SECOND
        return self._now

    def _span_id(self) -> str:
        self._spans += 1
        return hashlib.sha256(f"span {self._spans}".encode()).hexdigest()[:16]

    def run(
        self,
        component: str,
        reads: Iterable[str | Io] = (),
        writes: Iterable[str | Io] = (),
        *,
        trace: str | None = None,
        parent: Run | None = None,
        run_id: str | None = None,
        state: str = "ok",
        attributes: Mapping[str, Any] | None = None,
        depends_on: Iterable[Run] = (),
        **fields: Any,
    ) -> Run:
        start, span_id = self._tick(), self._span_id()
        run_id = run_id or hashlib.sha256(f"run {span_id}".encode()).hexdigest()[:32]
        if parent is not None:
            trace = parent.trace_id
        run = Run(
            run_id=run_id,
            component=component,
            state=state,
            start_ns=start,
            trace_id=trace or hashlib.sha256(f"trace {span_id}".encode()).hexdigest()[:32],
            span_id=span_id,
            parent_span_id=None if parent is None else parent.span_id,
            service="tests",
            attributes=dict(attributes or {}),
            dependencies=tuple(Link(each.trace_id, each.span_id, "depends_on") for each in depends_on),
            **fields,
        )
        inputs = tuple(self._io(run, "input", each, ()) for each in reads)
        outputs = tuple(self._io(run, "output", each, inputs) for each in writes)
        end = None if state in ("running", "lost") else self._tick()
        run = replace(run, inputs=inputs, outputs=outputs, end_ns=end)
        self.made.append(run)
        return run

    def manifest(self, run: Run, direction: str, contents: Iterable[str]) -> Run:
        """Add a manifest of further contents to what a run read or wrote, as it is done past a hundred of them."""
        listed = self._io(run, direction, Io("manifest of " + run.run_id, name="manifest", scope="manifest"), ())
        self.manifests[listed.span_id] = [
            replace(listed, name=each, digest=digest(each), scope=None, rows=None) for each in contents
        ]
        field = "inputs" if direction == "input" else "outputs"
        changed = replace(run, **{field: (*getattr(run, field), listed)})
        self.made[self.made.index(run)] = changed
        return changed

    def _io(self, run: Run, direction: str, what: str | Io, inputs: Sequence[Artifact]) -> Artifact:
        io = Io(what) if isinstance(what, str) else what
        link = io.link
        if isinstance(link, Artifact):
            producer = next(each for each in self.made if each.run_id == link.run_id)
            link = Link(producer.trace_id, link.span_id, "consumes", io.resolved_by)
        elif isinstance(link, Run):
            link = Link(link.trace_id, link.span_id, "consumes", io.resolved_by)
        return Artifact(
            name=io.name or io.content or "",
            direction=direction,
            span_id=self._span_id(),
            run_id=run.run_id,
            type=io.type,
            digest=io.digest or (None if io.content is None else digest(io.content)),
            scope=io.scope,
            uri=io.uri,
            rows=io.rows,
            size=io.size,
            note=io.note,
            time_ns=self._tick(),
            link=link,
            derived_from=tuple(each.span_id for each in inputs if each.name in io.derived_from),
        )


class BookStore:
    """A store over runs held in a list, as plain as can be: what the walk is tested on beside the real ones."""

    def __init__(self, runs: Iterable[Run], manifests: Mapping[str, Sequence[Artifact]] = MappingProxyType({})) -> None:
        self._runs = list(runs)
        self._manifests = manifests
        self.questions = 0

    def runs(
        self,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> Sequence[Run]:
        self.questions += 1
        found = [
            run
            for run in self._runs
            if component in (None, run.component)
            and (since_ns is None or run.start_ns >= since_ns)
            and (until_ns is None or run.start_ns <= until_ns)
            and all(condition.matches(run) for condition in where)
        ]
        return sorted(found, key=lambda run: -run.start_ns)[:limit]

    def translates(self, condition: Condition) -> bool:
        return False

    def find_runs(self, reference: str) -> Sequence[Run]:
        self.questions += 1
        found = [
            run
            for run in self._runs
            if any(each.startswith(reference) for each in (run.run_id, run.trace_id, run.span_id))
        ]
        return sorted(found, key=lambda run: -run.start_ns)

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        self.questions += 1
        for run in self._runs:
            spans = {run.span_id, *(each.span_id for each in (*run.inputs, *run.outputs))}
            if run.trace_id == trace_id and span_id in spans:
                return run
        return None

    def find_artifacts(
        self,
        *,
        digest: str | None = None,
        name: str | None = None,
        uri: str | None = None,
        direction: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Artifact]:
        self.questions += 1
        found = [
            each
            for run in self._runs
            for io in (*run.inputs, *run.outputs)
            for each in (io, *self._manifests.get(io.span_id, ()))
            if (name is None or each.name == name)
            and (uri is None or each.uri == uri)
            and (direction is None or each.direction == direction)
            and (digest is None or (each.digest or "").startswith(digest) or _value(each.digest).startswith(digest))
        ]
        return sorted(found, key=lambda each: -each.time_ns)[:limit]

    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        self.questions += 1
        found = [
            each
            for run in self._runs
            for each in run.inputs
            if each.link is not None and (each.link.trace_id, each.link.span_id) == (trace_id, span_id)
        ]
        return sorted(found, key=lambda each: -each.time_ns)

    def dependents_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        self.questions += 1
        wanted = Link(trace_id, span_id, "depends_on")
        return sorted((run for run in self._runs if wanted in run.dependencies), key=lambda run: -run.start_ns)

    def manifest_entries(self, span_id: str) -> Sequence[Artifact]:
        return self._manifests.get(span_id, ())


def _value(digest: str | None) -> str:
    return (digest or "").partition(":")[2]


# --- the same as OTLP/JSON lines, written without mlotel's encoder ----------------------------------------------------


def otlp_lines(book: Book) -> str:
    """Return the runs as OTLP/JSON lines: all that is known of a run on one."""
    return "".join(json.dumps(_request(run, book.manifests)) + "\n" for run in book.made)


def _request(run: Run, manifests: Mapping[str, Sequence[Artifact]]) -> dict[str, Any]:
    resource, scope = {"attributes": _attributes({"service.name": run.service})}, {"name": "mlotel"}
    ios = (*run.inputs, *run.outputs)
    spans = [_io_span(run, each) for each in ios]
    records = [_manifest_record(run, each, manifests[each.span_id]) for each in ios if each.span_id in manifests]
    if run.end_ns is not None:
        spans.append(_run_span(run))
    else:  # what the store knows of the run itself is its start record
        records.append(_start_record(run))
    return {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}],
        "resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": records}]}],
    }


def _start_record(run: Run) -> dict[str, Any]:
    return {
        "timeUnixNano": str(run.start_ns),
        "eventName": "mlotel.run.start",
        "traceId": run.trace_id,
        "spanId": run.span_id,
        "attributes": _attributes({"mlotel.component.name": run.component, "mlotel.run.id": run.run_id}),
    }


def _manifest_record(run: Run, io: Artifact, entries: Iterable[Artifact]) -> dict[str, Any]:
    attributes = {
        "mlotel.run.id": run.run_id,
        "mlotel.artifact.digest": io.digest,
        "mlotel.io.direction": io.direction,
    }
    return {
        "timeUnixNano": str(io.time_ns),
        "eventName": "mlotel.artifact.manifest",
        "traceId": run.trace_id,
        "spanId": io.span_id,
        "attributes": _attributes(attributes),
        "body": {"stringValue": json.dumps([{"name": each.name, "digest": each.digest} for each in entries])},
    }


def _run_span(run: Run) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "mlotel.component.name": run.component,
        "mlotel.run.id": run.run_id,
        "mlotel.run.state": run.state,
        "mlotel.component.version": run.version,
        "cicd.pipeline.name": run.pipeline,
        "vcs.ref.head.revision": run.git.get("commit"),
        "vcs.ref.head.name": run.git.get("branch"),
        "mlotel.vcs.dirty": run.git.get("dirty"),
        "vcs.repository.url.full": run.git.get("repository"),
        "error.type": None if run.error is None else run.error["type"],
        **{f"mlotel.param.{key}": value for key, value in run.params.items()},
        **{f"mlotel.metric.{key}": value for key, value in run.metrics.items()},
        **{f"mlotel.tag.{key}": value for key, value in run.tags.items()},
        **run.attributes,
    }
    status = {"code": 2, "message": f"{run.error['type']}: {run.error['message']}"} if run.error else {}
    return {
        "traceId": run.trace_id,
        "spanId": run.span_id,
        **({"parentSpanId": run.parent_span_id} if run.parent_span_id else {}),
        "name": run.component,
        "kind": 1,
        "startTimeUnixNano": str(run.start_ns),
        "endTimeUnixNano": str(run.end_ns),
        "attributes": _attributes(attributes),
        "links": [_dependency(link) for link in run.dependencies],
        "status": status,
    }


def _dependency(link: Link) -> dict[str, Any]:
    kind = _attributes({"mlotel.link.type": link.type})
    return {"traceId": link.trace_id, "spanId": link.span_id, "attributes": kind}


def _io_span(run: Run, io: Artifact) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "mlotel.io.direction": io.direction,
        "mlotel.run.id": run.run_id,
        "mlotel.artifact.name": io.name,
        "mlotel.artifact.type": io.type,
        "mlotel.artifact.digest": io.digest,
        "mlotel.artifact.digest.scope": io.scope,
        "mlotel.artifact.uri": io.uri,
        "mlotel.artifact.rows": io.rows,
        "mlotel.artifact.columns": io.columns,
        "mlotel.artifact.size": io.size,
        "mlotel.artifact.schema.digest": io.schema_digest,
        "mlotel.artifact.note": io.note,
    }
    links = []
    if io.link is not None:
        how = {"mlotel.link.type": io.link.type, "mlotel.link.resolved_by": io.link.resolved_by}
        attributes |= how
        links.append({"traceId": io.link.trace_id, "spanId": io.link.span_id, "attributes": _attributes(how)})
    if io.derived_from:
        attributes["mlotel.artifact.derived_from"] = list(io.derived_from)
    for span_id in io.derived_from:
        kind = _attributes({"mlotel.link.type": "derived_from"})
        links.append({"traceId": run.trace_id, "spanId": span_id, "attributes": kind})
    return {
        "traceId": run.trace_id,
        "spanId": io.span_id,
        "parentSpanId": run.span_id,
        "name": f"{'read' if io.direction == 'input' else 'write'} {io.name}",
        "kind": 1,
        "startTimeUnixNano": str(io.time_ns),
        "endTimeUnixNano": str(io.time_ns),
        "attributes": _attributes(attributes),
        "links": links,
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in values.items() if value is not None]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float) and not math.isfinite(value):  # protobuf's JSON form
        return {"doubleValue": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_any_value(each) for each in value]}}
    return {"stringValue": value}
