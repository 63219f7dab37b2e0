"""The later runs of a component, found with as few questions to the store as will do."""

from __future__ import annotations

from collections.abc import Iterator

from mlotel.freshness import Made
from mlotel.store import Store
from mlotel.store.conditions import Condition

__all__ = ["Reruns"]

_OK = (Condition("state", "=", "ok"),)
# The latest runs answer most questions: they are read in growing numbers and kept. What lies further back is asked for.
_FIRST, _KEPT = 4, 32


class Reruns:
    """The runs of one component that ended ok.

    Args:
        store: where they are.
        component: its name.
    """

    def __init__(self, store: Store, component: str) -> None:
        self._store = store
        self._component = component
        self._latest: list[Made] = []
        self._complete = False

    def between(self, after_ns: int, before_ns: int) -> Iterator[Made]:
        """Those that began after the first time and before the second one, latest first, read as they are wanted."""
        done = 0
        while True:
            for each in self._latest[done:]:
                if each.start_ns <= after_ns:
                    return
                if each.start_ns < before_ns:
                    yield each
            done = len(self._latest)
            if self._complete:
                return
            if done >= _KEPT:
                oldest = self._latest[-1]
                known = {each.run_id for each in self._latest if each.start_ns == oldest.start_ns}
                yield from self._read(after_ns, min(before_ns - 1, oldest.start_ns), known)
                return
            self._extend()

    def _extend(self) -> None:
        """Read as many again as are known."""
        count = max(_FIRST, len(self._latest))
        oldest = self._latest[-1].start_ns if self._latest else None
        # with those that began at the same time as the oldest one known
        same = {each.run_id for each in self._latest if each.start_ns == oldest}
        limit = count + len(same)
        runs = self._store.runs(component=self._component, until_ns=oldest, where=_OK, limit=limit)
        self._latest += (Made.of(run) for run in runs if run.run_id not in same)
        self._complete = len(runs) < limit

    def _read(self, after_ns: int, until_ns: int, known: set[str]) -> Iterator[Made]:
        limit = _FIRST + len(known)
        while True:
            runs = self._store.runs(
                component=self._component, since_ns=after_ns + 1, until_ns=until_ns, where=_OK, limit=limit
            )
            fresh = [Made.of(run) for run in runs if run.run_id not in known]
            yield from fresh
            if len(runs) < limit:
                return
            known.update(each.run_id for each in fresh)
            until_ns, limit = runs[-1].start_ns, 2 * limit
