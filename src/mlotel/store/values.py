"""Runs and artifacts as values, made from the spans and log records of the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec.json import decode

from mlotel.model import Annotation, Artifact, Drift, Link, Prediction, Run, RunHead, Scalar
from mlotel.semconv import attributes as A
from mlotel.store.anyvalue import decode_attributes, decode_value
from mlotel.store.otlp import LogRecord, Span, SpanLink, Status
from mlotel.store.parsing import Item
from mlotel.store.predictions.spans import prediction_of

__all__ = [
    "annotation_of",
    "artifact_of",
    "dependencies_of",
    "drift_of",
    "entries_of",
    "entry_of",
    "first_of",
    "head_of",
    "head_of_span",
    "prediction_of_span",
    "run_of",
    "span_state",
    "time_of",
]

_DEPENDS_ON = "depends_on"
# What a list shows of the attributes of a run's span.
_OF_HEADS = frozenset({A.CICD_PIPELINE_NAME, A.MLOTEL_COMPONENT_NAME, A.MLOTEL_COMPONENT_VERSION})
_ENDED = frozenset({"ok", "failed", "cancelled"})
_LONGEST_MANIFEST = 4 * 2**20  # characters; a record of ours lists 500 artifacts, in some 50 KB
_GIT = {
    "commit": A.VCS_REF_HEAD_REVISION,
    "branch": A.VCS_REF_HEAD_NAME,
    "dirty": A.MLOTEL_VCS_DIRTY,
    "repository": A.VCS_REPOSITORY_URL_FULL,
}
# What is read of the attributes of an I/O span, and where it is put: texts first, then numbers.
_OF_ARTIFACTS = {
    key: place
    for place, key in enumerate(
        (
            A.MLOTEL_ARTIFACT_NAME,
            A.MLOTEL_IO_DIRECTION,
            A.MLOTEL_RUN_ID,
            A.MLOTEL_ARTIFACT_TYPE,
            A.MLOTEL_ARTIFACT_DIGEST,
            A.MLOTEL_ARTIFACT_DIGEST_SCOPE,
            A.MLOTEL_ARTIFACT_URI,
            A.MLOTEL_ARTIFACT_SCHEMA_DIGEST,
            A.MLOTEL_ARTIFACT_NOTE,
            A.MLOTEL_ARTIFACT_PROFILE,
            A.MLOTEL_ARTIFACT_ROWS,
            A.MLOTEL_ARTIFACT_COLUMNS,
            A.MLOTEL_ARTIFACT_SIZE,
            A.MLOTEL_ARTIFACT_MISSING,
        )
    )
}
_FIRST_NUMBER = _OF_ARTIFACTS[A.MLOTEL_ARTIFACT_ROWS]
_OF_DRIFT_AND_LINKS = frozenset({A.MLOTEL_DRIFT_ALARM, A.MLOTEL_LINK_TYPE, A.MLOTEL_LINK_RESOLVED_BY})
_USER = _PARAM, _METRIC, _TAG = A.MLOTEL_PARAM + ".", A.MLOTEL_METRIC + ".", A.MLOTEL_TAG + "."


def span_state(said: object, status: Status | None) -> str:
    """The state of an ended run: what its span says, or else what its status says."""
    if said in _ENDED:
        return str(said)
    return "failed" if status is not None and status.code in (2, "STATUS_CODE_ERROR") else "ok"


def run_of(
    start: Item | None,
    end: Item | None,
    *,
    ids: tuple[str, str, str],
    state: str,
    times: tuple[int, int | None],
    inputs: Iterable[Artifact] = (),
    outputs: Iterable[Artifact] = (),
) -> Run:
    """A run from its start record and its span or end record; what the end says wins.

    Args:
        start: the start record, None where the span is there.
        end: the run span, or the end record where the span went elsewhere, or None.
        ids: run id, trace id and span id.
        state: the run's state.
        times: start and end, nanoseconds since the epoch.
        inputs: what it read, in order.
        outputs: what it wrote, in order.
    """
    items = [item for item in (start, end) if item is not None]
    attributes: dict[str, Any] = {}
    for item in items:
        attributes |= decode_attributes(item.resource)
    for item in items:
        content = item.span or item.record
        attributes |= decode_attributes(content.attributes if content else None)
    run_id, trace_id, span_id = ids
    params, metrics, tags = _named_by_user(attributes)
    parent = attributes.get(A.MLOTEL_PARENT_SPAN_ID)
    dependencies: tuple[Link, ...] = ()
    if end is not None and end.span is not None:
        # The attribute names the nearest run above where other spans stand between.
        parent = parent or end.span.parent_span_id
        dependencies = dependencies_of(end.span.links or (), attributes)
    return Run(
        run_id=run_id,
        component=str(attributes.get(A.MLOTEL_COMPONENT_NAME, "")),
        state=state,
        start_ns=times[0],
        trace_id=trace_id,
        span_id=span_id,
        end_ns=times[1],
        pipeline=_text(attributes.get(A.CICD_PIPELINE_NAME)),
        version=_text(attributes.get(A.MLOTEL_COMPONENT_VERSION)),
        parent_span_id=_text(parent) or None,
        service=_text(attributes.get(A.SERVICE_NAME)),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        params=params,
        metrics=metrics,
        tags=tags,
        git={key: attributes[name] for key, name in _GIT.items() if name in attributes},
        error=_error(attributes, end, state),
        dependencies=dependencies,
        attributes=attributes,
    )


def head_of(run: Run, reads: int, writes: int) -> RunHead:
    """What a list shows of a run, which read and wrote so many artifacts."""
    return RunHead(
        run.run_id, run.component, run.state, run.start_ns, run.end_ns, run.pipeline, run.version, reads, writes
    )


def head_of_span(span: Span, *, run_id: str, state: str, times: tuple[int, int], counts: tuple[int, int]) -> RunHead:
    """What a list shows of a run that has ended, from its span.

    Args:
        span: the run span.
        run_id: the run's id.
        state: the run's state.
        times: start and end, nanoseconds since the epoch.
        counts: how many artifacts it read and wrote.
    """
    said = decode_attributes([each for each in span.attributes or () if each.key in _OF_HEADS]).get
    name = str(said(A.MLOTEL_COMPONENT_NAME, ""))
    pipeline, version = _text(said(A.CICD_PIPELINE_NAME)), _text(said(A.MLOTEL_COMPONENT_VERSION))
    return RunHead(run_id, name, state, *times, pipeline, version, *counts)


def artifact_of(span: Span) -> Artifact:
    """An artifact from its I/O span."""
    # A walk makes thousands of them. A dictionary of the attributes, and a look-up for each field, would take as long
    # as parsing the line.
    said: list[Any] = [None] * len(_OF_ARTIFACTS)
    more = False
    for attribute in span.attributes or ():
        place, value = _OF_ARTIFACTS.get(attribute.key), attribute.value
        if place is None or value is None:
            more = more or attribute.key in _OF_DRIFT_AND_LINKS
        elif place < _FIRST_NUMBER:
            text = value.string_value
            said[place] = _text(decode_value(value)) if text is None else text
        else:
            whole = decode_value(value)
            said[place] = whole if type(whole) is int else None
    others = decode_attributes(span.attributes) if more else {}
    link, derived_from = _links(span.links, others) if span.links else (None, ())
    name, direction, run_id, kind, digest, scope, uri, schema_digest, note, profile, rows, columns, size, missing = said
    # By position, in the order of the fields: names would take a tenth of a walk's time.
    return Artifact(
        name or "",
        direction,
        span.span_id.lower(),
        run_id.lower(),
        kind,
        digest,
        scope,
        uri,
        rows,
        columns,
        size,
        schema_digest,
        note,
        int(span.start_time_unix_nano or 0),
        link,
        derived_from,
        missing,
        drift_of(others) if others else None,
        profile,
    )


def drift_of(attributes: Mapping[str, Any]) -> Drift | None:
    """What the attributes of a span say of a comparison with a reference; None where there was none."""
    alarm, features = attributes.get(A.MLOTEL_DRIFT_ALARM), attributes.get(A.MLOTEL_DRIFT_FEATURES)
    if not isinstance(alarm, bool):
        return None
    named = tuple(map(str, features)) if isinstance(features, list | tuple) else ()
    return Drift(alarm, named, _text(attributes.get(A.MLOTEL_DRIFT_REFERENCE_DIGEST)))


def entries_of(record: LogRecord) -> list[Mapping[str, Any]]:
    """The entries of a manifest record; ValueError or TypeError where its body is not a list of them."""
    return _entries(str(decode_value(record.body) if record.body else None))


@lru_cache(maxsize=8)  # each entry is asked for on its own
def _entries(body: str) -> list[Mapping[str, Any]]:
    if len(body) > _LONGEST_MANIFEST:
        raise ValueError("longer than any manifest")
    entries = decode(body)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise TypeError("not a manifest")
    return entries


def first_of(attributes: Mapping[str, Any]) -> int:
    """The position, counted from 0, of the first entry of a manifest record: long manifests come in parts."""
    said = attributes.get(A.MLOTEL_ARTIFACT_MANIFEST_FIRST, 0)
    if not isinstance(said, int) or said < 0:
        raise ValueError("not a position")
    return said


def entry_of(record: LogRecord, number: int) -> Artifact:
    """The artifact of entry `number` of a manifest, counted from 1, from the record that lists it."""
    attributes = decode_attributes(record.attributes)
    entry = entries_of(record)[number - 1 - first_of(attributes)]
    return Artifact(
        name=str(entry.get("name", "")),
        direction=str(attributes.get(A.MLOTEL_IO_DIRECTION, "input")),
        span_id=record.span_id.lower(),
        run_id=attributes[A.MLOTEL_RUN_ID].lower(),
        digest=_text(entry.get("digest")),
        uri=_text(entry.get("uri")),
        size=_number(entry.get("size")),
        time_ns=int(record.time_unix_nano or 0),
    )


def dependencies_of(links: Iterable[SpanLink], span: Mapping[str, Any]) -> tuple[Link, ...]:
    """The links of a run's span to runs that it was said to depend on.

    Args:
        links: the links of the span.
        span: the span's attributes, which say what a backend that drops those of links does not.
    """
    found = []
    for link in links:
        kind = decode_attributes(link.attributes).get(A.MLOTEL_LINK_TYPE) or span.get(A.MLOTEL_LINK_TYPE)
        if kind == _DEPENDS_ON:
            found.append(Link(link.trace_id.lower(), link.span_id.lower(), _DEPENDS_ON))
    return tuple(found)


def annotation_of(record: LogRecord) -> Annotation:
    """A flag, a note or a label from its log record. Raises ValueError if it speaks of nothing."""
    attributes = decode_attributes(record.attributes)
    kind = str(record.event_name).removeprefix("mlotel.")
    label, run_id = _text(attributes.get(A.MLOTEL_LABEL)), _text(attributes.get(A.MLOTEL_RUN_ID))
    name, digest = _text(attributes.get(A.MLOTEL_ARTIFACT_NAME)), _text(attributes.get(A.MLOTEL_ARTIFACT_DIGEST))
    key = _text(attributes.get(A.MLOTEL_RECORD_KEY_HASH))
    target: str | None
    if kind in ("retract", "restore"):
        target = label
    elif key:
        target = f"record:{key}"
    elif digest or name:
        target = digest or record.span_id.lower()
    else:
        target = run_id and run_id.lower()
    if not target:
        raise ValueError(f"a {kind} of nothing")
    deadline = attributes.get(A.MLOTEL_RETRACT_DEADLINE)
    return Annotation(
        kind=kind,
        target=target,
        time_ns=time_of(record),
        text=str((record.body and decode_value(record.body)) or ""),
        label=label,
        author=_text(attributes.get(A.MLOTEL_ANNOTATION_AUTHOR)),
        deadline_ns=_number(deadline),
        run_id=run_id and run_id.lower(),
        artifact_name=name,
    )


def prediction_of_span(span: Span) -> Prediction | None:
    """The keyed prediction that a run's span, or a span of its own below that, tells of; None of another span."""
    attributes = decode_attributes(span.attributes)
    of_run = A.MLOTEL_COMPONENT_NAME in attributes
    return prediction_of(
        attributes,
        trace_id=span.trace_id.lower(),
        span_id=(span.span_id if of_run else span.parent_span_id or "").lower(),
        time_ns=int(span.start_time_unix_nano or 0),
    )


