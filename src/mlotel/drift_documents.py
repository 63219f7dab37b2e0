"""What `mlotel drift --format json` prints, as plain values that `schemas/drift.schema.json` describes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mlotel.drift import DriftResult, FeatureDrift, NumericBins
from mlotel.profiling.moments import Moments

__all__ = ["drift_document"]

_OWN = ("ks", "wasserstein", "jensen_shannon", "hellinger", "l_infinity")
_MOMENTS = ("mean", "std", "skewness", "kurtosis", "min", "max")


def drift_document(result: DriftResult) -> dict[str, Any]:
    """Return what a comparison found; no number in it is infinite or not one."""
    return {
        "alarm": result.alarm,
        "verdict": result.verdict,
        "rows": result.rows,
        "reference_rows": result.reference_rows,
        "segment": result.segment,
        "model": {"name": result.model, "version": result.model_version},
        "features": [_feature(each, result) for each in result.features],
        "added": list(result.added),
        "notes": list(result.notes),
    }


def _feature(found: FeatureDrift, result: DriftResult) -> dict[str, Any]:
    then = found.reference
    bins = found.bins
    return {
        "feature": found.feature,
        "kind": found.kind,
        "alarm": found.alarm,
        "reasons": list(found.reasons),
        "effect": _number(found.effect),
        "psi": _number(found.psi),
        "p_value": _number(found.p_value),
        "threshold": _number(found.threshold),
        "tests": {name: _number(p) for name, p in found.tests.items()},
        **{name: _number(found.distances.get(name)) for name in _OWN},
        "ks_bound": _number(found.ks_bound),
        "distances": {name: _number(value) for name, value in found.distances.items() if name not in _OWN},
        "missing": {
            "reference": _share(then.counts, bins.missing, result.reference_rows),
            "current": _share(found.counts, bins.missing, result.rows),
        },
        "type": {"reference": then.type, "current": found.type},
        "moments": {"reference": _moments(then.moments), "current": _moments(found.moments)},
        "overdispersion": then.overdispersion,
        "excess": then.excess,
        "distribution": {
            "edges": list(bins.edges) if isinstance(bins, NumericBins) else None,
            "categories": None if isinstance(bins, NumericBins) else list(bins.categories),
            "reference": list(then.counts),
            "current": list(found.counts) if found.counts else None,
        },
        "notes": list(found.notes),
    }


def _share(counts: Sequence[int], place: int, rows: int) -> float | None:
    return counts[place] / rows if counts and rows else None


def _moments(moments: Moments | None) -> dict[str, Any] | None:
    if moments is None:
        return None
    return {"count": moments.count, **{name: _number(getattr(moments, name)) for name in _MOMENTS}}


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
