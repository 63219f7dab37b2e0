"""Which attempt at the same work a run was: by its own word, and by the runs before it that failed at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mlotel.model import Run
from mlotel.semconv import attributes as A
from mlotel.store import Store

__all__ = ["Attempts", "attempts"]

_LOOKED_AT = 100
"""Runs of the component before this one that are looked at."""

_FAILED = ("failed", "cancelled", "lost")


@dataclass(frozen=True, slots=True)
class Attempts:
    """Which attempt a run was, counted from 1, and the earlier ones that failed, in order of time.

    `judged_by` says how that is known: ``attribute`` (the run says so itself), ``trace`` (they ran in the same trace),
    ``inputs and parameters`` (they read the same and had the same parameters), or ``none`` where there is nothing that
    would tell a retry.
    """

    number: int | None
    earlier: tuple[Run, ...] = ()
    judged_by: str = "none"


def attempts(store: Store, run: Run) -> Attempts:
    """Return which attempt a run was.

    An earlier run of the same component and pipeline was an attempt at the same work if it did not end ok, had the
    same parameters, read nothing else, and either ran in the same trace or had a parameter or an input at all. A run
    of the same work that ended ok ends the search.

    Raises:
        StoreError: the store cannot be read.
    """
    before = store.runs(component=run.component, until_ns=run.start_ns, limit=_LOOKED_AT + 1)
    earlier: list[Run] = []
    for each in before:
        if each.run_id == run.run_id or each.start_ns >= run.start_ns or not _same_work(each, run):
            continue
        if each.state == "ok":
            break
        if each.state in _FAILED:
            earlier.insert(0, each)
    said = run.attributes.get(A.MLOTEL_RUN_ATTEMPT)
    if isinstance(said, int) and not isinstance(said, bool):
        return Attempts(said, tuple(earlier), "attribute")
    if earlier:
        within = all(each.trace_id == run.trace_id for each in earlier)
        return Attempts(len(earlier) + 1, tuple(earlier), "trace" if within else "inputs and parameters")
    evidence = bool(run.params or any(each.digest for each in run.inputs))
    return Attempts(1, (), "inputs and parameters") if evidence else Attempts(None)


def _same_work(earlier: Run, run: Run) -> bool:
    if earlier.pipeline != run.pipeline or _written(earlier) != _written(run):
        return False
    # a run that failed may have failed before it read everything
    read = _contents(earlier)
    if read - _contents(run):
        return False
    return earlier.trace_id == run.trace_id or bool(read or run.params)


def _written(run: Run) -> dict[str, str]:
    """The parameters as text: 1 is not True, and NaN is NaN."""
    return {key: repr(value) for key, value in run.params.items()}


def _contents(run: Run) -> Counter[str]:
    digests: Iterable[str] = (each.digest for each in run.inputs if each.digest)
    return Counter(digests)
