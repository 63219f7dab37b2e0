"""What still holds of all that was said: of each thing the latest word counts."""

from __future__ import annotations

from collections.abc import Iterable

from mlotel.lineage import RECORD, Root, node_id
from mlotel.model import Annotation, Artifact, Run
from mlotel.store import Store

__all__ = ["flags", "labels", "retractions", "said_of", "standing"]

_TAKEN_BACK_BY = {"flag": "unflag", "label": "unlabel", "retract": "restore"}

_Subject = tuple[str, str | None]


def flags(store: Store) -> tuple[Annotation, ...]:
    """Return the flags that nobody has taken back, latest first; of one thing the latest alone.

    A key may have been predicted for by several runs: each of its flagged predictions has a flag of its own.
    """
    return standing(_said(store, "flag"))


def labels(store: Store) -> tuple[Annotation, ...]:
    """Return the labels that artifacts and runs bear themselves, latest first."""
    return standing(_said(store, "label"))


def retractions(store: Store) -> dict[str, Annotation]:
    """Return the retractions that hold, by label; the latest one decides the deadline."""
    return {each.target: each for each in standing(_said(store, "retract"))}


def said_of(store: Store, root: Root) -> tuple[Annotation, ...]:
    """Return the notes about a thing, and the flags and labels of its own that hold, latest first.

    Of a run, what it read, wrote and predicted counts too.
    """
    things = root if isinstance(root, tuple) else (root,)
    runs = {each.run_id for each in things if isinstance(each, Run)}
    found: list[Annotation] = []
    for target in dict.fromkeys(target for each in things for target in _targets(each)):
        said = store.annotations(target=target)
        found += (each for each in said if each.kind == "note")
        for kind, taken_back in _TAKEN_BACK_BY.items():
            found += standing(each for each in said if each.kind in (kind, taken_back))
    if runs:
        of_records = (*store.annotations(kind="note"), *flags(store))
        found += (each for each in of_records if each.target.startswith(RECORD) and each.run_id in runs)
    return tuple(sorted(found, key=lambda each: -each.time_ns))


def standing(said: Iterable[Annotation]) -> tuple[Annotation, ...]:
    """Return those of flags, labels or retractions that hold, latest first.

    Of each thing the latest word counts. Where something was said and taken back at the same nanosecond, it holds:
    a flag too many is seen, one too few is not.

    Args:
        said: one kind and what takes it back, in any order.
    """
    latest: dict[_Subject, Annotation] = {}
    for each in said:
        known = latest.get(_subject(each))
        if known is None or _weight(each) > _weight(known):
            latest[_subject(each)] = each
    held = [each for each in latest.values() if each.kind in _TAKEN_BACK_BY]
    return tuple(sorted(held, key=lambda each: (-each.time_ns, each.target, each.label or "")))


def _targets(thing: Run | Artifact) -> list[str]:
    if isinstance(thing, Run):
        return [thing.run_id, *map(node_id, (*thing.inputs, *thing.outputs))]
    return [node_id(thing)]


def _said(store: Store, kind: str) -> Iterable[Annotation]:
    yield from store.annotations(kind=kind)
    yield from store.annotations(kind=_TAKEN_BACK_BY[kind])


def _subject(said: Annotation) -> _Subject:
    if said.kind in ("label", "unlabel"):
        return said.target, said.label
    return said.target, said.run_id if said.target.startswith(RECORD) else None


def _weight(said: Annotation) -> tuple[int, bool]:
    return said.time_ns, said.kind in _TAKEN_BACK_BY
