"""A lineage as OpenLineage events: what its runs would have told OpenLineage while they ran.

Each run gives a START event and, once it has ended, a COMPLETE, FAIL or ABORT event (ABORT for a lost run as well);
one that is still running gives a RUNNING event if it has read or written anything. Datasets stand on the last event of
a run, since only then all of them are known. All facets are OpenLineage's own, so nothing is needed to read them.

A dataset is named by OpenLineage's naming rules (https://openlineage.io/docs/spec/naming) after where it lies, and its
digest is its version. An artifact that lies nowhere is named after the job that wrote it, or else by its digest: the
same name in two jobs makes no lineage. Spec: https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import UUID

from mlotel._version import __version__
from mlotel.cli.text import timestamp
from mlotel.lineage import node_id
from mlotel.model import Artifact, Lineage, Run
from mlotel.semconv import attributes as A

__all__ = ["openlineage"]

_PRODUCER = f"pkg:pypi/mlotel@{__version__}"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "DatasetTypeDatasetFacet": "1-0-1",
    "DatasetVersionDatasetFacet": "1-0-1",
    "DatasourceDatasetFacet": "1-0-1",
    "ErrorMessageRunFacet": "1-0-1",
    "ExecutionParametersRunFacet": "1-0-0",
    "InputStatisticsInputDatasetFacet": "1-0-0",
    "JobDependenciesRunFacet": "1-0-1",
    "JobTypeJobFacet": "2-0-4",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "OwnershipJobFacet": "1-0-1",
    "ParentRunFacet": "1-2-0",
    "SourceCodeLocationJobFacet": "1-1-0",
    "SymlinksDatasetFacet": "1-0-1",
    "TagsRunFacet": "1-0-0",
}
"""The version of each facet's schema."""

