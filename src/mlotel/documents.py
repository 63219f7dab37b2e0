"""What `--format json` prints and the web view's API answers, as plain values that `schemas/*.schema.json` describe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mlotel._json import UNDECODABLE
from mlotel.lineage import ComponentSummary, Record, SubWorkflow, component_tags, node_id, run_tags
from mlotel.model import RUN_STATES, Artifact, Drift, Lineage, Link, Run, Staleness
from mlotel.semconv import attributes as A
from mlotel.store.times import timestamp
from mlotel.store.values import drift_of

__all__ = [
    "component_document",
    "io_document",
    "lineage_document",
    "predictions",
    "record_document",
    "run_document",
    "stale_document",
    "tags_document",
]

_COLUMN: Mapping[str, Any] = {
    "column": str,
    "type": str,
    **dict.fromkeys(("missing", "missing_ratio", "distinct", "mean", "std", "skewness", "kurtosis"), float),
    **dict.fromkeys(("min", "p5", "p50", "p95", "max"), float),
}

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


def run_document(run: Run, stale: Iterable[Staleness] | None = None) -> dict[str, Any]:
    """Return a run, and why inputs of it are stale where that was judged, as `run.schema.json` describes it."""
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
        "inputs": [io_document(each) for each in run.inputs],
        "outputs": [io_document(each) for each in run.outputs],
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "tags": dict(run.tags),
        "predictions": predictions(run),
        "drift": None if (drift := drift_of(run.attributes)) is None else drift_document(drift),
        "git": {key: run.git.get(key) for key in ("commit", "branch", "dirty", "repository")},
        "error": None if run.error is None else {key: run.error.get(key, "") for key in ("type", "message")},
        "stale": None if stale is None else [stale_document(each) for each in stale],
    }


def stale_document(stale: Staleness) -> dict[str, Any]:
    """Return why an input is stale, as the schema of a run describes it."""
    limit = stale.stale_after_ns
    return {
        "artifact": stale.artifact,
        "reason": stale.reason,
        "when": stale.when,
        "component": stale.component,
        "run_id": stale.writer_id,
        "written": timestamp(stale.written_ns),
        "age_s": stale.age_ns / 1e9,
        "stale_after_s": None if limit is None else limit / 1e9,
        "fresher_run_id": stale.fresher_id,
        "fresher_start": None if stale.fresher_ns is None else timestamp(stale.fresher_ns),
    }


def predictions(run: Run) -> dict[str, Any] | None:
    """Return the statistics of a run's predictions that its span carries, or None where it made none."""
    found: dict[str, Any] = {key: run.attributes[name] for key, name in _STATISTICS.items() if name in run.attributes}
    names = run.attributes.get(A.MLOTEL_PREDICTION_CLASS_NAMES)
    counts = run.attributes.get(A.MLOTEL_PREDICTION_CLASS_COUNTS)
    if isinstance(names, list | tuple) and isinstance(counts, list | tuple):
        found["classes"] = {str(name): count for name, count in zip(names, counts, strict=False)}
    return found or None


def record_document(record: Record) -> dict[str, Any]:
    """Return a prediction for one record as ``$defs/record`` of `run.schema.json` describes it."""
    made = record.prediction
    return {
        "key": record.key,
        "key_hash": made.key_hash,
        "value": made.value,
        "probability": made.probability,
        "variant": made.variant,
        "time": timestamp(made.time_ns),
        "model": {"name": made.model, "version": made.model_version, "digest": made.model_digest},
        "run_id": record.run.run_id,
        "predictions": record.count,
    }


def lineage_document(
    lineage: Lineage,
    workflows: Iterable[SubWorkflow] = (),
    stale: Mapping[str, Iterable[Staleness]] | None = None,
) -> dict[str, Any]:
    """Return a lineage, the workflows that its runs started, and why inputs of them are stale where that was judged.

    `lineage.schema.json` describes it; `stale` is by run id.
    """
    return {
        "root": lineage.root,
        "runs": [run_document(run, None if stale is None else stale.get(run.run_id, ())) for run in lineage.runs],
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


def component_document(component: ComponentSummary) -> dict[str, Any]:
    """Return a component as one item of `components.schema.json` describes it."""
    latest = component.latest
    return {
        "component": component.name,
        "description": component.description,
        "owner": component.owner,
        "tags": list(component.tags),
        "runs": component.runs,
        "states": {state: component.states.get(state, 0) for state in RUN_STATES},
        "median_duration_s": component.median_duration_s,
        "last_run": {
            "run_id": latest.run_id,
            "state": latest.state,
            "start": timestamp(latest.start_ns),
            "version": latest.version,
        },
    }


def tags_document(found: Iterable[ComponentSummary], runs: Sequence[Run]) -> dict[str, Any]:
    """Return the tags of components and of runs as `tags.schema.json` describes them."""
    return {
        "component_tags": [
            {"tag": tag, "components": list(components)} for tag, components in component_tags(found).items()
        ],
        "run_tags": [
            {"key": tag.key, "value": tag.value, "runs": tag.runs, "components": list(tag.components)}
            for tag in run_tags(runs)
        ],
        "runs_read": len(runs),
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
        "missing": artifact.missing,
        "size": artifact.size,
        "schema_digest": artifact.schema_digest,
        "note": artifact.note,
        "drift": None if artifact.drift is None else drift_document(artifact.drift),
        "profile": None if artifact.profile is None else profile_document(artifact.profile),
    }


def profile_document(profile: str) -> list[dict[str, Any]] | None:
    """Return the statistics of columns as ``$defs/profile`` of `run.schema.json` describes them; None of other JSON."""
    try:
        found = msgspec.json.decode(profile)
    except UNDECODABLE:  # cut by a backend, or written by somebody else
        return None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        return None
    columns = ({key: each[key] for key in _COLUMN if isinstance(each.get(key), _COLUMN[key])} for each in found)
    return [each for each in columns if {"column", "type"} <= each.keys()]


def drift_document(drift: Drift) -> dict[str, Any]:
    """Return what a comparison with a reference found as ``$defs/drift`` of `run.schema.json` describes it."""
    return {"alarm": drift.alarm, "features": list(drift.features), "reference_digest": drift.reference_digest}


def io_document(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as a run read or wrote it, as the schema of a run describes it."""
    return {**_artifact_document(artifact), "link": None if artifact.link is None else _link_document(artifact.link)}


def _link_document(link: Link) -> dict[str, Any]:
    return {
        "trace_id": link.trace_id,
        "span_id": link.span_id,
        "type": link.type,
        "resolved_by": link.resolved_by,
    }
