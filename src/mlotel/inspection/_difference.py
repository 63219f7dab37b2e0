"""What differs between two runs, and what of it is the likeliest to explain that they came out differently."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from mlotel.inspection._pairs import Pair, pairs
from mlotel.inspection._verdict import Verdict, verdict
from mlotel.model import Artifact, Run
from mlotel.semconv import attributes as A

__all__ = ["Change", "Difference", "difference"]

_CODE = {
    "commit": A.VCS_REF_HEAD_REVISION,
    "branch": A.VCS_REF_HEAD_NAME,
    "dirty": A.MLOTEL_VCS_DIRTY,
    "repository": A.VCS_REPOSITORY_URL_FULL,
    "code": A.MLOTEL_CODE_DIGEST,
}
_PACKAGES = {"packages": A.MLOTEL_ENVIRONMENT_DIGEST}
_ENVIRONMENT = {
    "python": A.PROCESS_RUNTIME_VERSION,
    "implementation": A.PROCESS_RUNTIME_NAME,
    "host": A.HOST_NAME,
    "architecture": A.HOST_ARCH,
    "system": A.OS_TYPE,
    "environment": A.DEPLOYMENT_ENVIRONMENT_NAME,
    "service": A.SERVICE_NAME,
    "provider": A.CLOUD_PROVIDER,
    "region": A.CLOUD_REGION,
    "zone": A.CLOUD_AVAILABILITY_ZONE,
    "image": A.CONTAINER_IMAGE_NAME,
    "cluster": A.K8S_CLUSTER_NAME,
    "node": A.K8S_NODE_NAME,
}
_PREDICTIONS = {
    "count": A.MLOTEL_PREDICTION_COUNT,
    "missing": A.MLOTEL_PREDICTION_MISSING,
    "mean": A.MLOTEL_PREDICTION_MEAN,
    "std": A.MLOTEL_PREDICTION_STD,
    "min": A.MLOTEL_PREDICTION_MIN,
    "max": A.MLOTEL_PREDICTION_MAX,
    "skew": A.MLOTEL_PREDICTION_SKEW,
    "kurtosis": A.MLOTEL_PREDICTION_KURTOSIS,
}
# What is computed comes out a little differently when it is added up in another order: that is no difference.
_ROUNDING = 1e-12
_STATISTICS = ("rows", "columns", "missing", "size")


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs. None stands for what was not recorded.

    Of two numbers `absolute` is after − before, and `relative` is absolute / |before|; None where that is no number, or
    where before is zero but for rounding (10⁻¹² of after).
    """

    key: str
    before: object
    after: object
    absolute: float | None = None
    relative: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two runs, each part holding its differences alone; `verdict` says it in words.

    `inputs` and `outputs` tell artifacts apart that are not the same under the same name; `schemas` and `statistics`
    are of those that stand on both sides.
    """

    before: Run
    after: Run
    verdict: Verdict
    outcome: tuple[Change, ...]
    code: tuple[Change, ...]
    packages: tuple[Change, ...]
    params: tuple[Change, ...]
    inputs: tuple[Pair, ...]
    outputs: tuple[Pair, ...]
    schemas: tuple[Change, ...]
    statistics: tuple[Change, ...]
    predictions: tuple[Change, ...]
    metrics: tuple[Change, ...]
    usage: tuple[Change, ...]
    environment: tuple[Change, ...]


def difference(before: Run, after: Run) -> Difference:
    """Return what differs between two runs, of one component or of two."""
    inputs, outputs = tuple(pairs(before.inputs, after.inputs)), tuple(pairs(before.outputs, after.outputs))
    both = [(f"{side} {pair.name}", pair) for side, of in (("input", inputs), ("output", outputs)) for pair in of]
    return Difference(
        before=before,
        after=after,
        verdict=verdict(before, after, inputs),
        outcome=tuple(_changes(_outcome(before), _outcome(after))),
        code=(*_changes({"version": before.version}, {"version": after.version}), *_attributes(before, after, _CODE)),
        packages=_attributes(before, after, _PACKAGES),
        params=tuple(_changes(before.params, after.params)),
        inputs=tuple(pair for pair in inputs if pair.kind != "same"),
        outputs=tuple(pair for pair in outputs if pair.kind != "same"),
        schemas=tuple(_schemas(both)),
        statistics=tuple(_statistics(both)),
        predictions=tuple(_changes(_predictions(before), _predictions(after), tolerance=_ROUNDING)),
        metrics=tuple(_changes(before.metrics, after.metrics, tolerance=_ROUNDING)),
        usage=tuple(_changes(_usage(before), _usage(after))),
        environment=_attributes(before, after, _ENVIRONMENT),
    )


def _attributes(before: Run, after: Run, names: Mapping[str, str]) -> tuple[Change, ...]:
    one, other = ({key: run.attributes.get(name) for key, name in names.items()} for run in (before, after))
    return tuple(_changes(one, other))


def _changes(before: Mapping[str, object], after: Mapping[str, object], tolerance: float = 0.0) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        change = _change(key, before.get(key), after.get(key), tolerance)
        if change is not None:
            yield change


def _change(key: str, before: object, after: object, tolerance: float) -> Change | None:
    """Return how a value changed; None where it did not. 1 and 1.0 are one value and True is another, NaN is one."""
    if _is_number(before) and _is_number(after):
        if before == after or (before != before and after != after):
            return None
        both_real = isinstance(before, float) and isinstance(after, float)
        if both_real and math.isclose(before, after, rel_tol=tolerance):
            return None
        return Change(key, before, after, *_amounts(before, after))
    if before == after and isinstance(before, bool) is isinstance(after, bool):
        return None
    return Change(key, before, after)


def _amounts(before: float, after: float) -> tuple[float | None, float | None]:
    """Return the absolute and the relative change, None for what is no finite number."""
    try:
        absolute = after - before
        relative = absolute / abs(before) if abs(before) > _ROUNDING * abs(after) else math.inf
        return absolute if math.isfinite(absolute) else None, relative if math.isfinite(relative) else None
    except OverflowError:  # integers that no float can hold
        return None, None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _outcome(run: Run) -> dict[str, object]:
    error = run.error or {}
    return {
        "component": run.component,
        "pipeline": run.pipeline,
        "state": run.state,
        "error": error.get("type"),
        "message": error.get("message"),
        "exit code": run.attributes.get(A.PROCESS_EXIT_CODE),
    }


def _usage(run: Run) -> dict[str, object]:
    return {
        "duration": run.duration_s,
        "CPU time": run.attributes.get(A.MLOTEL_RUN_CPU_TIME),
        "peak memory": run.attributes.get(A.MLOTEL_RUN_MEMORY_PEAK),
        "queue time": run.attributes.get(A.MLOTEL_RUN_QUEUE_TIME),
    }


def _predictions(run: Run) -> dict[str, object]:
    found = {key: run.attributes[name] for key, name in _PREDICTIONS.items() if name in run.attributes}
    names = run.attributes.get(A.MLOTEL_PREDICTION_CLASS_NAMES)
    counts = run.attributes.get(A.MLOTEL_PREDICTION_CLASS_COUNTS)
    if isinstance(names, list | tuple) and isinstance(counts, list | tuple):
        found |= {f"class {name}": count for name, count in zip(names, counts, strict=False)}
    return found


def _schemas(both: Iterable[tuple[str, Pair]]) -> Iterator[Change]:
    for name, pair in both:
        before, after = pair.before, pair.after
        if before is not None and after is not None and before.schema_digest != after.schema_digest:
            yield Change(name, before.schema_digest, after.schema_digest)


def _statistics(both: Iterable[tuple[str, Pair]]) -> Iterator[Change]:
    for name, pair in both:
        if pair.before is not None and pair.after is not None:
            yield from _changes(_counts(name, pair.before), _counts(name, pair.after))


def _counts(name: str, artifact: Artifact) -> dict[str, object]:
    return {f"{name} {each}": getattr(artifact, each) for each in _STATISTICS}
