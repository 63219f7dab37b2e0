"""A lineage as one trace, so that what shows traces shows all of it at once, over the traces that it really spans.

The trace follows from the answer: its id is a digest of the root, the runs and the edges, and a span's id one of what
it stands for. So the same answer sent twice is one trace. Runs that have not ended are left out: their spans would be
others later.

A trace is a tree and a lineage is not. A run is a child of the write that it waited for longest, the latest of those
that it read from; each of its reads links to the write that it read from, whichever that is. Times are the originals';
of a read or write the beginning is known alone, and its span takes a nanosecond.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from blake3 import blake3
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from mlotel._version import __version__
from mlotel.lineage import node_id
from mlotel.model import Artifact, Edge, Lineage, Run
from mlotel.semconv import attributes as A

__all__ = ["Projection", "project"]

_SERVICE = "mlotel.lineage"
_MOST_ATTRIBUTES = 100
_OF_RUN = (
    A.MLOTEL_COMPONENT_VERSION,
    A.CICD_PIPELINE_NAME,
    A.ERROR_TYPE,
    A.VCS_REF_HEAD_REVISION,
    A.VCS_REF_HEAD_NAME,
    A.MLOTEL_VCS_DIRTY,
)
_BELOW = (f"{A.MLOTEL_METRIC}.", f"{A.MLOTEL_PARAM}.", f"{A.MLOTEL_TAG}.")


@dataclass(frozen=True, slots=True)
class Projection:
    """The spans of a lineage's trace. `unended` counts the runs that are left out as they have not ended."""

    trace_id: str
    spans: tuple[ReadableSpan, ...]
    runs: int
    unended: int


def project(lineage: Lineage) -> Projection:
    """Return a lineage as one trace; without spans where no run of it has ended.

    Args:
        lineage: the runs, and the edges by which they hang together.
    """
    drawing = _Drawing(lineage)
    return Projection(
        drawing.trace_id, tuple(drawing.spans()), len(drawing.runs), len(lineage.runs) - len(drawing.runs)
    )


@dataclass(frozen=True, slots=True)
class _Write:
    """An artifact as one run of the lineage wrote it."""

    run: Run
    node: str
    artifact: Artifact