_ENDS = {"ok": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT", "lost": "ABORT"}
_DEFAULT_NAMESPACE = "default"  # OpenLineage's clients use it for jobs without one
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ROOTED = ("file", "hdfs", "dbfs")
"""Schemes of file systems, whose paths begin with a slash; the keys of object stores do not."""

_ONE_NAME = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
"""Schemes by which one place is known as well."""

Name = tuple[str, str]


def openlineage(lineage: Lineage) -> list[dict[str, Any]]:
    """Return the events of all runs of a lineage, earliest first, each as a JSON object.

    Args:
        lineage: the runs, and the artifacts by which they hang together; only those become datasets.
    """
    return _Events(lineage).all()


class _Events:
    """The events of one lineage while they are made."""

    def __init__(self, lineage: Lineage) -> None:
        self._runs = {run.run_id: run for run in lineage.runs}
        self._by_span = {(run.trace_id, run.span_id): run for run in lineage.runs}
        self._artifacts = {node_id(each): each for each in lineage.artifacts}
        self._read: defaultdict[str, list[str]] = defaultdict(list)
        self._wrote: defaultdict[str, list[str]] = defaultdict(list)
        self._needed: defaultdict[str, list[Run]] = defaultdict(list)
        self._writers: dict[str, Run] = {}
        for edge in lineage.edges:
            if edge.kind == "read":
                self._read[edge.target].append(edge.source)
            elif edge.kind == "write":
                self._wrote[edge.source].append(edge.target)
                self._writers.setdefault(edge.target, self._runs[edge.source])
            elif edge.kind == "depends_on":
                self._needed[edge.target].append(self._runs[edge.source])

    def all(self) -> list[dict[str, Any]]:
        events = [event for run in self._runs.values() for event in self._of(run)]
        return sorted(events, key=lambda event: str(event["eventTime"]))  # stable: a START stays before its end

    def _of(self, run: Run) -> Iterator[dict[str, Any]]:
        yield self._event(run, "START", run.start_ns)
        datasets = {
            "inputs": [self._dataset(node, run, "input") for node in self._read[run.run_id]],
            "outputs": [self._dataset(node, run, "output") for node in self._wrote[run.run_id]],
        }
        if run.state in _ENDS:
            # Of a lost run nobody knows when it ended
            yield self._event(run, _ENDS[run.state], run.start_ns if run.end_ns is None else run.end_ns) | datasets
        elif datasets["inputs"] or datasets["outputs"]:
            latest = max(each.time_ns for each in (*run.inputs, *run.outputs))
            yield self._event(run, "RUNNING", latest) | datasets

    def _event(self, run: Run, kind: str, time_ns: int) -> dict[str, Any]:
        return {
            "eventType": kind,
            "eventTime": timestamp(time_ns),
            "run": {"runId": _uuid(run), "facets": self._run_facets(run, ended=kind not in ("START", "RUNNING"))},
            "job": {**_job(run), "facets": _job_facets(run)},
            "inputs": [],
            "outputs": [],
            "producer": _PRODUCER,
            "schemaURL": _EVENT,
        }

    def _run_facets(self, run: Run, *, ended: bool) -> dict[str, Any]:
        facets = {}
        parent = self._by_span.get((run.trace_id, run.parent_span_id or ""))
        if parent is not None:
            facets["parent"] = _facet("ParentRunFacet", **_identity(parent))
        if run.params:
            parameters = [{"key": key, "value": _text(value)} for key, value in run.params.items()]
            facets["executionParameters"] = _facet("ExecutionParametersRunFacet", parameters=parameters)
        if run.tags:
            tags = [{"key": key, "value": value, "source": "USER"} for key, value in run.tags.items()]
            facets["tags"] = _facet("TagsRunFacet", tags=tags)
        if self._needed[run.run_id]:
            needed = [_identity(each) for each in self._needed[run.run_id]]
            facets["jobDependencies"] = _facet("JobDependenciesRunFacet", upstream=needed, downstream=[])
        message = _error(run)
        if ended and message:
            facets["errorMessage"] = _facet("ErrorMessageRunFacet", message=message, programmingLanguage="PYTHON")
        return facets

    def _dataset(self, node: str, run: Run, direction: str) -> dict[str, Any]:
        artifact = self._artifacts[node]
        namespace, name = self._name(artifact)
        sides = run.inputs if direction == "input" else run.outputs
        own = next((each for each in sides if node_id(each) == node), artifact)  # as this run saw it
        facets = {}
        if artifact.digest:
            facets["version"] = _facet("DatasetVersionDatasetFacet", datasetVersion=artifact.digest)
        if artifact.type:
            facets["datasetType"] = _facet("DatasetTypeDatasetFacet", datasetType=artifact.type.upper())
        if (uri := _uri(artifact.uri)) is not None:
            facets["dataSource"] = _facet("DatasourceDatasetFacet", name=namespace, uri=uri)
        elsewhere = _place(own.uri)
        if elsewhere not in (None, (namespace, name)):
            other = {"namespace": elsewhere[0], "name": elsewhere[1], "type": "LOCATION"}
            facets["symlinks"] = _facet("SymlinksDatasetFacet", identifiers=[other])
        counts = {key: count for key, count in (("rowCount", own.rows), ("size", own.size)) if count is not None}
        kind = "InputStatisticsInputDatasetFacet" if direction == "input" else "OutputStatisticsOutputDatasetFacet"
        statistics = {f"{direction}Statistics": _facet(kind, **counts)} if counts else {}
        return {"namespace": namespace, "name": name, "facets": facets, f"{direction}Facets": statistics}

    def _name(self, artifact: Artifact) -> Name:
        place = _place(artifact.uri)
        if place is not None:
            return place
        writer = self._writers.get(node_id(artifact))
        if writer is None:
            return _DEFAULT_NAMESPACE, f"{artifact.name}@{node_id(artifact)}"
        job = _job(writer)
        return job["namespace"], f"{job['name']}/{artifact.name}"


def _place(uri: str | None) -> Name | None:
    """Return the namespace and the name of what lies at `uri`, or None where that says nothing."""
    try:
        parts = urlsplit(uri or "")
    except ValueError:
        return None
    if not parts.scheme or not parts.path.strip("/"):
        return None
    scheme = _ONE_NAME.get(parts.scheme, parts.scheme)
    namespace = f"{scheme}://{parts.netloc}" if parts.netloc else scheme
    path = unquote(parts.path) if scheme in ("file", "s3", "gs") else parts.path
    name = path if scheme in _ROOTED else path.lstrip("/")
    return namespace, f"{name}?{parts.query}" if parts.query else name


def _uri(text: object) -> str | None:
    """Return `text` with what no URI may hold written as percent codes, or None where it is no URI at all."""
    return quote(str(text), safe="%:/?#[]@!$&'()*+,;=~") if _SCHEME.match(str(text or "")) else None


def _identity(run: Run) -> dict[str, Any]:
    return {"run": {"runId": _uuid(run)}, "job": _job(run)}


def _uuid(run: Run) -> str:
    return str(UUID(hex=run.run_id))


def _job(run: Run) -> dict[str, Any]:
    """Return which job the run is of: within its service, the component of its pipeline."""
    known = run.service and not run.service.startswith("unknown_service")
    namespace = run.service if known else None
    name = f"{run.pipeline}.{run.component}" if run.pipeline else run.component
    return {"namespace": namespace or _DEFAULT_NAMESPACE, "name": name}


def _job_facets(run: Run) -> dict[str, Any]:
    facets = {"jobType": _facet("JobTypeJobFacet", processingType="BATCH", integration="MLOTEL", jobType="TASK")}
    owner = run.attributes.get(A.MLOTEL_COMPONENT_OWNER)
    if owner:
        facets["ownership"] = _facet("OwnershipJobFacet", owners=[{"name": str(owner)}])
    if (repository := _uri(run.git.get("repository"))) is not None:
        code = {"type": "git", "url": repository, "repoUrl": repository}
        code |= {
            key: str(run.git[name]) for key, name in (("version", "commit"), ("branch", "branch")) if name in run.git
        }
        facets["sourceCodeLocation"] = _facet("SourceCodeLocationJobFacet", **code)
    return facets


def _facet(kind: str, **content: Any) -> dict[str, Any]:
    schema = f"{_SPEC}/facets/{_FACETS[kind]}/{kind}.json#/$defs/{kind}"
    return {"_producer": _PRODUCER, "_schemaURL": schema, **content}


def _error(run: Run) -> str:
    if run.state == "lost":
        return "lost: its process ended without telling how"
    return ": ".join(run.error[key] for key in ("type", "message") if run.error.get(key)) if run.error else ""


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
