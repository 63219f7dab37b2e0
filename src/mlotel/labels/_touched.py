"""What a label has come to: everything that was made from what bears it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlotel.labels._inheritance import labelled_in
from mlotel.lineage import Records, Root, as_written, node_id, reach_forward
from mlotel.model import Annotation, Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.standing import labels, retractions
from mlotel.store import Store

__all__ = ["Touched", "touched_by"]

_MODEL = "model"


@dataclass(frozen=True, slots=True)
class Touched:
    """What bears a label.

    `given` is how artifacts and runs got it, latest first; `bearers` are the artifacts that were given it, `artifacts`
    those that inherit it, each in the order of time. `runs` read one of these or, where a run was given the label, are
    that run. `predictions` counts what these runs predicted. `retraction` is None where the label is not retracted.
    It is `partial` where a run that belongs there is not in the store.
    """

    label: str
    given: Sequence[Annotation]
    bearers: Sequence[Artifact]
    artifacts: Sequence[Artifact]
    runs: Sequence[Run]
    predictions: int
    retraction: Annotation | None
    partial: bool

    @property
    def models(self) -> Sequence[Artifact]:
        """The models among the artifacts that inherit the label."""
        return tuple(each for each in self.artifacts if each.type == _MODEL)


def touched_by(store: Store, label: str) -> Touched:
    """Return everything that bears a label, by itself or by what it was made from.

    Raises:
        StoreError: the store cannot be read.
    """
    given = tuple(said for said in labels(store) if said.label == label)
    records = Records(store)
    roots = [root for said in given for root in _roots(store, records, said)]
    reach = reach_forward(store, [(root, 1) for root in roots])
    nameless = (root for root in roots if isinstance(root, Artifact) and node_id(root) == root.span_id)
    targets = {said.target for said in given} | {node_id(as_written(records, each)) for each in nameless}
    in_time = sorted(reach.artifacts.values(), key=lambda each: (each.time_ns, each.span_id))
    runs = tuple(sorted(reach.runs.values(), key=lambda run: (run.start_ns, run.run_id)))
    return Touched(
        label=label,
        given=given,
        bearers=tuple(each for each in in_time if node_id(each) in targets),
        artifacts=tuple(each for each in in_time if node_id(each) not in targets),
        runs=runs,
        predictions=sum(_predicted(run) for run in runs),
        retraction=retractions(store).get(label),
        partial=reach.partial,
    )


def _roots(store: Store, records: Records, said: Annotation) -> Iterator[Root]:
    """Every read and write of the content that was given a label, or the run."""
    if ":" in said.target:
        yield from (each for each in store.find_artifacts(digest=said.target) if each.digest == said.target)
        return
    run = records.run(said.run_id or said.target)
    if run is not None and run.run_id == said.target:
        yield run
    else:
        yield from labelled_in(records, said)


def _predicted(run: Run) -> int:
    count = run.attributes.get(A.MLOTEL_PREDICTION_COUNT)
    return count if isinstance(count, int) and not isinstance(count, bool) else 0
