"""Which labels a thing bears: its own, and those of everything that it was made from.

A label on content is on whatever has that content; a label on a run is on everything that the run wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlotel.lineage import Records, Root, as_written, node_id, upstream
from mlotel.model import Annotation, Artifact, Lineage, RetractedLabel, Run
from mlotel.standing import labels, retractions
from mlotel.store import Store

__all__ = ["Bearing", "Retractions", "labelled_in", "labels_of"]


@dataclass(frozen=True, slots=True)
class Bearing:
    """A label that something bears: `said` is how it was given, `source` the artifact or run that bears it itself.

    It is `inherited` where that is another one. `retraction` is None where the label has not been retracted.
    """

    label: str
    said: Annotation
    source: Artifact | Run
    inherited: bool
    retraction: Annotation | None


def labels_of(store: Store, root: Root) -> tuple[Bearing, ...]:
    """Return the labels of a run, an artifact or a trace; its own first, each then in the order of names.

    What an output names in ``derived_from`` is what it inherits from; other inputs of its run do not count.

    Raises:
        StoreError: the store cannot be read.
    """
    return _borne(store, upstream(store, root), root, labels(store), retractions(store))


def _borne(
    store: Store, behind: Lineage, root: Root, given: Collection[Annotation], retracted: Mapping[str, Annotation]
) -> tuple[Bearing, ...]:
    sources = _sources(store, behind, given)
    own = {behind.root, *(run.run_id for run in (root if isinstance(root, tuple) else ()))}
    found = [
        Bearing(said.label, said, source, _name(source) not in own, retracted.get(said.label))
        for said in given
        if said.label is not None and (source := sources.get(said.target)) is not None
    ]
    return tuple(sorted(found, key=lambda each: (each.inherited, each.label, each.said.target)))


def _name(source: Artifact | Run) -> str:
    return source.run_id if isinstance(source, Run) else node_id(source)


def _sources(store: Store, behind: Lineage, given: Iterable[Annotation]) -> dict[str, Artifact | Run]:
    """Return what a label may be on, by what names it in annotations.

    What has no identity of its own is named by the span that wrote it or by one that read it; in a lineage it stands
    once, as it was written.
    """
    sources: dict[str, Artifact | Run] = {run.run_id: run for run in behind.runs}
    sources |= {node_id(each): each for each in behind.artifacts}
    if any(node_id(each) == each.span_id for each in behind.artifacts):
        records = Records(store)
        for said in given:
            if said.target not in sources and said.artifact_name is not None and ":" not in said.target:
                for read in labelled_in(records, said):
                    written = sources.get(node_id(as_written(records, read)))
                    if written is not None:
                        sources[said.target] = written
    return sources


def labelled_in(records: Records, said: Annotation) -> Iterator[Artifact]:
    """The read or write of a run that a label on what has no identity of its own is on."""
    run = records.run(said.run_id) if said.run_id else None
    for each in (*run.inputs, *run.outputs) if run is not None else ():
        yield from (part for part in (each, *records.entries(each)) if node_id(part) == said.target)


class Retractions:
    """Which artifacts bear a retracted label, for questions that are asked of many artifacts.

    What was said is read when this is made; what artifacts are made from, at each question. It is false where nothing
    was retracted that anything bears.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._retracted = retractions(store)
        given = labels(store) if self._retracted else ()
        self._given = [said for said in given if said.label in self._retracted]

    def __bool__(self) -> bool:
        return bool(self._given)

    def of(self, artifact: Artifact) -> tuple[RetractedLabel, ...]:
        """Return the retracted labels of an artifact, those first whose time is up first. Raises StoreError."""
        if not self._given:
            return ()
        sources = _sources(self._store, upstream(self._store, artifact), self._given)
        found: dict[str, RetractedLabel] = {}
        for said in self._given:
            source = sources.get(said.target)
            if source is not None and said.label is not None:
                name = f"run {source.run_id[:8]} of {source.component}" if isinstance(source, Run) else source.name
                found[said.label] = RetractedLabel(said.label, name, self._retracted[said.label].deadline_ns)
        return tuple(
            sorted(found.values(), key=lambda each: (each.deadline_ns is None, each.deadline_ns or 0, each.label))
        )
