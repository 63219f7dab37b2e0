"""Flags, notes, labels and reviews as plain values that `schemas/*.schema.json` describe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from mlotel.labels import Bearing, Touched
from mlotel.lineage import node_id
from mlotel.model import Annotation, Artifact, Run
from mlotel.review import Review, Standing
from mlotel.store.times import timestamp

__all__ = [
    "annotation_document",
    "known_labels_document",
    "labels_document",
    "review_document",
    "touched_document",
]


def annotation_document(said: Annotation) -> dict[str, Any]:
    """Return a note, a flag or a label as `annotation.schema.json` describes it."""
    return {
        "kind": said.kind,
        "target": said.target,
        "time": timestamp(said.time_ns),
        "text": said.text,
        "label": said.label,
        "author": said.author,
        "deadline": None if said.deadline_ns is None else timestamp(said.deadline_ns),
        "run_id": said.run_id,
        "artifact": said.artifact_name,
    }


def review_document(found: Review) -> dict[str, Any]:
    """Return a review as `review.schema.json` describes it."""
    return {
        "flags": [annotation_document(each) for each in found.flags],
        "unplaced": [annotation_document(each) for each in found.unplaced],
        "kinds": [{"what": kind.what, "component": kind.component, "type": kind.type or None} for kind in found.kinds],
        "flagged": found.flagged,
        "unflagged": found.unflagged,
        "suspected": found.suspected,
        "runs": [{**_run_document(each.run), **_standing_document(each.standing)} for each in found.suspects],
        "shared": [
            {
                "component": each.component,
                "name": each.name,
                "value": each.value,
                "runs": each.runs,
                **_standing_document(each.standing),
            }
            for each in found.traits
        ],
        "truncated": found.truncated,
        "partial": found.partial,
    }


def known_labels_document(given: Iterable[Annotation], retracted: Mapping[str, Annotation]) -> list[dict[str, Any]]:
    """Return every label, how many things were given it, and whether it is retracted, in the order of names."""
    counts = Counter(each.label for each in given if each.label is not None)
    return [
        {
            "label": label,
            "given": counts[label],
            "retracted": annotation_document(retracted[label]) if label in retracted else None,
        }
        for label in sorted(counts.keys() | retracted.keys())
    ]


def labels_document(borne: Iterable[Bearing]) -> list[dict[str, Any]]:
    """Return the labels of one thing as `labels.schema.json` describes them."""
    return [
        {
            "label": each.label,
            "inherited": each.inherited,
            "source": _source_document(each.source),
            "given": annotation_document(each.said),
            "retracted": None if each.retraction is None else annotation_document(each.retraction),
        }
        for each in borne
    ]


def touched_document(found: Touched) -> dict[str, Any]:
    """Return everything that bears a label as `touched.schema.json` describes it."""
    return {
        "label": found.label,
        "retracted": None if found.retraction is None else annotation_document(found.retraction),
        "given": [annotation_document(each) for each in found.given],
        "bearers": _artifacts(found.bearers),
        "artifacts": _artifacts(found.artifacts),
        "models": [node_id(each) for each in found.models],
        "runs": [_run_document(each) for each in found.runs],
        "predictions": found.predictions,
        "partial": found.partial,
    }


def _standing_document(standing: Standing) -> dict[str, Any]:
    ratio = standing.likelihood_ratio
    return {
        "rank": standing.rank,
        "flagged": standing.flagged,
        "unflagged": standing.unflagged,
        "coverage": standing.coverage,
        "likelihood_ratio": ratio if ratio is not None and isfinite(ratio) else None,
        "p_value": standing.p_value,
    }


def _run_document(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "component": run.component,
        "version": run.version,
        "state": run.state,
        "start": timestamp(run.start_ns),
    }


def _artifacts(artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    return [
        {"id": node_id(each), "name": each.name, "type": each.type, "run_id": each.run_id, "direction": each.direction}
        for each in artifacts
    ]


def _source_document(source: Artifact | Run) -> dict[str, Any]:
    if isinstance(source, Run):
        return {"kind": "run", "id": source.run_id, "name": source.component}
    return {"kind": "artifact", "id": node_id(source), "name": source.name}
