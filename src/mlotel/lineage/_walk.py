"""What stands behind an output and what an output touched: the walk over any store.

Each run and each artifact is visited once, so the walk takes time linear in the answer, and cycles end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from mlotel.lineage._directions import Backward, Direction, Forward, io_id
from mlotel.lineage._records import Records
from mlotel.lineage._references import Root, node_id, root_id
from mlotel.model import Artifact, Edge, Lineage, Run
from mlotel.store import Store

__all__ = ["KnowsItsGaps", "around", "downstream", "upstream"]


def upstream(
    store: Store, root: Root, *, depth: int | None = None, since_ns: int | None = None, until_ns: int | None = None
) -> Lineage:
    """Return everything that `root` was made from.

    The answer is `partial` where a link names a producer that this store does not hold.

    Args:
        store: where to look.
        root: a run, an artifact as one run read or wrote it, or the runs of a trace.
        depth: counts producing runs: 0 is the root itself (a run with its inputs), 1 adds the runs that wrote what the
            root is or read, None goes back to the beginning.
        since_ns: no run that began before this time (nanoseconds since the epoch) is followed, other than the root.
        until_ns: nor one that began after this time.

    Raises:
        StoreError: the store cannot be read.
    """
    return _walk(store, [Backward(Records(store))], root, depth, _began_within(since_ns, until_ns))


def downstream(
    store: Store, root: Root, *, depth: int | None = None, since_ns: int | None = None, until_ns: int | None = None
) -> Lineage:
    """Return everything that `root` touched: the runs that read it, what they wrote, and so on.

    A run belongs to the answer if and only if `upstream` finds the root behind one of its reads. Of content that
    several runs wrote, an artifact stands for the one write that it is, or was read from.

    Args:
        store: where to look.
        root: a run, an artifact as one run read or wrote it, or the runs of a trace.
        depth: counts consuming runs: 0 is the root itself (a run with its outputs), 1 adds the runs that read that,
            None goes on to the end.
        since_ns: no run that began before this time (nanoseconds since the epoch) is followed, other than the root.
        until_ns: nor one that began after this time.

    Raises:
        StoreError: the store cannot be read.
    """
    return _walk(store, [Forward(Records(store))], root, depth, _began_within(since_ns, until_ns))


def around(
    store: Store, root: Root, *, depth: int | None = None, since_ns: int | None = None, until_ns: int | None = None
) -> Lineage:
    """Return what `upstream` and `downstream` return, as one graph.

    Args:
        store: where to look.
        root: a run, an artifact as one run read or wrote it, or the runs of a trace.
        depth: as for either, each way.
        since_ns: as for either.
        until_ns: as for either.

    Raises:
        StoreError: the store cannot be read.
    """
    records = Records(store)
    return _walk(store, [Backward(records), Forward(records)], root, depth, _began_within(since_ns, until_ns))


def _began_within(since_ns: int | None, until_ns: int | None) -> Callable[[Run], bool]:
    def within(run: Run) -> bool:
        return (since_ns is None or run.start_ns >= since_ns) and (until_ns is None or run.start_ns <= until_ns)

    return within


@runtime_checkable
class KnowsItsGaps(Protocol):
    """A store that can tell whether its answers so far lack something, as one over a network may."""

    @property
    def partial(self) -> bool: ...


@runtime_checkable
class _KnowsSnapshots(Protocol):
    """A store that need not look for new lines at each question of a walk."""

    def snapshot(self) -> AbstractContextManager[None]: ...


def _walk(
    store: Store, directions: Sequence[Direction], root: Root, depth: int | None, within: Callable[[Run], bool]
) -> Lineage:
    graph = _Graph(root_id(root))
    with store.snapshot() if isinstance(store, _KnowsSnapshots) else nullcontext():
        for direction in directions:
            _explore(graph, direction, root, depth, within)
    graph.partial |= isinstance(store, KnowsItsGaps) and store.partial
    return graph.lineage()


def _explore(graph: _Graph, direction: Direction, root: Root, depth: int | None, within: Callable[[Run], bool]) -> None:
    """Search breadth first, so that `depth` is the shortest distance; each I/O and each run is expanded once."""
    near: list[tuple[Artifact, Run | None]] = []
    met: dict[str, Run] = {}  # by the last step, for the first time
    if isinstance(root, Artifact):
        near.append((root, None))
    else:
        roots = (root,) if isinstance(root, Run) else root
        direction.expect_runs(roots)
        for begun in roots:
            graph.add_run(begun)
            met[begun.run_id] = begun
            near.extend((each, begun) for each in direction.through(begun, None))
    seen = {io_id(each) for each, _ in near}
    entered: set[tuple[str, str | None]] = set()
    known = set(met)
    level = 0
    while near or met:
        entries: list[tuple[Run, Artifact | None, bool]] = []
        direction.expect_artifacts([instance for instance, _ in near])
        for instance, run in near:
            crossing = direction.across(instance)
            node = graph.add_artifact(crossing.artifact)
            if run is None:
                graph.root = node
            else:
                found = crossing.far[0].resolved_by if crossing.far else None
                graph.join(node, run, reads=direction.reads_near, resolved_by=found)
            if depth is not None and level >= depth:
                continue
            graph.partial |= crossing.lost
            for far in crossing.far:
                if not within(far.run):
                    continue
                graph.add_run(far.run)
                graph.join(node, far.run, reads=not direction.reads_near, resolved_by=far.resolved_by)
                entries.append((far.run, far.instance, direction.narrows(far)))
        for run in met.values() if depth is None or level < depth else ():
            beside, lost = direction.beside(run)
            graph.partial |= lost
            for other in beside:
                if within(other):
                    graph.add_run(other)
                    graph.join_by_hand(*((other, run) if direction.reads_near else (run, other)))
                    entries.append((other, None, False))
        near, met = [], {}
        direction.expect_runs({run.run_id: run for run, _, _ in entries}.values())
        for run, via, narrowed in entries:
            if run.run_id not in known:
                known.add(run.run_id)
                met[run.run_id] = run
            entry = (run.run_id, via.span_id if via is not None and narrowed else None)
            if entry in entered:
                continue
            entered.add(entry)
            fresh = [each for each in direction.through(run, via) if io_id(each) not in seen]
            seen.update(io_id(each) for each in fresh)
            near.extend((each, run) for each in fresh)
        level += 1


class _Graph:
    """The answer while it grows: runs, artifacts and edges once each."""

    def __init__(self, root: str) -> None:
        self.root = root
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

    def join(self, node: str, run: Run, *, reads: bool, resolved_by: str | None) -> None:
        """Add what a run read, and how it is known where that came from; or what it wrote."""
        if reads:
            self._add_edge(node, run.run_id, "read", resolved_by)
        else:
            self._add_edge(run.run_id, node, "write", None)

    def join_by_hand(self, before: Run, after: Run) -> None:
        """Add that one run was said to depend on another."""
        self._add_edge(before.run_id, after.run_id, "depends_on", None)

    def _add_edge(self, source: str, target: str, kind: str, resolved_by: str | None) -> None:
        step = (source, target, kind)
        known = self._edges.get(step)
        if known is None or (known.resolved_by is None and resolved_by is not None):
            self._edges[step] = Edge(source, target, kind, resolved_by)

    def lineage(self) -> Lineage:
        return Lineage(
            root=self.root,
            runs=tuple(sorted(self._runs.values(), key=lambda run: (run.start_ns, run.run_id))),
            artifacts=tuple(sorted(self._artifacts.values(), key=lambda each: (each.time_ns, each.span_id))),
            edges=tuple(self._edges.values()),
            partial=self.partial,
        )
