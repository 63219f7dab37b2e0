"""What stands behind an output: the walk over any store.

Identity decides, never a name. A read belongs to the write that its link names, unless the digests contradict it;
without such a link, to the latest write of the same digest before the read. Each run and each artifact is visited
once, so the walk takes time linear in the answer, and cycles end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mlotel.lineage._references import Root, is_empty, node_id, root_id
from mlotel.model import Artifact, Edge, Lineage, Run
from mlotel.store import Store

__all__ = ["LATEST_WRITE", "upstream"]

LATEST_WRITE = "latest_write"
"""`Edge.resolved_by` where several runs wrote the same digest and no link says which of them was read."""

_DIGEST = "digest"
_LINK = "link"


def upstream(store: Store, root: Root, *, depth: int | None = None) -> Lineage:
    """Return everything that `root` was made from.

    `depth` counts producing runs: 0 is the root itself (a run with its inputs), 1 adds the runs that wrote what the
    root is or read, None goes back to the beginning. The answer is `partial` where a link names a producer that this
    store does not hold.

    Raises:
        StoreError: the store cannot be read.
    """
    return _walk(_Backward(store), root, depth)


@dataclass(frozen=True, slots=True)
class _Far:
    """The other end of a step across an artifact: a run, and the I/O by which it touched the artifact."""

    run: Run
    instance: Artifact
    resolved_by: str | None


@dataclass(frozen=True, slots=True)
class _Crossing:
    """One artifact, as its producer wrote it where that is known, and the runs on the far side of it."""

    artifact: Artifact
    far: tuple[_Far, ...] = ()
    lost: bool = False


class _Direction(Protocol):
    """Which way a walk goes. `reads_near` says that it comes to an artifact from the run that read it."""

    reads_near: bool

    def through(self, run: Run, via: Artifact | None) -> Sequence[Artifact]:
        """What lies on the other side of a run that was entered by `via` (None: by nothing in particular)."""
        ...

    def across(self, near: Artifact) -> _Crossing:
        """What lies on the other side of an artifact that was reached as `near`."""
        ...


class _Backward:
    """From reads to the writes that they come from."""

    reads_near = True

    def __init__(self, store: Store) -> None:
        self._records = _Records(store)

    def through(self, run: Run, via: Artifact | None) -> Sequence[Artifact]:
        named = set(via.derived_from) if via else set()
        reads = [read for read in run.inputs if not named or read.span_id in named]
        return [each for read in reads for each in (read, *self._records.entries(read))]

    def across(self, near: Artifact) -> _Crossing:
        if near.direction == "output":
            run = self._records.run(near.run_id)
            return _Crossing(near, (_Far(run, near, None),) if run else (), lost=run is None)
        linked = self._linked(near)
        if linked is not None and linked.far:
            return linked
        found = self._by_digest(near)
        # The producer that the link names is not in this store: another writer of the same bytes is a good answer,
        # but not the whole one.
        return _Crossing(found.artifact, found.far, lost=found.lost or (linked is not None and linked.lost))

    def _linked(self, read: Artifact) -> _Crossing | None:
        """The producer that the read's link names; None without a link or where the digests contradict it."""
        if read.link is None:
            return None
        run = self._records.run_of_span(read.link.trace_id, read.link.span_id)
        if run is None:
            return _Crossing(read, lost=True)
        written = next((each for each in run.outputs if each.span_id == read.link.span_id), None)
        if written is None:  # the link names the run, or another of its spans
            written = next((each for each in run.outputs if each.digest and each.digest == read.digest), None)
        elif _contradicts(written, read):
            return None
        resolved_by = read.link.resolved_by or _LINK
        return _Crossing(written or read, (_Far(run, written or read, resolved_by),))

    def _by_digest(self, read: Artifact) -> _Crossing:
        if not read.digest or is_empty(read):
            return _Crossing(read)
        writers = self._records.writers(read.digest)
        count = bisect_right(writers, read.time_ns, key=_time) if read.time_ns else len(writers)
        if not count:
            return _Crossing(read)
        written = writers[count - 1]
        run = self._records.run(written.run_id)
        if run is None:
            return _Crossing(read, lost=True)
        several = any(each.run_id != written.run_id for each in writers)
        return _Crossing(written, (_Far(run, written, LATEST_WRITE if several else _DIGEST),))


def _time(artifact: Artifact) -> int:
    return artifact.time_ns


def _contradicts(written: Artifact, read: Artifact) -> bool:
    """Whether two digests that can be compared (same algorithm, same scope) differ."""
    if not written.digest or not read.digest or written.digest == read.digest:
        return False
    same_algorithm = written.digest.partition(":")[0] == read.digest.partition(":")[0]
    return same_algorithm and (written.scope is None or read.scope is None or written.scope == read.scope)


