"""What a walk has read from its store: nothing is asked for twice, and together what can be foreseen."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from mlotel.model import Artifact, Run
from mlotel.store import Store

__all__ = ["Records"]


@runtime_checkable
class _KnowsManifests(Protocol):
    """A store that can tell what a manifest lists: the artifacts of a run past the first hundred."""

    def manifest_entries(self, span_id: str) -> Sequence[Artifact]: ...


@runtime_checkable
class _AnswersTogether(Protocol):
    """A store that answers many questions of a kind in less time than one by one. What it does not know is left out."""

    def runs_with_ids(self, run_ids: Iterable[str]) -> Mapping[str, Run]: ...

    def runs_of_spans(self, spans: Iterable[Span]) -> Mapping[Span, Run]: ...

    def writes_of(self, digests: Iterable[str]) -> Sequence[Artifact]: ...

    def reads_of(self, spans: Iterable[Span], digests: Iterable[str]) -> Sequence[Artifact]: ...

    def reads_of_runs(self, run_ids: Iterable[str]) -> Sequence[Artifact]: ...

    def dependents_of_spans(self, spans: Iterable[Span]) -> Sequence[Run]: ...


@runtime_checkable
class _KnowsLatestWrites(Protocol):
    """A store that finds one write among very many without reading the others."""

    def digests_written_often(self, digests: Iterable[str], *, more_than: int) -> Collection[str]: ...

    def latest_write(self, digest: str, *, until_ns: int | None) -> Artifact | None: ...

    def is_written_by_others(self, digest: str, run_id: str) -> bool: ...


Span = tuple[str, str]
"""Trace id and span id."""

# So many writes of a digest are read together; of more, the one that is wanted, as long as few are wanted.
_MANY = 64


class Records:
    """What one walk has read from the store: nothing is asked for twice.

    Each ``expect`` says what will be asked for: a store that can answers it together, of any other store it is asked
    one by one as it is wanted.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._together = store if isinstance(store, _AnswersTogether) else None
        self._latest = store if isinstance(store, _KnowsLatestWrites) else None
        self._often: dict[str, dict[int | None, Artifact | None]] = {}
        self._others: dict[tuple[str, str], bool] = {}
        self._runs: dict[str, Run | None] = {}
        self._spans: dict[Span, Run | None] = {}
        self._writers: dict[str, list[Artifact]] = {}
        self._reads: dict[str, Sequence[Artifact]] = {}
        self._linked: dict[Span, Sequence[Artifact]] = {}
        self._linked_to_runs: dict[str, Sequence[Artifact]] = {}
        self._dependents: dict[Span, Sequence[Run]] = {}

    def run(self, run_id: str) -> Run | None:
        """The run of a run id."""
        if run_id not in self._runs:
            found = next((run for run in self._store.find_runs(run_id) if run.run_id == run_id), None)
            self._runs[run_id] = None
            self.remember(found)
        return self._runs[run_id]

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        """The run to which a span belongs."""
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
            self._writers[digest] = _earliest_first(each for each in found if each.digest == digest)
        return self._writers[digest]

    def latest_write(self, digest: str, *, until_ns: int | None) -> Artifact | None:
        """The latest write of a digest that began no later than that, in nanoseconds since the epoch; or of all."""
        self.expect_writers((digest,))
        known = self._often.get(digest)
        if self._latest and known is not None and len(known) < _MANY:
            if until_ns not in known:
                known[until_ns] = self._latest.latest_write(digest, until_ns=until_ns)
            return known[until_ns]
        writers = self.writers(digest)
        count = len(writers) if until_ns is None else bisect_right(writers, until_ns, key=_time)
        return writers[count - 1] if count else None

    def is_written_by_others(self, digest: str, run_id: str) -> bool:
        """Whether any run but this one wrote the digest."""
        key = (digest, run_id)
        if key not in self._others:
            self._others[key] = (
                self._latest.is_written_by_others(digest, run_id)
                if self._latest and digest in self._often
                else any(each.run_id != run_id for each in self.writers(digest))
            )
        return self._others[key]

    def reads(self, digest: str) -> Sequence[Artifact]:
        """Every read of a digest, latest first."""
        if digest not in self._reads:
            found = self._store.find_artifacts(digest=digest, direction="input")
            self._reads[digest] = [each for each in found if each.digest == digest]
        return self._reads[digest]

    def readers(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """Every read with a link to a span."""
        key = (trace_id, span_id)
        if key not in self._linked:
            self._linked[key] = self._store.readers_of(trace_id, span_id)
        return self._linked[key]

    def readers_of_run(self, run: Run) -> Sequence[Artifact]:
        """Every read with a link to the run itself, or to one of its spans that wrote nothing."""
        if run.run_id not in self._linked_to_runs:
            spans = (run.span_id, *(each.span_id for each in run.inputs))
            found = [read for span_id in spans for read in self.readers(run.trace_id, span_id)]
            self._linked_to_runs[run.run_id] = found
        return self._linked_to_runs[run.run_id]

    def dependents(self, run: Run) -> Sequence[Run]:
        """The runs that were said to depend on a run."""
        key = (run.trace_id, run.span_id)
        if key not in self._dependents:
            self._dependents[key] = self._store.dependents_of(*key)
            for each in self._dependents[key]:
                self.remember(each)
        return self._dependents[key]

    def entries(self, artifact: Artifact) -> Sequence[Artifact]:
        """What a manifest lists, as far as it can be told apart; nothing for any other artifact."""
        if artifact.scope != "manifest" or not isinstance(self._store, _KnowsManifests):
            return ()
        return [each for each in self._store.manifest_entries(artifact.span_id) if each.digest]

    def expect_runs(self, run_ids: Iterable[str]) -> None:
        """`run` will be asked for these."""
        missing = {run_id for run_id in run_ids if run_id not in self._runs}
        if self._together and missing:
            found = self._together.runs_with_ids(missing)
            for run_id in missing:
                self._runs[run_id] = None
                self.remember(found.get(run_id))

    def expect_runs_of_spans(self, spans: Iterable[Span]) -> None:
        """`run_of_span` will be asked for these."""
        missing = {span for span in spans if span not in self._spans}
        if self._together and missing:
            found = self._together.runs_of_spans(missing)
            for span in missing:
                self.remember(found.get(span))
                self._spans[span] = found.get(span)

    def expect_writers(self, digests: Iterable[str]) -> None:
        """`latest_write` will be asked for these."""
        missing = {digest for digest in digests if digest not in self._writers and digest not in self._often}
        if self._latest and missing:
            often = self._latest.digests_written_often(missing, more_than=_MANY)
            self._often |= {digest: {} for digest in often}
            missing.difference_update(often)
        if self._together and missing:
            found = _by_digest(self._together.writes_of(missing))
            self._writers |= {digest: _earliest_first(found[digest]) for digest in missing}

    def expect_reads(self, spans: Iterable[Span], digests: Iterable[str]) -> Sequence[Artifact]:
        """`readers` will be asked for these spans, `reads` for these digests; return what was read for that now."""
        missing = {span for span in spans if span not in self._linked}
        unread = {digest for digest in digests if digest not in self._reads}
        if not self._together or not (missing or unread):
            return ()
        reads = self._together.reads_of(missing, unread)
        linked: defaultdict[Span, list[Artifact]] = defaultdict(list)
        for each in reads:
            if each.link is not None:
                linked[each.link.trace_id, each.link.span_id].append(each)
        of_digests = _by_digest(reads)
        self._linked |= {span: linked[span] for span in missing}
        self._reads |= {digest: of_digests[digest] for digest in unread}
        return reads

    def expect_readers_of_runs(self, runs: Iterable[Run]) -> Sequence[Artifact]:
        """`readers_of_run` will be asked for these; return what was read for it now."""
        missing = {run.run_id: run for run in runs if run.run_id not in self._linked_to_runs}
        if not self._together or not missing:
            return ()
        for run in missing.values():
            self.remember(run)
        found: defaultdict[str, list[Artifact]] = defaultdict(list)
        reads = self._together.reads_of_runs(missing)
        for each in reads:
            run_read = None if each.link is None else self._spans.get((each.link.trace_id, each.link.span_id))
            if run_read is not None:
                found[run_read.run_id].append(each)
        self._linked_to_runs |= {run_id: found[run_id] for run_id in missing}
        return reads

    def expect_dependents(self, runs: Iterable[Run]) -> None:
        """`dependents` will be asked for these."""
        missing = {span for run in runs if (span := (run.trace_id, run.span_id)) not in self._dependents}
        if self._together and missing:
            found: defaultdict[Span, list[Run]] = defaultdict(list)
            for each in self._together.dependents_of_spans(missing):
                self.remember(each)
                for span in {(link.trace_id, link.span_id) for link in each.dependencies}:
                    found[span].append(each)
            self._dependents |= {span: found[span] for span in missing}

    def remember(self, run: Run | None) -> None:
        """Take up a run that was read elsewhere."""
        if run is not None and self._runs.get(run.run_id) is not run:
            self._runs[run.run_id] = run
            for span_id in (run.span_id, *(each.span_id for each in (*run.inputs, *run.outputs))):
                self._spans[run.trace_id, span_id] = run


def _by_digest(artifacts: Iterable[Artifact]) -> defaultdict[str, list[Artifact]]:
    found: defaultdict[str, list[Artifact]] = defaultdict(list)
    for each in artifacts:
        if each.digest:
            found[each.digest].append(each)
    return found


def _earliest_first(artifacts: Iterable[Artifact]) -> list[Artifact]:
    return sorted(artifacts, key=_time)


def _time(artifact: Artifact) -> int:
    return artifact.time_ns
