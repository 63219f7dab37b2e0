"""Which labels a thing bears: its own, and those of everything that it was made from.

A label on content is on whatever has that content; a label on a run is on everything that the run wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlotel.lineage import Root, node_id, upstream
from mlotel.model import Annotation, Artifact, Lineage, RetractedLabel, Run
from mlotel.standing import labels, retractions
from mlotel.store import Store

__all__ = ["Bearing", "Retractions", "labels_of"]


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
    return _borne(upstream(store, root), root, labels(store), retractions(store))


def _borne(
    behind: Lineage, root: Root, given: Iterable[Annotation], retracted: Mapping[str, Annotation]
) -> tuple[Bearing, ...]:
    sources = _sources(behind)
    own = {behind.root, *(run.run_id for run in (root if isinstance(root, tuple) else ()))}
    found = [
        Bearing(said.label, said, source, _name(source) not in own, retracted.get(said.label))
        for said in given
        if said.label is not None and (source := sources.get(said.target)) is not None
    ]
    return tuple(sorted(found, key=lambda each: (each.inherited, each.label, each.said.target)))


def _name(source: Artifact | Run) -> str:
    return source.run_id if isinstance(source, Run) else node_id(source)


def _sources(behind: Lineage) -> dict[str, Artifact | Run]:
    """Return what a label may be on, by what names it in annotations.

    What has no identity of its own is named by the span that wrote it or by one that read it; in a lineage it stands
    once, as it was written.
    """
    sources: dict[str, Artifact | Run] = {run.run_id: run for run in behind.runs}
    sources |= {node_id(each): each for each in behind.artifacts}
    reads = {(edge.source, edge.target) for edge in behind.edges if edge.kind == "read"}
    for run in behind.runs:
        for read in run.inputs:
            if node_id(read) == read.span_id and read.link is not None and (read.link.span_id, run.run_id) in reads:
                sources[read.span_id] = sources[read.link.span_id]
    return sources


class Retractions:
    """Which artifacts bear a retracted label, for questions that are asked of many artifacts.

    What was said is read when this is made; what artifacts are made from, at each question. It is false where nothing
    was retracted that anything bears.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._retracted = retractions(store)
        self._given: defaultdict[str, set[str]] = defaultdict(set)
        if self._retracted:
            for said in labels(store):
                if said.label in self._retracted:
                    self._given[said.target].add(said.label)

    def __bool__(self) -> bool:
        return bool(self._given)

    def of(self, artifact: Artifact) -> tuple[RetractedLabel, ...]:
        """Return the retracted labels of an artifact, those first whose time is up first. Raises StoreError."""
        if not self._given:
            return ()
        sources = _sources(upstream(self._store, artifact))
        found: dict[str, RetractedLabel] = {}
        for target in sources.keys() & self._given.keys():
            source = sources[target]
            name = f"run {source.run_id[:8]} of {source.component}" if isinstance(source, Run) else source.name
            for label in self._given[target]:
                found[label] = RetractedLabel(label, name, self._retracted[label].deadline_ns)
        return tuple(
            sorted(found.values(), key=lambda each: (each.deadline_ns is None, each.deadline_ns or 0, each.label))
        )
