"""What, when, where and how of one run: what it says of itself, and what its store knows around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlotel.inspection._attempts import Attempts, attempts
from mlotel.inspection._staleness import staleness
from mlotel.lineage import Producers
from mlotel.model import Artifact, Run, Staleness
from mlotel.semconv import attributes as A
from mlotel.store import Store

__all__ = ["Explanation", "Source", "explain"]

_WHAT = {
    "description": A.MLOTEL_COMPONENT_DESCRIPTION,
    "owner": A.MLOTEL_COMPONENT_OWNER,
    "component_tags": A.MLOTEL_COMPONENT_TAGS,
    "experiment": A.MLOTEL_EXPERIMENT_NAME,
    "model": A.MLOTEL_MODEL_NAME,
    "model_version": A.MLOTEL_MODEL_VERSION,
    "model_digest": A.MLOTEL_MODEL_DIGEST,
    "flag": A.FEATURE_FLAG_KEY,
    "variant": A.FEATURE_FLAG_RESULT_VARIANT,
    "exit_code": A.PROCESS_EXIT_CODE,
}
_WHERE = {
    "service": A.SERVICE_NAME,
    "service_version": A.SERVICE_VERSION,
    "service_instance": A.SERVICE_INSTANCE_ID,
    "replica": A.MLOTEL_REPLICA,
    "environment": A.DEPLOYMENT_ENVIRONMENT_NAME,
    "region": A.CLOUD_REGION,
    "zone": A.CLOUD_AVAILABILITY_ZONE,
    "provider": A.CLOUD_PROVIDER,
    "platform": A.CLOUD_PLATFORM,
    "account": A.CLOUD_ACCOUNT_ID,
    "resource": A.CLOUD_RESOURCE_ID,
    "host": A.HOST_NAME,
    "host_id": A.HOST_ID,
    "architecture": A.HOST_ARCH,
    "system": A.OS_TYPE,
    "container": A.CONTAINER_NAME,
    "container_id": A.CONTAINER_ID,
    "image": A.CONTAINER_IMAGE_NAME,
    "cluster": A.K8S_CLUSTER_NAME,
    "namespace": A.K8S_NAMESPACE_NAME,
    "node": A.K8S_NODE_NAME,
    "deployment": A.K8S_DEPLOYMENT_NAME,
    "cronjob": A.K8S_CRONJOB_NAME,
    "job": A.K8S_JOB_NAME,
    "pod": A.K8S_POD_NAME,
    "process": A.PROCESS_PID,
    "process_created": A.PROCESS_CREATION_TIME,
    "runtime": A.PROCESS_RUNTIME_NAME,
    "runtime_version": A.PROCESS_RUNTIME_VERSION,
    "peak_memory": A.MLOTEL_RUN_MEMORY_PEAK,
}
_HOW = {
    "commit": A.VCS_REF_HEAD_REVISION,
    "branch": A.VCS_REF_HEAD_NAME,
    "dirty": A.MLOTEL_VCS_DIRTY,
    "repository": A.VCS_REPOSITORY_URL_FULL,
    "code": A.MLOTEL_CODE_DIGEST,
    "function": A.CODE_FUNCTION_NAME,
    "file": A.CODE_FILE_PATH,
    "packages": A.MLOTEL_ENVIRONMENT_DIGEST,
    "params_digest": A.MLOTEL_PARAMS_DIGEST,
}
_TRIGGER = {
    "orchestrator": A.MLOTEL_ORCHESTRATOR_NAME,
    "pipeline_run": A.CICD_PIPELINE_RUN_ID,
    "task": A.CICD_PIPELINE_TASK_NAME,
    "task_run": A.CICD_PIPELINE_TASK_RUN_ID,
    "command": A.PROCESS_EXECUTABLE_NAME,
}


@dataclass(frozen=True, slots=True)
class Source:
    """Who wrote an input, and when: nanoseconds since the epoch. `resolved_by` says how that was found."""

    read: Artifact
    run: Run
    written_ns: int
    resolved_by: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A run and what is known around it; of what nobody said there is None.

    `sources` are those of its inputs whose writers are known. `parent` is the run that it was started within, and
    `children` those that were started within it, the earliest first. `what`, `where`, `how` and `trigger` hold
    attributes of its span and its resource by short names, each name always there.
    """

    run: Run
    sources: tuple[Source, ...]
    parent: Run | None
    children: tuple[Run, ...]
    attempts: Attempts
    queue_s: float | None
    stale: tuple[Staleness, ...]
    what: Mapping[str, object]
    where: Mapping[str, object]
    how: Mapping[str, object]
    trigger: Mapping[str, object]


def explain(store: Store, run: Run, now_ns: int | None = None) -> Explanation:
    """Return what, when, where and how a run was.

    Args:
        store: where the run was read from.
        run: the run.
        now_ns: the present, nanoseconds since the epoch; by default the time of day.

    Raises:
        StoreError: the store cannot be read.
    """
    queue = run.attributes.get(A.MLOTEL_RUN_QUEUE_TIME)
    return Explanation(
        run=run,
        sources=tuple(_sources(Producers(store, (run,)), run)),
        parent=None if run.parent_span_id is None else store.run_of_span(run.trace_id, run.parent_span_id),
        children=tuple(sorted(store.children_of(run.trace_id, run.span_id), key=lambda each: each.start_ns)),
        attempts=attempts(store, run),
        queue_s=float(queue) if isinstance(queue, int | float) and not isinstance(queue, bool) else None,
        stale=staleness(store, run, now_ns),
        what=_said(run, _WHAT),
        where=_said(run, _WHERE),
        how=_said(run, _HOW),
        trigger=_said(run, _TRIGGER),
    )


def _sources(producers: Producers, run: Run) -> Iterator[Source]:
    for read in run.inputs:
        found = producers.of(read)
        if found is not None:
            written_ns = found.instance.time_ns if found.instance.direction == "output" else found.run.start_ns
            yield Source(read, found.run, written_ns, found.resolved_by)


def _said(run: Run, names: Mapping[str, str]) -> dict[str, object]:
    return {key: run.attributes.get(name) for key, name in names.items()}