def _walk(direction: _Direction, root: Root, depth: int | None) -> Lineage:
    """Search breadth first, so that `depth` is the shortest distance; each I/O and each run is expanded once."""
    graph = _Graph()
    near: list[tuple[Artifact, Run | None]] = []
    if isinstance(root, Artifact):
        near.append((root, None))
    else:
        for begun in (root,) if isinstance(root, Run) else root:
            graph.add_run(begun)
            near.extend((each, begun) for each in direction.through(begun, None))
    name = root_id(root)
    seen = {_io(each) for each, _ in near}
    entered: set[tuple[str, str | None]] = set()
    level = 0
    while near:
        entries: list[_Far] = []
        for instance, run in near:
            crossing = direction.across(instance)
            node = graph.add_artifact(crossing.artifact)
            if run is None:
                name = node
            else:
                found = crossing.far[0].resolved_by if crossing.far else None
                graph.add_edge(_edge(node, run, reads=direction.reads_near, resolved_by=found))
            if depth is not None and level >= depth:
                continue
            graph.partial |= crossing.lost
            for far in crossing.far:
                graph.add_run(far.run)
                graph.add_edge(_edge(node, far.run, reads=not direction.reads_near, resolved_by=far.resolved_by))
                entries.append(far)
        near = []
        for far in entries:
            # An output that names what it came from leads to those inputs alone; any other leads to all of them.
            entry = (far.run.run_id, far.instance.span_id if far.instance.derived_from else None)
            if entry in entered:
                continue
            entered.add(entry)
            fresh = [each for each in direction.through(far.run, far.instance) if _io(each) not in seen]
            seen.update(_io(each) for each in fresh)
            near.extend((each, far.run) for each in fresh)
        level += 1
    return graph.lineage(name)


def _io(artifact: Artifact) -> tuple[str, str | None]:
    """What tells one read or write from all others; the entries of a manifest share its span."""
    return artifact.span_id, artifact.digest


def _edge(node: str, run: Run, *, reads: bool, resolved_by: str | None) -> Edge:
    if reads:
        return Edge(node, run.run_id, "read", resolved_by)
    return Edge(run.run_id, node, "write")


class _Graph:
    """The answer while it grows: runs, artifacts and edges once each."""

    def __init__(self) -> None:
        self.partial = False
        self._runs: dict[str, Run] = {}
        self._artifacts: dict[str, Artifact] = {}
        self._edges: dict[tuple[str, str, str], Edge] = {}

    def add_run(self, run: Run) -> None:
        self._runs.setdefault(run.run_id, run)

    def add_artifact(self, artifact: Artifact) -> str:
        """Add the artifact if it is new, or better known now than before (as written, not as read)."""
        node = node_id(artifact)
        known = self._artifacts.get(node)
        if known is None or (known.direction == "input" and artifact.direction == "output"):
            self._artifacts[node] = artifact
        return node

    def add_edge(self, edge: Edge) -> None:
        key = (edge.source, edge.target, edge.kind)
        known = self._edges.get(key)
        if known is None or (known.resolved_by is None and edge.resolved_by is not None):
            self._edges[key] = edge

    def lineage(self, root: str) -> Lineage:
        return Lineage(
            root=root,
            runs=tuple(sorted(self._runs.values(), key=lambda run: (run.start_ns, run.run_id))),
            artifacts=tuple(sorted(self._artifacts.values(), key=lambda each: (each.time_ns, each.span_id))),
            edges=tuple(self._edges.values()),
            partial=self.partial,
        )


@runtime_checkable
class _KnowsManifests(Protocol):
    """A store that can tell what a manifest lists: the artifacts of a run past the first hundred."""

    def manifest_entries(self, span_id: str) -> Sequence[Artifact]: ...


class _Records:
    """What one walk has read from the store: nothing is asked for twice."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, Run | None] = {}
        self._spans: dict[tuple[str, str], Run | None] = {}
        self._writers: dict[str, list[Artifact]] = {}

    def run(self, run_id: str) -> Run | None:
        if run_id not in self._runs:
            found = next((run for run in self._store.find_runs(run_id) if run.run_id == run_id), None)
            self._runs[run_id] = None
            self._remember(found)
        return self._runs[run_id]

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        key = (trace_id, span_id)
        if key not in self._spans:
            found = self._store.run_of_span(trace_id, span_id)
            self._remember(found)
            self._spans[key] = found
        return self._spans[key]

    def writers(self, digest: str) -> list[Artifact]:
        """Every write of a digest, earliest first."""
        if digest not in self._writers:
            found = self._store.find_artifacts(digest=digest, direction="output")
            self._writers[digest] = sorted((each for each in found if each.digest == digest), key=_time)
        return self._writers[digest]

    def entries(self, artifact: Artifact) -> Sequence[Artifact]:
        """What a manifest lists, as far as it can be told apart; nothing for any other artifact."""
        if artifact.scope != "manifest" or not isinstance(self._store, _KnowsManifests):
            return ()
        return [each for each in self._store.manifest_entries(artifact.span_id) if each.digest]

    def _remember(self, run: Run | None) -> None:
        if run is not None:
            self._runs[run.run_id] = run
            for span_id in (run.span_id, *(each.span_id for each in (*run.inputs, *run.outputs))):
                self._spans[run.trace_id, span_id] = run
