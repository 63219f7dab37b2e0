"""What a walk has read from its store: nothing is asked for twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mlotel.model import Artifact, Run
from mlotel.store import Store

__all__ = ["Records"]


@runtime_checkable
class _KnowsManifests(Protocol):
    """A store that can tell what a manifest lists: the artifacts of a run past the first hundred."""

    def manifest_entries(self, span_id: str) -> Sequence[Artifact]: ...


class Records:
    """What one walk has read from the store: nothing is asked for twice."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, Run | None] = {}
        self._spans: dict[tuple[str, str], Run | None] = {}
        self._writers: dict[str, list[Artifact]] = {}
        self._linked: dict[tuple[str, str], Sequence[Artifact]] = {}

    def run(self, run_id: str) -> Run | None:
        if run_id not in self._runs:
            found = next((run for run in self._store.find_runs(run_id) if run.run_id == run_id), None)
            self._runs[run_id] = None
            self.remember(found)
        return self._runs[run_id]

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        key = (trace_id, span_id)
        if key not in self._spans:
            found = self._store.run_of_span(trace_id, span_id)
            self.remember(found)
            self._spans[key] = found
        return self._spans[key]

    def writers(self, digest: str) -> list[Artifact]:
        """Every write of a digest, earliest first."""
        if digest not in self._writers:
            found = self._store.find_artifacts(digest=digest, direction="output")
            self._writers[digest] = sorted(
                (each for each in found if each.digest == digest), key=lambda each: each.time_ns
            )
        return self._writers[digest]

    def reads(self, digest: str) -> list[Artifact]:
        """Every read of a digest, latest first."""
        return [each for each in self._store.find_artifacts(digest=digest, direction="input") if each.digest == digest]

    def readers(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """Every read with a link to a span."""
        key = (trace_id, span_id)
        if key not in self._linked:
            self._linked[key] = self._store.readers_of(trace_id, span_id)
        return self._linked[key]

    def dependents(self, run: Run) -> Sequence[Run]:
        """The runs that were said to depend on a run."""
        found = self._store.dependents_of(run.trace_id, run.span_id)
        for each in found:
            self.remember(each)
        return found

    def entries(self, artifact: Artifact) -> Sequence[Artifact]:
        """What a manifest lists, as far as it can be told apart; nothing for any other artifact."""
        if artifact.scope != "manifest" or not isinstance(self._store, _KnowsManifests):
            return ()
        return [each for each in self._store.manifest_entries(artifact.span_id) if each.digest]

    def remember(self, run: Run | None) -> None:
        """Take up a run that was read elsewhere."""
        if run is not None:
            self._runs[run.run_id] = run
            for span_id in (run.span_id, *(each.span_id for each in (*run.inputs, *run.outputs))):
                self._spans[run.trace_id, span_id] = run