class _Drawing:
    """One lineage while it becomes a trace."""

    def __init__(self, lineage: Lineage) -> None:
        ended = [run for run in lineage.runs if run.end_ns is not None or run.state == "lost"]
        self.runs = {run.run_id: run for run in sorted(ended, key=lambda run: (run.start_ns, run.run_id))}
        self._root = lineage.root
        self._artifacts = {node_id(each): each for each in lineage.artifacts}
        self._own = {
            (run.run_id, each.direction, node_id(each)): each
            for run in self.runs.values()
            for each in (*run.inputs, *run.outputs)
        }
        self._reads: defaultdict[str, list[Edge]] = defaultdict(list)
        self._needs: defaultdict[str, list[Run]] = defaultdict(list)
        self._wrote: defaultdict[str, list[_Write]] = defaultdict(list)  # by run
        self._writes: defaultdict[str, list[_Write]] = defaultdict(list)  # by artifact
        drawn = sorted(filter(self._is_drawn, lineage.edges), key=lambda edge: (edge.source, edge.target, edge.kind))
        for edge in drawn:
            if edge.kind == "read":
                self._reads[edge.target].append(edge)
            elif edge.kind == "write":
                write = _Write(self.runs[edge.source], edge.target, self._as(edge.source, "output", edge.target))
                self._wrote[edge.source].append(write)
                self._writes[edge.target].append(write)
            else:
                self._needs[edge.target].append(self.runs[edge.source])
        known = [sorted(self.runs), [(edge.source, edge.target, edge.kind) for edge in drawn]]
        self.trace_id = blake3(msgspec.json.encode([self._root, *known])).hexdigest(16)
        self._resource = Resource({A.SERVICE_NAME: _SERVICE})
        self._scope = InstrumentationScope("mlotel", __version__)

    def _is_drawn(self, edge: Edge) -> bool:
        ends = {"read": [edge.target], "write": [edge.source], "depends_on": [edge.source, edge.target]}
        return edge.kind in ends and all(run_id in self.runs for run_id in ends[edge.kind])

    def spans(self) -> Iterator[ReadableSpan]:
        runs = list(self.runs.values())
        if runs:
            yield self._whole(runs)
        for run in runs:
            sources = {edge: self._source(run, edge.source) for edge in self._reads[run.run_id]}
            yield self._of_run(run, [each for each in sources.values() if each is not None])
            for edge, source in sources.items():
                yield self._of_read(run, edge, source)
            for write in self._wrote[run.run_id]:
                yield self._io("write", run, write.node, write.artifact)

    def _whole(self, runs: Sequence[Run]) -> ReadableSpan:
        if self._root in self._artifacts:
            name = self._artifacts[self._root].name
        else:
            name = self.runs[self._root].component if self._root in self.runs else self._root
        times = min(run.start_ns for run in runs), max(_end(run) for run in runs)
        return self._span("lineage", self._root, f"lineage of {name}", times, self._context("lineage"))

    def _of_run(self, run: Run, sources: Sequence[_Write]) -> ReadableSpan:
        # Only what began earlier can stand above, so that no cycle of the data becomes one of the trace.
        def earlier(other: Run) -> bool:
            return (other.start_ns, other.run_id) < (run.start_ns, run.run_id)

        needs = self._needs[run.run_id]
        above = [(each.artifact.time_ns, self._of_write(each)) for each in sources if earlier(each.run)]
        above = above or [(_end(each), self._context("run", each.run_id)) for each in needs if earlier(each)]
        parent = max(above, key=lambda each: each[0])[1] if above else self._context("lineage")
        links = [_link(_context(run.trace_id, run.span_id), "projection_of")]
        links += [_link(self._context("run", each.run_id), "depends_on") for each in needs]
        attributes: dict[str, Any] = {A.MLOTEL_RUN_STATE: run.state}
        if run.service:
            attributes[A.MLOTEL_PROJECTION_SERVICE] = run.service
        for key, value in run.attributes.items():
            if isinstance(value, str | bool | int | float) and (key in _OF_RUN or key.startswith(_BELOW)):
                attributes[key] = value
        status = Status(StatusCode.ERROR, _told(run)) if run.state == "failed" else Status()
        times, context = (run.start_ns, _end(run)), self._context("run", run.run_id)
        return self._span("run", run.run_id, run.component, times, context, parent, links, attributes, status)

    def _of_read(self, run: Run, edge: Edge, source: _Write | None) -> ReadableSpan:
        how = {} if edge.resolved_by is None else {A.MLOTEL_LINK_RESOLVED_BY: edge.resolved_by}
        links = [] if source is None else [_link(self._of_write(source), "consumes", how)]
        return self._io("read", run, edge.source, self._as(run.run_id, "input", edge.source), links, how)

    def _io(
        self,
        kind: str,
        run: Run,
        node: str,
        artifact: Artifact,
        links: Sequence[Link] = (),
        attributes: Mapping[str, Any] | None = None,
    ) -> ReadableSpan:
        told = {
            A.MLOTEL_ARTIFACT_TYPE: artifact.type,
            A.MLOTEL_ARTIFACT_ROWS: artifact.rows,
            A.MLOTEL_ARTIFACT_COLUMNS: artifact.columns,
            A.MLOTEL_ARTIFACT_SIZE: artifact.size,
        }
        known = {**(attributes or {}), **{key: value for key, value in told.items() if value is not None}}
        if artifact.run_id == run.run_id:
            links = [_link(_context(run.trace_id, artifact.span_id), "projection_of"), *links]
        time_ns = min(max(artifact.time_ns, run.start_ns), _end(run))
        context, parent = self._context(kind, run.run_id, node), self._context("run", run.run_id)
        return self._span(kind, node, f"{kind} {artifact.name}", (time_ns, time_ns), context, parent, links, known)

    def _span(
        self,
        kind: str,
        node: str,
        name: str,
        times: tuple[int, int],
        context: SpanContext,
        parent: SpanContext | None = None,
        links: Sequence[Link] = (),
        attributes: Mapping[str, Any] | None = None,
        status: Status | None = None,
    ) -> ReadableSpan:
        known = {A.MLOTEL_PROJECTION_KIND: kind, A.MLOTEL_PROJECTION_NODE: node, **(attributes or {})}
        return ReadableSpan(
            name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=dict(list(known.items())[:_MOST_ATTRIBUTES]),
            links=links,
            status=status or Status(),
            start_time=times[0],
            end_time=max(times[1], times[0] + 1),  # Jaeger warns of spans that take no time
            instrumentation_scope=self._scope,
        )

    def _as(self, run_id: str, direction: str, node: str) -> Artifact:
        """Return an artifact as this run read or wrote it, or as the answer has it where a manifest lists it."""
        return self._own.get((run_id, direction, node)) or self._artifacts[node]

    def _source(self, run: Run, node: str) -> _Write | None:
        """Return the write that a run read: the one that it links to, else the latest before, else the first."""
        read = self._as(run.run_id, "input", node)
        writes = self._writes[node]
        if read.link is not None:
            writes = [each for each in writes if each.artifact.span_id == read.link.span_id] or writes
        before = [each for each in writes if each.artifact.time_ns <= read.time_ns]
        if before:
            return max(before, key=lambda each: each.artifact.time_ns)
        return min(writes, key=lambda each: each.artifact.time_ns, default=None)

    def _of_write(self, write: _Write) -> SpanContext:
        return self._context("write", write.run.run_id, write.node)

    def _context(self, *of: str) -> SpanContext:
        return _context(self.trace_id, blake3(msgspec.json.encode([self.trace_id, *of])).hexdigest(8))


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _link(context: SpanContext, kind: str, attributes: Mapping[str, Any] | None = None) -> Link:
    return Link(context, {A.MLOTEL_LINK_TYPE: kind, **(attributes or {})})


def _end(run: Run) -> int:
    return run.start_ns if run.end_ns is None else max(run.start_ns, run.end_ns)


def _told(run: Run) -> str | None:
    error = run.error or {}
    return ": ".join(error[key] for key in ("type", "message") if error.get(key)) or None