def _links(links: Iterable[SpanLink], span: Mapping[str, Any]) -> tuple[Link | None, tuple[str, ...]]:
    """The link to the producer, and the spans that the artifact is derived from.

    A backend may drop the attributes of links, so what a link does not say is taken from the span.
    """
    producer: Link | None = None
    derived_from = []
    for link in links:
        attributes = decode_attributes(link.attributes)
        kind = str(attributes.get(A.MLOTEL_LINK_TYPE) or span.get(A.MLOTEL_LINK_TYPE) or "consumes")
        if kind == "derived_from":
            derived_from.append(link.span_id.lower())
        elif producer is None and kind == "consumes":
            resolved_by = attributes.get(A.MLOTEL_LINK_RESOLVED_BY) or span.get(A.MLOTEL_LINK_RESOLVED_BY)
            producer = Link(link.trace_id.lower(), link.span_id.lower(), kind, _text(resolved_by))
    return producer, tuple(derived_from)


def _error(attributes: Mapping[str, Any], end: Item | None, state: str) -> dict[str, str] | None:
    kind = _text(attributes.get(A.ERROR_TYPE))
    message = ""
    if end is not None and end.span is not None and end.span.status is not None:
        message = end.span.status.message or ""
    message = message or str(attributes.get(A.EXCEPTION_MESSAGE) or "")
    if kind is None and (state != "failed" or not message):
        return None
    error = {} if kind is None else {"type": kind}
    if kind is not None:
        # The description reads "Type: message"; the type may be written with or without its module.
        for name in (kind, kind.rpartition(".")[2]):
            if message == name:
                message = ""
            message = message.removeprefix(f"{name}: ")
    if message:
        error["message"] = message
    return error


def _named_by_user(attributes: Mapping[str, Any]) -> tuple[dict[str, Scalar], dict[str, float], dict[str, str]]:
    """Parameters, metrics and tags, by the names that the user gave them."""
    params: dict[str, Scalar] = {}
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    for key, value in attributes.items():
        if not key.startswith(_USER):  # most are not: one look is cheaper than three
            continue
        if key.startswith(_PARAM):
            params[key[len(_PARAM) :]] = value
        elif key.startswith(_TAG):
            tags[key[len(_TAG) :]] = str(value)
        elif _is_number(value):
            metrics[key[len(_METRIC) :]] = float(value)
    return params, metrics, tags


def time_of(record: LogRecord) -> int:
    """When a record was made, or else seen, nanoseconds since the epoch. Raises ValueError where it says neither."""
    said = record.time_unix_nano or record.observed_time_unix_nano
    if said is None:
        raise ValueError("a record of no time")
    return int(said)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
