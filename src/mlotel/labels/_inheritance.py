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
    sources: dict[str, Artifact | Run] = {run.run_id: run for run in behind.runs}
    sources |= {node_id(each): each for each in behind.artifacts}
    own = {behind.root, *(run.run_id for run in (root if isinstance(root, tuple) else ()))}
    found = [
        Bearing(said.label, said, sources[said.target], said.target not in own, retracted.get(said.label))
        for said in given
        if said.label is not None and said.target in sources
    ]
    return tuple(sorted(found, key=lambda each: (each.inherited, each.label, each.said.target)))


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
        behind = upstream(self._store, artifact)
        names = {run.run_id: f"run {run.run_id[:8]} of {run.component}" for run in behind.runs}
        names |= {node_id(each): each.name for each in behind.artifacts}
        found: dict[str, RetractedLabel] = {}
        for target in names.keys() & self._given.keys():
            for label in self._given[target]:
                found[label] = RetractedLabel(label, names[target], self._retracted[label].deadline_ns)
        return tuple(
            sorted(found.values(), key=lambda each: (each.deadline_ns is None, each.deadline_ns or 0, each.label))
        )
