"""What `mlotel explain` and `mlotel diff` print as JSON: `schemas/explain.schema.json` and `diff.schema.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlotel.documents import io_document, predictions, stale_document
from mlotel.inspection import Change, Difference, Explanation, Pair, Source
from mlotel.model import Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.store.times import timestamp

__all__ = ["difference_document", "explanation_document"]

_INT64 = range(-(2**63), 2**63)


def explanation_document(explained: Explanation) -> dict[str, Any]:
    """Return what, when, where and how a run was, as `explain.schema.json` describes it."""
    run, attempts = explained.run, explained.attempts
    return {
        "run_id": run.run_id,
        "what": {
            "component": run.component,
            "version": run.version,
            "pipeline": run.pipeline,
            "state": run.state,
            "error": None if run.error is None else {key: run.error.get(key, "") for key in ("type", "message")},
            **_plain_values(explained.what),
            "inputs": [io_document(each) for each in run.inputs],
            "sources": [_source(each) for each in explained.sources],
            "outputs": [io_document(each) for each in run.outputs],
            "predictions": predictions(run),
            "metrics": dict(run.metrics),
            "tags": dict(run.tags),
            "stale": [stale_document(each) for each in explained.stale],
        },
        "when": {
            "start": timestamp(run.start_ns),
            "end": None if run.end_ns is None else timestamp(run.end_ns),
            "duration_s": run.duration_s,
            "queue_s": explained.queue_s,
            "cpu_time_s": _plain(run.attributes.get(A.MLOTEL_RUN_CPU_TIME)),
            "attempt": attempts.number,
            "attempt_judged_by": attempts.judged_by,
            "earlier_attempts": [_brief(each) for each in attempts.earlier],
            "trace_id": run.trace_id,
            "span_id": run.span_id,
            "parent_span_id": run.parent_span_id,
            "parent": None if explained.parent is None else _brief(explained.parent),
            "children": [_brief(each) for each in explained.children],
        },
        "where": _plain_values(explained.where),
        "how": {
            **_plain_values(explained.how),
            "params": _plain_values(run.params),
            "trigger": _plain_values(explained.trigger),
        },
    }


def difference_document(found: Difference) -> dict[str, Any]:
    """Return what differs between two runs, as `diff.schema.json` describes it."""
    return {
        "before": _brief(found.before),
        "after": _brief(found.after),
        "summary": found.verdict.text,
        "causes": [{"name": each.name, "state": each.state, "text": each.text} for each in found.verdict.causes],
        "outcome": _changes(found.outcome),
        "code": _changes(found.code),
        "packages": _changes(found.packages),
        "params": _changes(found.params),
        "inputs": [_pair(each) for each in found.inputs],
        "outputs": [_pair(each) for each in found.outputs],
        "schemas": _changes(found.schemas),
        "statistics": _changes(found.statistics),
        "predictions": _changes(found.predictions),
        "metrics": _changes(found.metrics),
        "usage": _changes(found.usage),
        "environment": _changes(found.environment),
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "artifact": source.read.name,
        "run_id": source.run.run_id,
        "component": source.run.component,
        "written": timestamp(source.written_ns),
        "resolved_by": source.resolved_by,
    }


def _brief(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "component": run.component,
        "state": run.state,
        "start": timestamp(run.start_ns),
        "duration_s": run.duration_s,
    }


def _changes(changes: Iterable[Change]) -> list[dict[str, Any]]:
    return [
        {
            "key": each.key,
            "before": _plain(each.before),
            "after": _plain(each.after),
            "absolute": each.absolute,
            "relative": each.relative,
        }
        for each in changes
    ]


def _pair(pair: Pair) -> dict[str, Any]:
    return {"name": pair.name, "kind": pair.kind, "before": _side(pair.before), "after": _side(pair.after)}


def _side(artifact: Artifact | None) -> dict[str, Any] | None:
    return None if artifact is None else io_document(artifact)


def _plain_values(values: Mapping[str, object]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: object) -> Any:
    """Return an attribute's value as JSON has it; an integer past 64 bits, and what JSON lacks, as text."""
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return value if value in _INT64 else str(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value)
