"""Workflows within workflows: a run that started runs of another pipeline, in this process or over an API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlotel.model import Run
from mlotel.store import Store

__all__ = ["SubWorkflow", "sub_workflows"]

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class SubWorkflow:
    """The runs of one other pipeline that a run started, directly or through one another.

    `first` is the id of the first of them, `states` counts them by state; `more` says that there are more than were
    counted.
    """

    caller: str
    pipeline: str
    trace_id: str
    first: str
    states: Mapping[str, int]
    more: bool = False

    @property
    def runs(self) -> int:
        """How many runs were counted."""
        return sum(self.states.values())


def sub_workflows(store: Store, runs: Iterable[Run]) -> dict[str, tuple[SubWorkflow, ...]]:
    """Return the other pipelines' workflows that each of `runs` started, by run id; runs that started none left out.

    Raises:
        StoreError: the store cannot be read.
    """
    found: dict[str, tuple[SubWorkflow, ...]] = {}
    for run in runs:
        called: dict[str, list[Run]] = {}
        for child in store.children_of(run.trace_id, run.span_id):
            if child.pipeline and child.pipeline != run.pipeline:
                called.setdefault(child.pipeline, []).append(child)
        if called:
            workflows = (_workflow(store, run, name, children) for name, children in called.items())
            found[run.run_id] = tuple(sorted(workflows, key=lambda each: each.pipeline))
    return found


def _workflow(store: Store, caller: Run, pipeline: str, children: Sequence[Run]) -> SubWorkflow:
    members = {child.run_id: child for child in children}
    waiting = list(children)
    while waiting and len(members) < _MOST:
        run = waiting.pop()
        for child in store.children_of(run.trace_id, run.span_id):
            if child.run_id not in members and child.run_id != caller.run_id:
                members[child.run_id] = child
                waiting.append(child)
    first = min(children, key=lambda run: (run.start_ns, run.run_id))
    states = Counter(run.state for run in members.values())
    return SubWorkflow(caller.run_id, pipeline, first.trace_id, first.run_id, dict(states), more=bool(waiting))
