"""A window of rows beside a reference: what changed so much that it matters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from mlotel.columnar import TableSource
from mlotel.drift._bins import CategoricalBins
from mlotel.drift._counts import Counts, FeatureCounts
from mlotel.drift._detectors import Detector, Evidence, scale, tolerated
from mlotel.drift._distances import Distance, Histogram, ks_bound
from mlotel.drift._feature import FeatureReference
from mlotel.drift._plugins import find_detectors, find_distances
from mlotel.drift._reading import as_source, is_reference
from mlotel.drift._reference import Reference
from mlotel.drift._result import DriftResult, FeatureDrift
from mlotel.drift.columns import changed
from mlotel.drift.tolerance import ALPHA, DELTA, LEAST_ROWS, psi, psi_threshold, share_p_value
from mlotel.errors import ConfigurationError, InvalidReferenceError
from mlotel.profiling.moments import Moments

__all__ = ["compare", "judge"]

_NAMED = 5
_SURELY_SEEN = 10.0


def compare(
    reference: object,
    current: object,
    *,
    segment: object = None,
    features: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    delta: float = DELTA,
    alpha: float = ALPHA,
    moments: bool = False,
    detectors: Sequence[str] = ("tolerance",),
    distances: Sequence[str] = (),
    model: str | None = None,
    version: str | None = None,
) -> DriftResult:
    """Return what changed between a reference and a window of rows; docs/drift.md says how it is judged.

    A feature alarms if its p-value (Bonferroni over its tests) stands among those that Benjamini and Hochberg's
    procedure (J. R. Stat. Soc. B 57, 1995) rejects at `alpha` over all features, or if its column is lacking or has
    changed its type. With fewer than 500 rows, here or in the reference, distributions are not judged.

    Args:
        reference: a `Reference`, or a table that one is fitted on, or the path of either.
        current: the rows to judge: a table, the path of one, or what ``reference.counts`` returned.
        segment: compare with this segment of the reference. Where the rows have the segments' column, those of other
            segments are left out.
        features: the columns to watch, where `reference` is a table; all that can be watched if not given.
        kinds: ``"numeric"`` or ``"categorical"`` by column, where `reference` is a table.
        delta: the PSI that is tolerated, δ.
        alpha: the level of all tests together.
        moments: compute mean, deviation, skewness and kurtosis too, which takes as long again.
        detectors: which tests alarm: ``"tolerance"`` are mlotel's, others are entry points of ``mlotel.detectors``.
        distances: entry points of ``mlotel.distances`` that are shown beside mlotel's own.
        model: name of the model that the rows are for.
        version: its version.

    Raises:
        ArtifactError: one of them is no table, cannot be read, or the reference has no rows.
        InvalidReferenceError: the reference is one of another model or version.
        ConfigurationError: there is no such segment, column, detector or distance, or a number is out of range.

    >>> import numpy as np
    >>> rng = np.random.default_rng(7)
    >>> then, now = (pa.table({"x": rng.normal(size=5_000), "y": rng.normal(y, 1, 5_000)}) for y in (0.0, 0.5))
    >>> [(each.feature, each.reasons) for each in compare(then, now).alarmed]
    [('y', ('distribution',))]
    """
    if not 0 < alpha < 0.5:
        raise ConfigurationError(f"alpha is {alpha}: give a level between 0 and 0.5")
    if not 0 <= delta < math.inf:
        raise ConfigurationError(f"delta is {delta}: give a PSI of 0 or more")
    tests, shown = find_detectors(detectors), find_distances(distances)
    if is_reference(reference):
        reference = Reference.load(reference)  # type: ignore[arg-type] # it is a path
    if not isinstance(reference, Reference):
        if segment is not None:
            raise ConfigurationError("a table has no segments: fit a Reference with segments=")
        reference = Reference.fit(reference, features=features, kinds=kinds, moments=moments)
    elif features is not None or kinds is not None:
        raise ConfigurationError("a Reference has its features and kinds already: give them to Reference.fit")
    _check_model(reference, model, version)
    then = reference if segment is None else reference.segment(segment)
    if not isinstance(current, Counts):
        source = as_source(current)
        if segment is not None and reference.segment_column in source.schema.names:
            source = _only(source, f"{reference.segment_column}", f"{segment}")
        current = then.counts(source, moments=moments)
    judged = judge(then, current, delta=delta, alpha=alpha, detectors=tests, distances=shown)
    return judged if segment is None else replace(judged, segment=f"{segment}")


def judge(
    reference: Reference,
    current: Counts,
    *,
    detectors: Mapping[str, Detector],
    distances: Mapping[str, Distance],
    delta: float = DELTA,
    alpha: float = ALPHA,
) -> DriftResult:
    """Return what `compare` does of counts, with the detectors and distances themselves."""
    current.check(reference.features)
    enough = min(current.rows, reference.rows) >= LEAST_ROWS
    found = []
    for feature in reference.features:
        counted = current.features.get(feature.name)
        one = _seen(feature, counted, current.rows, distances)
        if enough and one.counts:
            evidence = Evidence(feature, one.counts, current.rows, reference.rows, delta)
            one = _tested(one, evidence, detectors, alpha / len(reference.features))
        found.append(one)
    return DriftResult(
        current.rows,
        reference.rows,
        tuple(_alarmed(found, alpha)),
        enough,
        current.added,
        tuple(_notes(reference, current)),
        None,
        reference.model,
        reference.model_version,
    )


def _seen(
    feature: FeatureReference, counted: FeatureCounts | None, rows: int, distances: Mapping[str, Distance]
) -> FeatureDrift:
    """Return what can be said of a feature without a test."""
    if counted is None:
        return FeatureDrift(feature, alarm=True, reasons=("column_missing",))
    if counted.type and feature.type and changed(feature.type, counted.type):
        note = f"{feature.type} has become {counted.type}"
        return FeatureDrift(feature, True, ("type_changed",), (note,), counted.type)
    if not counted.counts:
        return FeatureDrift(feature, True, ("type_changed",), ("its values cannot be counted",), counted.type)
    notes = []
    if counted.type and feature.type and counted.type != feature.type:
        notes.append(f"{feature.type} is {counted.type} now")
    then = Histogram(feature.bins, feature.counts, _mean(feature.moments))
    now = Histogram(feature.bins, counted.counts, _mean(counted.moments))
    return FeatureDrift(
        feature,
        notes=(*notes, *_fewer(feature, counted, rows)),
        type=counted.type,
        counts=counted.counts,
        psi=psi(feature.counts, counted.counts)[0] if rows else None,
        distances={name: _number(distance(then, now)) for name, distance in distances.items()},
        ks_bound=ks_bound(then, now),
        moments=counted.moments,
    )


def _tested(one: FeatureDrift, evidence: Evidence, detectors: Mapping[str, Detector], level: float) -> FeatureDrift:
    tests: dict[str, float] = {}
    for detect in detectors.values():
        tests.update(detect(evidence))
    value, k = psi(one.reference.counts, one.counts)
    s = scale(evidence)
    return replace(
        one,
        effect=value - s * max(k - 1, 0),
        # Beyond it the feature would be rejected alone, so that the verdict follows from the two numbers
        threshold=psi_threshold(k, s, delta=tolerated(evidence, k), alpha=level / max(len(tests), 1)),
        p_value=min([1.0, *(p * len(tests) for p in tests.values())]),
        tests=tests,
    )


def _alarmed(found: Sequence[FeatureDrift], alpha: float) -> Iterator[FeatureDrift]:
    """Yield the features, with the alarm of those that Benjamini and Hochberg's procedure rejects."""
    ranked = sorted(each.p_value for each in found if each.p_value is not None)
    steps = ((alpha * rank / len(found), p) for rank, p in enumerate(ranked, 1))
    level = max((step for step, p in steps if p <= step), default=-1.0)
    for each in found:
        if each.p_value is None or each.p_value > level:
            yield each
            continue
        # What is named beside the test that alarmed is what would have done so alone
        reasons = tuple(reason for reason, p in each.tests.items() if p * len(each.tests) <= level)
        yield replace(each, alarm=True, reasons=(*each.reasons, *reasons))


