"""Which inputs of a run are stale, judged again by what its store knows now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from time import time_ns

from mlotel.freshness import STALE_AFTER_NS, Made, Read, judge
from mlotel.inspection._reruns import Reruns
from mlotel.lineage import Producers
from mlotel.model import Run, Staleness
from mlotel.semconv import attributes as A
from mlotel.store import Store

__all__ = ["staleness", "staleness_of_all"]


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
    judges = _Judge(store, known, time_ns() if now_ns is None else now_ns)
    found = {run.run_id: tuple(judges.of(run)) for run in known}
    return {run_id: reasons for run_id, reasons in found.items() if reasons}


class _Judge:
    """Judges many runs, and asks nothing of the store twice."""

    def __init__(self, store: Store, known: Iterable[Run], now_ns: int) -> None:
        self._store = store
        self._now_ns = now_ns
        self._producers = Producers(store, known)
        self._reruns: dict[str, Reruns] = {}
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
        name = producer.component
        if name not in self._reruns:
            self._reruns[name] = Reruns(self._store, name)
        return self._reruns[name].between(after_ns, before_ns)


def _threshold(run: Run) -> int | None:
    """Return the age past which an input makes a run stale; None where its component said that no age does."""
    said = run.attributes.get(A.MLOTEL_COMPONENT_STALE_AFTER)
    if not isinstance(said, int | float) or isinstance(said, bool) or not 0 <= said < 1e10:
        return STALE_AFTER_NS
    return round(said * 1e9) or None
