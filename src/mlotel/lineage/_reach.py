"""Which of many roots stand behind each run, or lie before it: one walk for all of them.

Each root is a bit. The graph is explored once from all roots together; then sets of bits flow along it, as Python's
integers of any length, so that ten thousand roots take one pass over the graph and not ten thousand walks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlotel.lineage._directions import Backward, Direction, Forward, io_id
from mlotel.lineage._records import Records
from mlotel.lineage._references import Root, node_id
from mlotel.lineage._walk import KnowsItsGaps
from mlotel.model import Artifact, Run
from mlotel.store import Store

__all__ = ["Reach", "reach_back", "reach_forward"]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a walk from many roots came to.

    `runs` and `artifacts` hold each run by its id and each artifact by what names it in a lineage graph; `of_run` and
    `of_artifact` the set of roots from which it was come to, as the integer of which those roots' bits are set. It is
    `partial` where a run that belongs there is not in the store.
    """

    runs: Mapping[str, Run]
    artifacts: Mapping[str, Artifact]
    of_run: Mapping[str, int]
    of_artifact: Mapping[str, int]
    partial: bool


def reach_back(store: Store, roots: Iterable[tuple[Root, int]], *, known: Iterable[Run] = ()) -> Reach:
    """Return everything that `upstream` finds behind each of many roots.

    Args:
        store: where to look.
        roots: each with the bits that stand for it: an integer.
        known: runs that were read from the store already.

    Raises:
        StoreError: the store cannot be read.
    """
    records = Records(store)
    for run in known:
        records.remember(run)
    return _reach(store, Backward(records), roots)


def reach_forward(store: Store, roots: Iterable[tuple[Root, int]]) -> Reach:
    """Return everything that `downstream` finds before each of many roots; otherwise as `reach_back`."""
    forward, roots = Forward(Records(store)), list(roots)
    forward.expect_artifacts([root for root, _ in roots if isinstance(root, Artifact)])
    # All reads of one write lead to the same: ten thousand of them need not each be told of the others.
    distinct = {(forward.origin(root) if isinstance(root, Artifact) else id(root), bits): root for root, bits in roots}
    return _reach(store, forward, ((root, bits) for (_, bits), root in distinct.items()))


def _reach(store: Store, direction: Direction, roots: Iterable[tuple[Root, int]]) -> Reach:
    graph = _Graph(direction)
    for root, bits in roots:
        for each in root if isinstance(root, tuple) else (root,):
            number = graph.io(each) if isinstance(each, Artifact) else graph.entry(each, None)
            graph.bits[number] |= bits
    graph.explore()
    graph.flow()
    return graph.answer(partial=isinstance(store, KnowsItsGaps) and store.partial)


class _Graph:
    """Reads, writes and entries into runs as numbers, and which leads to which.

    A run that is entered by an output of which it is said what it came from is another entry than the run as a whole.
    """

    def __init__(self, direction: Direction) -> None:
        self.bits: list[int] = []
        self._direction = direction
        self._numbers: dict[tuple[str, str | None, bool], int] = {}
        self._next: list[Sequence[int]] = []
        self._waiting: list[tuple[int, Artifact | Run, Artifact | None]] = []
        self._runs: dict[str, Run] = {}
        self._artifacts: dict[str, Artifact] = {}
        self._run_of: dict[int, str] = {}
        self._artifact_of: dict[int, str] = {}
        self._partial = False

    def io(self, artifact: Artifact) -> int:
        """The number of a read or write."""
        return self._number((*io_id(artifact), True), artifact, None)

    def entry(self, run: Run, via: Artifact | None) -> int:
        """The number of a run as it is entered by a read or write (None: by nothing in particular)."""
        number = self._number((run.run_id, None if via is None else via.span_id, False), run, via)
        self._runs.setdefault(run.run_id, run)
        self._run_of[number] = run.run_id
        return number

    def _number(self, key: tuple[str, str | None, bool], what: Artifact | Run, via: Artifact | None) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.bits)
            self.bits.append(0)
            self._next.append(())
            self._waiting.append((number, what, via))
        return number

    def explore(self) -> None:
        """Go on until nothing new is found."""
        while self._waiting:
            near, self._waiting = self._waiting, []
            self._direction.expect_artifacts([what for _, what, _ in near if isinstance(what, Artifact)])
            self._direction.expect_runs({what.run_id: what for _, what, _ in near if isinstance(what, Run)}.values())
            for number, what, via in near:
                after = self._across(number, what) if isinstance(what, Artifact) else self._through(what, via)
                self._next[number] = after

    def _across(self, number: int, near: Artifact) -> list[int]:
        direction = self._direction
        crossing = direction.across(near)
        self._partial |= crossing.lost
        artifact, node = crossing.artifact, node_id(crossing.artifact)
        known = self._artifacts.get(node)
        if known is None or (known.direction == "input" and artifact.direction == "output"):
            self._artifacts[node] = artifact
        self._artifact_of[number] = node
        return [self.entry(far.run, far.instance if direction.narrows(far) else None) for far in crossing.far]

    def _through(self, run: Run, via: Artifact | None) -> list[int]:
        beside, lost = self._direction.beside(run)
        self._partial |= lost
        return [
            *(self.io(each) for each in self._direction.through(run, via)),
            *(self.entry(other, None) for other in beside),
        ]

    def flow(self) -> None:
        """Let each bit come to all that lies beyond it: in order, where the graph has one; cycles take more rounds."""
        order = self._order()
        bits = self.bits
        changed = True
        while changed:
            changed = False
            for number in order:
                here = bits[number]
                for after in self._next[number]:
                    if (joined := here | bits[after]) != bits[after]:
                        bits[after] = joined
                        changed = True

    def _order(self) -> list[int]:
        """All numbers, those that lead to others first as far as that can be: depth first, latest left first."""
        order: list[int] = []
        met = bytearray(len(self.bits))
        for first in range(len(self.bits)):
            if met[first]:
                continue
            met[first] = 1
            path = [(first, iter(self._next[first]))]
            while path:
                number, rest = path[-1]
                after = next((each for each in rest if not met[each]), None)
                if after is None:
                    order.append(number)
                    path.pop()
                else:
                    met[after] = 1
                    path.append((after, iter(self._next[after])))
        order.reverse()
        return order

    def answer(self, *, partial: bool) -> Reach:
        """What was come to, and from where."""
        of_run, of_artifact = self._gathered(self._run_of), self._gathered(self._artifact_of)
        return Reach(self._runs, self._artifacts, of_run, of_artifact, self._partial or partial)

    def _gathered(self, names: Mapping[int, str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for number, name in names.items():
            found[name] = found.get(name, 0) | self.bits[number]
        return found
