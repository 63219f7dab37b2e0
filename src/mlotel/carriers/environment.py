"""The context of a run and of what it wrote in the environment of the processes that it starts.

``TRACEPARENT`` is the running component (the parent of runs in the child), ``MLOTEL_PIPELINE`` its pipeline;
``MLOTEL_ARTIFACTS`` tells which span wrote which digest, for children that read what their parent wrote on a machine
where no store is shared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from mlotel.carriers import artifact_context
from mlotel.model import ArtifactContext

__all__ = ["ARTIFACTS", "PIPELINE", "TRACEPARENT", "artifacts", "variables"]

TRACEPARENT = "TRACEPARENT"
ARTIFACTS = "MLOTEL_ARTIFACTS"
PIPELINE = "MLOTEL_PIPELINE"
_MOST = 64  # an environment is limited to some 100 KB a variable; 64 contexts take 10


def variables(traceparent: str, pipeline: str | None = None, written: Iterable[ArtifactContext] = ()) -> dict[str, str]:
    """Return the variables to add to a child's environment: the latest 64 of the artifacts `written` are told."""
    found = {TRACEPARENT: traceparent}
    if pipeline is not None:
        found[PIPELINE] = pipeline
    pairs = {context.digest: context.traceparent for context in written if context.digest is not None}
    if pairs:
        found[ARTIFACTS] = json.dumps(dict(list(pairs.items())[-_MOST:]), separators=(",", ":"))
    return found


def artifacts(environment: Mapping[str, str]) -> dict[str, ArtifactContext]:
    """Return the contexts, by digest, of the artifacts that this process's parent wrote."""
    try:
        fields = json.loads(environment.get(ARTIFACTS, "{}")[:100_000])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(fields, dict):
        return {}
    contexts = (artifact_context(traceparent, digest) for digest, traceparent in list(fields.items())[:_MOST])
    return {context.digest: context for context in contexts if context is not None and context.digest is not None}
