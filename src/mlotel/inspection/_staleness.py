"""Which inputs of a run are stale, judged again by what its store knows now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from mlotel.freshness import STALE_AFTER_NS, Made, Read, judge
from mlotel.lineage import Producers
from mlotel.model import Run, Staleness
from mlotel.semconv import attributes as A
from mlotel.store import Store
from mlotel.store.conditions import Condition

__all__ = ["staleness", "staleness_of_all"]

_OK = (Condition("state", "=", "ok"),)
_FIRST, _MORE = 4, 8
"""How many later runs are asked for at first, as one will do as a rule, and how many times more after that."""


def staleness(store: Store, run: Run, now_ns: int | None = None) -> tuple[Staleness, ...]:
    """Return why inputs of a run are stale, by what was the case when it ran and by what has come to be since.

    Args:
        store: where the run was read from.
        run: the run.
        now_ns: the present, nanoseconds since the epoch; by default the time of day.

    Raises:
        StoreError: the store cannot be read.
    """
    return staleness_of_all(store, (run,), now_ns).get(run.run_id, ())


def staleness_of_all(
    store: Store, runs: Iterable[Run], now_ns: int | None = None
) -> Mapping[str, tuple[Staleness, ...]]:
    """Return the same for several runs, by run id; those without a stale input are left out.

    Args:
        store: where the runs were read from.
        runs: the runs.
        now_ns: the present, nanoseconds since the epoch; by default the time of day.

    Raises:
        StoreError: the store cannot be read.
    """
    known = tuple(runs)
    judges = _Judge(store, known, time.time_ns() if now_ns is None else now_ns)
    found = {run.run_id: tuple(judges.of(run)) for run in known}
    return {run_id: reasons for run_id, reasons in found.items() if reasons}


class _Judge:
    """Judges many runs, and asks nothing of the store twice."""

    def __init__(self, store: Store, known: Iterable[Run], now_ns: int) -> None:
        self._store = store
        self._now_ns = now_ns
        self._producers = Producers(store, known)
        self._latest: dict[str, Made | None] = {}
        self._made: dict[str, Made] = {}

    def of(self, run: Run) -> Iterator[Staleness]:
        threshold = _threshold(run)
        for read in run.inputs:
            found = self._producers.of(read)
            if found is None:
                continue
            written = found.instance if found.instance.direction == "output" else None
            yield from judge(
                Read(read.name, read.digest, read.span_id, run.run_id, run.start_ns),
                self._made_by(found.run),
                # a link that names a run and none of its writes: a message, which was sent when the run had begun
                found.run.start_ns if written is None else written.time_ns,
                stale_after_ns=threshold,
                later=self._later,
                now_ns=self._now_ns,
            )

    def _made_by(self, run: Run) -> Made:
        if run.run_id not in self._made:
            self._made[run.run_id] = Made.of(run)
        return self._made[run.run_id]

    def _later(self, producer: Made, after_ns: int, before_ns: int) -> Iterator[Made]:
        """The runs of the producer's component that began between two times and ended ok, latest first."""
        if not self._has_later(producer, after_ns):
            return
        until_ns, seen, limit = before_ns - 1, set[str](), _FIRST
        for _ in count():
            runs = self._store.runs(
                component=producer.component, since_ns=after_ns + 1, until_ns=until_ns, where=_OK, limit=limit
            )
            fresh = [run for run in runs if run.run_id not in seen]
            yield from map(self._made_by, fresh)
            if len(runs) < limit:
                return
            # again from where it was cut off, with those that began at the same time
            seen.update(run.run_id for run in fresh)
            until_ns, limit = runs[-1].start_ns, limit * _MORE

    def _has_later(self, producer: Made, after_ns: int) -> bool:
        """Whether any run of the component began later at all: most questions end here."""
        if producer.component not in self._latest:
            runs = self._store.runs(component=producer.component, where=_OK, limit=1)
            self._latest[producer.component] = self._made_by(runs[0]) if runs else None
        latest = self._latest[producer.component]
        return latest is not None and latest.start_ns > after_ns


def _threshold(run: Run) -> int | None:
    """Return the age past which an input makes a run stale; None where its component said that no age does."""
    said = run.attributes.get(A.MLOTEL_COMPONENT_STALE_AFTER)
    if not isinstance(said, int | float) or isinstance(said, bool) or not 0 <= said < 1e10:
        return STALE_AFTER_NS
    return round(said * 1e9) or None
