"""Which outputs are compared: those that were flagged, and those of the same kind that were not.

The kind of an artifact is the component that wrote it and its type (a model is not compared with the report on it);
that of a prediction, the component that made it; that of a run without outputs, which is flagged itself, its component.
Content that a component wrote several times is one output, since what was flagged is the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mlotel.lineage import RECORD, Records, Root, node_id
from mlotel.model import Annotation, Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.store import Store

__all__ = ["MOST_RUNS", "Kind", "Output", "Population", "population"]

MOST_RUNS = 10_000
"""Runs of a component whose outputs are compared, the latest first."""

_ARTIFACT, _PREDICTIONS, _RUN = "artifact", "predictions", "run"


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What outputs have in common that are compared: `what` they are, the component, and the type of artifacts."""

    what: str
    component: str
    type: str = ""


@dataclass(slots=True)
class Output:
    """One output, or `weight` predictions of one run of which none is flagged; `roots` is where lineage begins."""

    flagged: bool
    weight: int = 1
    roots: list[Root] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Population:
    """What is compared, and the runs that were read for it.

    `unplaced` are flags of things that no run of the store, or of the time range, made. `truncated` says that a
    component has more than `MOST_RUNS` runs in the time range, of which the latest were taken.
    """

    outputs: Sequence[Output]
    kinds: Sequence[Kind]
    runs: Sequence[Run]
    unplaced: Sequence[Annotation]
    truncated: bool


def population(
    store: Store, flagged: Iterable[Annotation], *, since_ns: int | None, until_ns: int | None, most_runs: int
) -> Population:
    """Return the flagged outputs of runs that began in a time range, and the others of their kinds."""
    gathering = _Gathering(store, since_ns, until_ns, most_runs)
    flagged = list(flagged)
    gathering.expect(flagged)
    for flag in flagged:
        gathering.flag(flag)
    gathering.compare()
    return gathering.population()


class _Gathering:
    """The outputs while they are gathered, by their kind and what names them within it."""

    def __init__(self, store: Store, since_ns: int | None, until_ns: int | None, most_runs: int) -> None:
        self._store = store
        self._since_ns, self._until_ns, self._most_runs = since_ns, until_ns, most_runs
        self._records = Records(store)
        self._outputs: dict[tuple[Kind, str], Output] = {}
        self._kinds: set[Kind] = set()
        self._runs: dict[str, Run] = {}
        self._flagged_predictions: dict[str, int] = {}
        self._unplaced: list[Annotation] = []
        self._truncated = False

    # -- what is flagged

    def expect(self, flagged: Iterable[Annotation]) -> None:
        """Read the runs together of which flags speak."""
        said = {run_id for flag in flagged for run_id in (flag.run_id, flag.target)}
        self._records.expect_runs(run_id for run_id in said if run_id is not None and _is_id(run_id))

    def flag(self, flag: Annotation) -> None:
        """Take up what a flag speaks of."""
        if flag.target.startswith(RECORD):
            placed = self._flag_prediction(flag)
        elif (run := self._run(flag.target)) is not None:
            placed = self._flag_run(run)
        else:
            placed = self._flag_artifact(flag)
        if not placed:
            self._unplaced.append(flag)

    def _flag_prediction(self, flag: Annotation) -> bool:
        run = self._run(flag.run_id)
        if run is None or not self._within(run):
            return False
        kind = Kind(_PREDICTIONS, run.component)
        self._add(kind, f"{flag.target} {run.run_id}", run, flagged=True)
        self._flagged_predictions[run.run_id] = self._flagged_predictions.get(run.run_id, 0) + 1
        return True

    def _flag_run(self, run: Run) -> bool:
        if not self._within(run):
            return False
        written = self._written(run)
        for each in written:
            self._add(_kind(run, each), node_id(each), each, flagged=True)
        if not written:
            self._add(Kind(_RUN, run.component), run.run_id, run, flagged=True)
        return True

    def _flag_artifact(self, flag: Annotation) -> bool:
        """The write of the run that the flag names, or else the latest write of the content."""
        writes: list[Artifact] = []
        run = self._run(flag.run_id)
        if run is not None:
            writes += (each for each in self._written(run) if node_id(each) == flag.target)
        if not writes and ":" in flag.target:
            writes += (
                each
                for each in self._store.find_artifacts(digest=flag.target, direction="output")
                if each.digest == flag.target
            )
        for write in writes:
            run = self._run(write.run_id)
            if run is not None and self._within(run):
                self._add(_kind(run, write), flag.target, write, flagged=True)
                return True
        return False

    # -- what it is compared with

    def compare(self) -> None:
        """Take up the outputs of the kinds that were flagged."""
        kinds = frozenset(self._kinds)
        for component in sorted({kind.component for kind in kinds}):
            runs = self._store.runs(
                component=component, since_ns=self._since_ns, until_ns=self._until_ns, limit=self._most_runs + 1
            )
            self._truncated |= len(runs) > self._most_runs
            for run in runs[: self._most_runs]:
                self._records.remember(run)
                self._runs[run.run_id] = run
                self._compare(run, kinds)

    def _compare(self, run: Run, kinds: frozenset[Kind]) -> None:
        written = self._written(run)
        for each in written:
            if (kind := _kind(run, each)) in kinds:
                self._add(kind, node_id(each), each)
        if not written and (kind := Kind(_RUN, run.component)) in kinds:
            self._add(kind, run.run_id, run)
        if (kind := Kind(_PREDICTIONS, run.component)) in kinds:
            count = run.attributes.get(A.MLOTEL_PREDICTION_COUNT)
            made = count if isinstance(count, int) and not isinstance(count, bool) else 0
            unflagged = made - self._flagged_predictions.get(run.run_id, 0)
            if unflagged > 0:
                self._add(kind, run.run_id, run).weight = unflagged

    def population(self) -> Population:
        """What was gathered."""
        return Population(
            tuple(self._outputs.values()),
            tuple(sorted(self._kinds)),
            tuple(self._runs.values()),
            tuple(self._unplaced),
            self._truncated,
        )

    def _add(self, kind: Kind, name: str, root: Root, *, flagged: bool = False) -> Output:
        output = self._outputs.setdefault((kind, name), Output(flagged))
        output.flagged |= flagged
        output.roots.append(root)
        self._kinds.add(kind)
        return output

    def _within(self, run: Run) -> bool:
        return (self._since_ns is None or run.start_ns >= self._since_ns) and (
            self._until_ns is None or run.start_ns <= self._until_ns
        )

    def _written(self, run: Run) -> list[Artifact]:
        """The outputs of a run; of a manifest, what it lists instead."""
        return [part for each in run.outputs for part in (self._records.entries(each) or (each,))]

    def _run(self, run_id: str | None) -> Run | None:
        run = self._records.run(run_id) if run_id is not None and _is_id(run_id) else None
        if run is not None:
            self._runs[run.run_id] = run
        return run


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def _kind(run: Run, artifact: Artifact) -> Kind:
    return Kind(_ARTIFACT, run.component, artifact.type or "")
