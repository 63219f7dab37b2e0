"""Flags, notes, labels and retractions: what people say of runs, artifacts and predictions after the fact.

Each is a log record in the store, and an OpenTelemetry log where a collector or the application's logger is set. It is
correlated with the span that it is about: a run's, or the one that read or wrote the artifact.

    from mlotel import annotations

    annotations.flag("out/scores.parquet", why="customers complain")
    annotations.label("name:raw", "customer-17")
    annotations.retract("customer-17", why="consent withdrawn")

Throughout, `what` is a reference as `mlotel lineage` takes it (a run id, a digest, a path, a name, ``record:KEY``), a
`Run` or `Artifact` read from a store, or a run that is still going. `store` is an open store or the path of one; by
default it is the one that runs of this process go to. `author` is who says it: by default what ``MLOTEL_AUTHOR`` says,
and else nobody is named; it is taken neither from git nor from the operating system.
"""

from __future__ import annotations

from mlotel.annotation_documents import annotation_document, labels_document, review_document, touched_document
from mlotel.annotations._deadlines import parse_deadline
from mlotel.annotations._saying import (
    DEADLINE,
    MOST_TEXT,
    flag,
    label,
    note,
    restore,
    retract,
    unflag,
    unlabel,
)
from mlotel.annotations._writing import AUTHOR_VARIABLE

__all__ = [
    "AUTHOR_VARIABLE",
    "DEADLINE",
    "MOST_TEXT",
    "annotation_document",
    "flag",
    "label",
    "labels_document",
    "note",
    "parse_deadline",
    "restore",
    "retract",
    "review_document",
    "touched_document",
    "unflag",
    "unlabel",
]
