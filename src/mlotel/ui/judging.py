"""What the API answers of explanations, differences, flags, labels and notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlotel.annotation_documents import (
    annotation_document,
    known_labels_document,
    labels_document,
    review_document,
    touched_document,
)
from mlotel.errors import RunNotFoundError, nearest
from mlotel.inspection import difference, explain
from mlotel.inspection_documents import difference_document, explanation_document
from mlotel.labels import labels_of, touched_by
from mlotel.lineage import resolve, resolve_run
from mlotel.review import review
from mlotel.standing import labels, retractions, said_of
from mlotel.ui.answers import time_range
from mlotel.ui.reading import Answering, Reading

__all__ = ["borne", "compare", "explained", "known_labels", "notes", "reviewed", "touched"]

Values = Mapping[str, Any]


def explained(_: Reading, answering: Answering, values: Values) -> object:
    """Return what, when, where and how a run was."""
    return explanation_document(explain(answering.store, resolve_run(answering.store, values["run"])))


def compare(_: Reading, answering: Answering, values: Values) -> object:
    """Return what differs between two runs."""
    before, after = (resolve_run(answering.store, values[name]) for name in ("before", "after"))
    return difference_document(difference(before, after))


def reviewed(_: Reading, answering: Answering, values: Values) -> object:
    """Return the runs behind what is flagged, the most suspect first."""
    since_ns, until_ns = time_range(values)
    return review_document(review(answering.store, since_ns=since_ns, until_ns=until_ns, limit=values["limit"]))


def known_labels(_: Reading, answering: Answering, __: Values) -> object:
    """Return every label."""
    return known_labels_document(labels(answering.store), retractions(answering.store))


def touched(_: Reading, answering: Answering, values: Values) -> object:
    """Return everything that bears a label."""
    label = values["label"]
    known = {each["label"] for each in known_labels_document(labels(answering.store), retractions(answering.store))}
    if label not in known:
        raise RunNotFoundError(f"nothing was given the label {label!r}{nearest(label, sorted(known))}")
    return touched_document(touched_by(answering.store, label))


def borne(_: Reading, answering: Answering, values: Values) -> object:
    """Return the labels that something bears, by itself or by what it was made from."""
    return labels_document(labels_of(answering.store, resolve(answering.store, values["what"])))


def notes(_: Reading, answering: Answering, values: Values) -> object:
    """Return the notes about something or, where nothing is named, about everything; latest first."""
    store, what = answering.store, values["what"]
    said = store.annotations(kind="note") if what is None else said_of(store, resolve(store, what))
    return [annotation_document(each) for each in said if each.kind == "note"][: values["limit"]]
