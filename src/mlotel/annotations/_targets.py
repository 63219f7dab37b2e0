"""What an annotation speaks of: the ids that its record carries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mlotel._run import ActiveRun
from mlotel.errors import ConfigurationError, RunNotFoundError
from mlotel.lineage import RECORD, node_id, resolve, resolve_record
from mlotel.model import Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.store import Store

__all__ = ["Target", "targets_in"]


@dataclass(frozen=True, slots=True)
class Target:
    """A run, an artifact as one run read or wrote it, or the prediction for a record.

    `name` is the target of its annotations. The ids are those of the span that it is correlated with, in hex.
    """

    name: str
    trace_id: str
    span_id: str
    run_id: str
    artifact_name: str | None = None
    digest: str | None = None
    key_hash: str | None = None

    def of_run(self, run_id: str) -> Target:
        """The same as another run made it, whose span is not looked for."""
        return self if run_id == self.run_id else replace(self, run_id=run_id, trace_id="", span_id="")

    def attributes(self) -> dict[str, Any]:
        """What a record about it says of it."""
        found = {
            A.MLOTEL_RUN_ID: self.run_id,
            A.MLOTEL_ARTIFACT_NAME: self.artifact_name,
            A.MLOTEL_ARTIFACT_DIGEST: self.digest,
            A.MLOTEL_RECORD_KEY_HASH: self.key_hash,
        }
        return {key: value for key, value in found.items() if value is not None}


def targets_in(store: Store, what: object) -> list[Target]:
    """Return what `what` stands for: one thing, or the runs of a trace.

    Args:
        store: where to look.
        what: a reference, as `mlotel lineage` takes it, or a run, an artifact, or a run that is still going.

    Raises:
        ConfigurationError: it is none of these.
        RunNotFoundError: nothing answers, or what answers is not recorded.
        AmbiguousReferenceError: it stands for several things.
    """
    if isinstance(what, str):
        if what.strip().startswith(RECORD):
            return [_record(store, what.strip())]
        what = resolve(store, what)
    return list(_targets(store, what))


def _targets(store: Store, what: object) -> Iterator[Target]:
    if isinstance(what, tuple):
        for each in what:
            yield from _targets(store, each)
    elif isinstance(what, Run):
        yield Target(what.run_id, what.trace_id, what.span_id, what.run_id)
    elif isinstance(what, Artifact):
        run = next((run for run in store.find_runs(what.run_id) if run.run_id == what.run_id), None)
        if run is None:
            raise RunNotFoundError(f"the run {what.run_id} of artifact {what.name!r} is not in this store")
        node = node_id(what)
        digest = node if node == what.digest else None
        yield Target(node, run.trace_id, what.span_id, run.run_id, artifact_name=what.name, digest=digest)
    elif isinstance(what, ActiveRun):
        if not what.run_id:
            raise RunNotFoundError("this run is not recorded: telemetry is switched off")
        yield Target(what.run_id, what.trace_id, what.span_id, what.run_id)
    else:
        kind = type(what).__name__
        raise ConfigurationError(f"annotations are about a run, an artifact or a reference to one, not a {kind}")


def _record(store: Store, reference: str) -> Target:
    found = resolve_record(store, reference)
    run, key_hash = found.run, found.prediction.key_hash
    return Target(f"{RECORD}{key_hash}", run.trace_id, run.span_id, run.run_id, key_hash=key_hash)
