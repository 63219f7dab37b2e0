"""What `--format json` prints and the web view's API answers, as plain values that `schemas/*.schema.json` describe."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from mlotel.lineage import SubWorkflow, node_id
from mlotel.model import Artifact, Lineage, Link, Run
from mlotel.semconv import attributes as A

__all__ = ["lineage_document", "predictions", "run_document", "timestamp"]

_EPOCH = datetime(1970, 1, 1)  # in UTC, as everything here

_STATISTICS = {
    "count": A.MLOTEL_PREDICTION_COUNT,
    "missing": A.MLOTEL_PREDICTION_MISSING,
    "mean": A.MLOTEL_PREDICTION_MEAN,
    "std": A.MLOTEL_PREDICTION_STD,
    "min": A.MLOTEL_PREDICTION_MIN,
    "max": A.MLOTEL_PREDICTION_MAX,
    "skew": A.MLOTEL_PREDICTION_SKEW,
    "kurtosis": A.MLOTEL_PREDICTION_KURTOSIS,
}


def timestamp(time_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, with microseconds (the rest is cut off) and Z."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat(timespec="microseconds") + "Z"


def run_document(run: Run) -> dict[str, Any]:
    """Return a run as `run.schema.json` describes it."""
    return {
        "run_id": run.run_id,
        "component": run.component,
        "pipeline": run.pipeline,
        "version": run.version,
        "state": run.state,
        "start": timestamp(run.start_ns),
        "end": None if run.end_ns is None else timestamp(run.end_ns),
        "duration_s": run.duration_s,
        "trace_id": run.trace_id,
        "span_id": run.span_id,
        "service": run.service,
        "inputs": [_io_document(each) for each in run.inputs],
        "outputs": [_io_document(each) for each in run.outputs],
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "tags": dict(run.tags),
        "predictions": predictions(run),
        "git": {key: run.git.get(key) for key in ("commit", "branch", "dirty", "repository")},
        "error": None if run.error is None else {key: run.error.get(key, "") for key in ("type", "message")},
    }


def predictions(run: Run) -> dict[str, Any] | None:
    """Return the statistics of a run's predictions that its span carries, or None where it made none."""
    found: dict[str, Any] = {key: run.attributes[name] for key, name in _STATISTICS.items() if name in run.attributes}
    names = run.attributes.get(A.MLOTEL_PREDICTION_CLASS_NAMES)
    counts = run.attributes.get(A.MLOTEL_PREDICTION_CLASS_COUNTS)
    if isinstance(names, list | tuple) and isinstance(counts, list | tuple):
        found["classes"] = {str(name): count for name, count in zip(names, counts, strict=False)}
    return found or None


def lineage_document(lineage: Lineage, workflows: Iterable[SubWorkflow] = ()) -> dict[str, Any]:
    """Return a lineage, and the workflows that its runs started, as `lineage.schema.json` describes it."""
    return {
        "root": lineage.root,
        "runs": [run_document(run) for run in lineage.runs],
        "artifacts": [{"id": node_id(each), **_artifact_document(each)} for each in lineage.artifacts],
        "edges": [
            {"from": edge.source, "to": edge.target, "kind": edge.kind, "resolved_by": edge.resolved_by}
            for edge in lineage.edges
        ],
        "workflows": [
            {
                "run_id": each.caller,
                "pipeline": each.pipeline,
                "trace_id": each.trace_id,
                "first_run_id": each.first,
                "states": dict(each.states),
                "more": each.more,
            }
            for each in workflows
        ],
        "partial": lineage.partial,
    }


def _artifact_document(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "type": artifact.type,
        "digest": artifact.digest,
        "scope": artifact.scope,
        "uri": artifact.uri,
        "rows": artifact.rows,
        "columns": artifact.columns,
        "size": artifact.size,
        "schema_digest": artifact.schema_digest,
        "note": artifact.note,
    }


def _io_document(artifact: Artifact) -> dict[str, Any]:
    return {**_artifact_document(artifact), "link": None if artifact.link is None else _link_document(artifact.link)}


def _link_document(link: Link) -> dict[str, Any]:
    return {
        "trace_id": link.trace_id,
        "span_id": link.span_id,
        "type": link.type,
        "resolved_by": link.resolved_by,
    }
