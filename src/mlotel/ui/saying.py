"""What the API writes: flags, notes and labels, as the command line does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlotel.annotations as said
from mlotel.annotation_documents import annotation_document
from mlotel.model import Annotation
from mlotel.ui.reading import Answering, Reading

__all__ = ["flag", "label", "note", "restore", "retract", "unflag", "unlabel"]

Values = Mapping[str, Any]


def flag(_: Reading, answering: Answering, values: Values) -> object:
    """Flag an output, all outputs of a run, or a prediction."""
    return _documents(said.flag(values["what"], values["why"], **_place(answering, values)))


def unflag(_: Reading, answering: Answering, values: Values) -> object:
    """Take a flag back."""
    return _documents(said.unflag(values["what"], values["why"], **_place(answering, values)))


def note(_: Reading, answering: Answering, values: Values) -> object:
    """Write a note."""
    return _documents(said.note(values["what"], values["text"], **_place(answering, values)))


def label(_: Reading, answering: Answering, values: Values) -> object:
    """Give a label."""
    return _documents(_labelling(said.label, answering, values))


def unlabel(_: Reading, answering: Answering, values: Values) -> object:
    """Take a label back."""
    return _documents(_labelling(said.unlabel, answering, values))


def retract(_: Reading, answering: Answering, values: Values) -> object:
    """Retract a label."""
    place = _place(answering, values)
    return _documents([said.retract(values["label"], values["why"], deadline=values["deadline"], **place)])


def restore(_: Reading, answering: Answering, values: Values) -> object:
    """Take the retraction of a label back."""
    return _documents([said.restore(values["label"], values["why"], **_place(answering, values))])


def _labelling(
    write: Callable[..., Sequence[Annotation]], answering: Answering, values: Values
) -> Sequence[Annotation]:
    return write(values["what"], values["label"], values["why"], **_place(answering, values))


def _place(answering: Answering, values: Values) -> dict[str, Any]:
    return {"store": answering.store, "author": values["author"]}


def _documents(written: Sequence[Annotation]) -> list[dict[str, Any]]:
    return [annotation_document(each) for each in written]
