"""Which artifact of one run stands against which of another."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from mlotel.model import Artifact

__all__ = ["Pair", "pairs"]


@dataclass(frozen=True, slots=True)
class Pair:
    """An artifact of one run beside its counterpart in another.

    `kind` is ``same`` (name and content), ``content`` (the same name, other content), ``name`` (the same content,
    another name), ``unknown`` (the same name, and digests that say nothing of each other), ``removed`` (in the first
    run alone) or ``added`` (in the second one alone).
    """

    kind: str
    before: Artifact | None
    after: Artifact | None

    @property
    def name(self) -> str:
        """What the artifact is called, by the second run where that has it."""
        known = self.after or self.before
        return "" if known is None else known.name


def pairs(before: Sequence[Artifact], after: Sequence[Artifact]) -> Iterator[Pair]:
    """Yield each artifact of two runs once: those alike in name and content first, then by name, then by content."""
    left, right = list(before), list(after)
    for key in (_name_and_digest, _name, _digest):
        for one, other in _matches(left, right, key):
            left.remove(one)
            right.remove(other)
            yield Pair(_kind(one, other), one, other)
    yield from (Pair("removed", one, None) for one in left)
    yield from (Pair("added", None, other) for other in right)


def _matches(
    left: Sequence[Artifact], right: Sequence[Artifact], key: Callable[[Artifact], Hashable]
) -> list[tuple[Artifact, Artifact]]:
    """Those that have the same key, in order; None is no key."""
    waiting: defaultdict[Hashable, deque[Artifact]] = defaultdict(deque)
    for each in right:
        waiting[key(each)].append(each)
    return [(each, waiting[key(each)].popleft()) for each in left if key(each) is not None and waiting[key(each)]]


def _name_and_digest(artifact: Artifact) -> Hashable:
    return (artifact.name, artifact.digest) if artifact.digest else None


def _name(artifact: Artifact) -> Hashable:
    return artifact.name


def _digest(artifact: Artifact) -> Hashable:
    return artifact.digest


def _kind(one: Artifact, other: Artifact) -> str:
    if one.digest and one.digest == other.digest:
        return "same" if one.name == other.name else "name"
    comparable = one.digest and other.digest and _kind_of_digest(one) == _kind_of_digest(other)
    return "content" if comparable else "unknown"


def _kind_of_digest(artifact: Artifact) -> tuple[str, str | None]:
    """What two digests need to have in common to say something of each other: algorithm and scope."""
    return (artifact.digest or "").partition(":")[0], artifact.scope