def _fewer(feature: FeatureReference, counted: FeatureCounts, rows: int) -> Iterator[str]:
    """Yield what is less than it was."""
    m, missing = sum(feature.counts), feature.bins.missing
    if min(rows, m) >= LEAST_ROWS:
        then, now = feature.counts[missing], counted.counts[missing]
        if share_p_value(then, m, now, rows) < ALPHA:
            yield f"fewer values are missing: {now / rows:.2%}, they were {then / m:.2%}"
        if isinstance(feature.bins, CategoricalBins):
            gone = [
                text
                for place, text in enumerate(feature.bins.categories)
                if counted.counts[place] == 0 and feature.counts[place] * rows >= _SURELY_SEEN * m
            ]
            if gone:
                yield f"{_listed(gone)} {'occurs' if len(gone) == 1 else 'occur'} no more"
    if counted.unseen and isinstance(feature.bins, CategoricalBins):
        other = feature.bins.other
        if feature.counts[other] == 0:
            yield f"unseen: {_listed(counted.unseen)}{', …' if len(counted.unseen) == _NAMED else ''}"


def _notes(reference: Reference, current: Counts) -> Iterator[str]:
    for name, rows in (("the window", current.rows), ("the reference", reference.rows)):
        if rows < LEAST_ROWS:
            yield f"{name} has {rows:,} rows: with fewer than {LEAST_ROWS} distributions are not judged"
    if current.added:
        yield f"the reference does not know {_listed(current.added)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(f"{name[:80]!r}" for name in names[:_NAMED]) + more


def _mean(moments: Moments | None) -> float:
    return math.nan if moments is None else moments.mean


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _check_model(reference: Reference, model: str | None, version: str | None) -> None:
    for what, asked, own in (("model", model, reference.model), ("version", version, reference.model_version)):
        if asked is not None and own is not None and asked != own:
            raise InvalidReferenceError(
                f"the reference is of {what} {own!r}, not {asked!r}: take the one that was fitted with that model"
            )


def _only(source: TableSource, column: str, segment: str) -> TableSource:
    """Return the rows of one segment."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            values = batch.column(batch.schema.get_field_index(column)).to_pylist()
            yield batch.filter(pa.array([f"{value}" == segment for value in values]))

    return TableSource(source.schema, batches, one_shot=source.one_shot)
