"""What stores over a network do alike: fetch the traces that may answer a question, and answer it from those.

Their spans are read as the embedded store reads its lines.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from mlotel.model import Annotation, Artifact, Link, Prediction, Run
from mlotel.semconv import attributes as A
from mlotel.store import Store
from mlotel.store.conditions import Condition
from mlotel.store.fetching import Fetching
from mlotel.store.parsing import LineParser
from mlotel.store.predictions.keys import hashes
from mlotel.store.values import prediction_of_span

__all__ = ["RemoteStore"]

_TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
_OPEN_STATES = ("running", "lost")
# Of machines that say when something began; more than this, and links are not searched for far enough back.
_CLOCKS_DIFFER = 24 * 3600 * 10**9

S = TypeVar("S")


class RemoteStore(Fetching[S], Generic[S]):
    """The Store protocol over a backend of traces; `S` is what the backend is searched for.

    Runs that have not ended, the entries of manifests, flags, notes and labels are told in log records, which such a
    backend does not hold. `annotated` is the store that holds what was said of this one's runs.
    """

    annotated: Store | None = None

    @abstractmethod
    def _runs_like(self, component: str | None, where: Sequence[Condition]) -> Sequence[S]:
        """Searches that together find all runs of a component, or all runs, of which `where` may hold."""

    @abstractmethod
    def _runs_named(self, prefix: str) -> Sequence[S]:
        """Searches that together find all runs whose run id, trace id or span id begins so."""

    @abstractmethod
    def _spans_with(self, attributes: Mapping[str, str]) -> S:
        """A search for spans that have all these attributes."""

    @abstractmethod
    def _artifacts_of_digest(self, digest: str, attributes: Mapping[str, str]) -> Sequence[S]:
        """Searches that together find I/O spans of a digest, or of the beginning of one, with these attributes."""

    @abstractmethod
    def _links_to(self, trace_id: str, span_id: str, kind: str) -> Sequence[S]:
        """Searches that together find the spans with a link of this kind to a span."""

    @abstractmethod
    def translates(self, condition: Condition) -> bool:
        """Whether this store selects runs by the condition itself; for others, runs are read and looked at."""

    def runs(
        self,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Runs that have ended, latest start first, for which all of `where` holds."""
        if limit == 0:
            return ()
        for condition in where:
            if condition.key == "state" and condition.op == "=" and condition.value in _OPEN_STATES:
                self._note(f"runs that have not ended are told in log records, which {self._name} does not hold")
        since, until = _narrowed(*self._range(since_ns, until_ns), where)

        def latest(since: int) -> Sequence[Run]:
            return self._fetched.runs(component=component, since_ns=since, until_ns=until, where=where, limit=limit)

        with self._asking():
            enough = None if limit is None else lambda complete: len(latest(complete)) >= limit
            self._search(self._runs_like(component, where), since, until, enough)
            return latest(since)

    def find_runs(self, reference: str) -> Sequence[Run]:
        """Runs whose run id, trace id or span id equals or begins with `reference` (hex, at least 4 characters).

        Whole run and trace ids are searched for; for others the runs of the time range are gone through.
        """
        prefix = reference.strip().lower()
        if not 4 <= len(prefix) <= 32 or set(prefix) - set("0123456789abcdef"):
            return ()
        with self._asking():
            if len(prefix) < 32:
                self._search(self._runs_named(prefix), *self._range())
            elif not any(run.run_id == prefix and run.end_ns for run in self._fetched.find_runs(prefix)):
                self._keep(self._trace(prefix))
                if not self._fetched.find_runs(prefix):
                    search = self._spans_with({A.MLOTEL_RUN_ID: prefix})
                    self._search([search], *self._range(), lambda _: bool(self._fetched.find_runs(prefix)))
            return self._fetched.find_runs(prefix)

    def run_of_span(self, trace_id: str, span_id: str) -> Run | None:
        """The run to which a span belongs: the run span itself or one of its I/O spans."""
        trace_id, span_id = trace_id.lower(), span_id.lower()
        if not (_TRACE_ID.fullmatch(trace_id) and _SPAN_ID.fullmatch(span_id)):
            return None
        with self._asking():
            known = self._fetched.run_of_span(trace_id, span_id)
            if known is not None and known.end_ns:
                return known
            self._keep(self._trace(trace_id))
            return self._fetched.run_of_span(trace_id, span_id)

    def find_artifacts(
        self,
        *,
        digest: str | None = None,
        name: str | None = None,
        uri: str | None = None,
        direction: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Artifact]:
        """Artifacts by digest (whole, or a prefix of its hex), exact name or exact URI; latest first."""
        keys = {A.MLOTEL_ARTIFACT_NAME: name, A.MLOTEL_ARTIFACT_URI: uri, A.MLOTEL_IO_DIRECTION: direction}
        given = {key: value for key, value in keys.items() if value is not None}
        if digest is not None:
            searches = self._artifacts_of_digest(digest, given)
        elif given:
            searches = [self._spans_with(given)]
        else:
            searches = [self._spans_with({A.MLOTEL_IO_DIRECTION: each}) for each in ("output", "input")]
        since, until = self._range()
        with self._asking():
            (self._search if digest is None else self._search_once)(searches, since, until)
            found = self._fetched.find_artifacts(digest=digest, name=name, uri=uri, direction=direction)
            return tuple(each for each in found if since <= each.time_ns <= until)[:limit]

    def writer_of(self, digest: str, *, exclude_run: str | None = None, before_ns: int | None = None) -> Link | None:
        """The latest span that wrote content of this digest, other than empty content; None if there is none."""
        with self._asking():
            self.find_artifacts(digest=digest, direction="output")
            return self._fetched.writer_of(digest, exclude_run=exclude_run, before_ns=before_ns)

    def readers_of(self, trace_id: str, span_id: str) -> Sequence[Artifact]:
        """The artifacts that were read with a link to this span as their producer's, latest first."""
        with self._asking():
            self._search_links(trace_id.lower(), span_id.lower(), "consumes")
            return self._fetched.readers_of(trace_id, span_id)

    def dependents_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were said to depend on the run of this span, latest first."""
        with self._asking():
            self._search_links(trace_id.lower(), span_id.lower(), "depends_on")
            return self._fetched.dependents_of(trace_id, span_id)

    def children_of(self, trace_id: str, span_id: str) -> Sequence[Run]:
        """The runs that were started within the run of this span, latest first: they are of the same trace."""
        trace_id = trace_id.lower()
        if not _TRACE_ID.fullmatch(trace_id):
            return ()
        with self._asking():
            self._keep(self._trace(trace_id))
            return self._fetched.children_of(trace_id, span_id)

    def annotations(self, *, kind: str | None = None, target: str | None = None) -> Sequence[Annotation]:
        """What the store `annotated` holds; without one nothing, and the answer is partial: log records tell of it."""
        if self.annotated is not None:
            return self.annotated.annotations(kind=kind, target=target)
        self._note(f"flags, notes and labels are told in log records, which {self._name} does not hold")
        return ()

    def predictions(
        self, key: str, *, secret: bytes | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> Sequence[Prediction]:
        """The predictions that were logged with this key, latest first: those that spans tell of.

        A run of many keyed predictions keeps them in the data set of its embedded store alone.
        """
        known = hashes(key, secret, getattr(self.annotated, "record_secret", None))
        since, until = self._range(since_ns, until_ns)
        with self._asking():
            self._search([self._spans_with({A.MLOTEL_RECORD_KEY_HASH: each}) for each in known], since, until)
            found = [each for line in self._fetched.lines for each in _predictions(line, known)]
        within = dict.fromkeys(each for each in found if since <= each.time_ns <= until)
        return tuple(sorted(within, key=lambda each: each.time_ns, reverse=True))

    def manifest_entries(self, span_id: str) -> Sequence[Artifact]:
        """Nothing, and the answer is partial: what a manifest lists stands in log records."""
        self._note(f"what a manifest lists is told in log records, which {self._name} does not hold")
        return ()

    def _search_links(self, trace_id: str, span_id: str, kind: str) -> None:
        since, until = self._range()
        linked = self._fetched.run_of_span(trace_id, span_id)
        if linked is not None:  # what names it came later
            since = max(since, linked.start_ns - _CLOCKS_DIFFER)
        self._search_once(self._links_to(trace_id, span_id, kind), since, until)


def _narrowed(since: int, until: int, where: Iterable[Condition]) -> tuple[int, int]:
    """The part of a time range in which runs can lie that meet conditions on their start."""
    for condition in where:
        if condition.key == "time" and isinstance(condition.value, int) and condition.op != "exists":
            if condition.op in (">", ">="):
                since = max(since, condition.value)
            else:
                until = min(until, condition.value)
    return since, until


def _predictions(line: bytes, key_hashes: Sequence[str]) -> Iterator[Prediction]:
    """The prediction that a line tells of, if its key has one of these hashes."""
    if not any(each.encode() in line for each in key_hashes):
        return
    for item in LineParser().items(line):
        said = None if item.span is None else prediction_of_span(item.span)
        if said is not None and said.key_hash in key_hashes:
            yield said
