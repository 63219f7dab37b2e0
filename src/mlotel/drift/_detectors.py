"""What judges a feature: mlotel's own tests, in the form in which others can add theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from mlotel.drift._bins import CategoricalBins
from mlotel.drift._feature import FeatureReference
from mlotel.drift.tolerance import DELTA, confident_delta, psi, psi_p_value, share_p_value, tail_p_value

__all__ = ["DETECTORS", "Detector", "Evidence", "scale", "tolerance"]


_PLAIN = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """One feature in one window beside its reference.

    Attributes:
        feature: the feature as it was.
        counts: rows of the window in each of its bins.
        rows: of the window, n.
        reference_rows: of the reference, m.
        delta: the PSI that is tolerated, δ.
        many: whether many windows are judged beside this one reference, whose own error they all share; else its error
            is one of a single comparison.
    """

    feature: FeatureReference
    counts: tuple[int, ...]
    rows: int
    reference_rows: int
    delta: float = DELTA
    many: bool = False


class Detector(Protocol):
    """A function that tests one feature."""

    def __call__(self, evidence: Evidence, /) -> Mapping[str, float]:
        """Return p-values of tests by the reason that each of them would alarm for; none where it has nothing to say.

        Where nothing changed, each must be at most α with a probability of at most α, for every α.
        """
        ...


def scale(evidence: Evidence) -> float:
    """Return the scale s of PSI where nothing changed: φ(1/n + 1/m), or φ/n where the reference's error is apart."""
    own = 0.0 if evidence.many else 1 / evidence.reference_rows
    return evidence.feature.overdispersion * (1 / evidence.rows + own)


def tolerated(evidence: Evidence, k: int) -> float:
    """Return the PSI that does not alarm: δ, and by how much windows of the reference changed by themselves."""
    delta = evidence.delta + evidence.feature.excess
    return confident_delta(k, evidence.reference_rows, delta=delta) if evidence.many else delta


def tolerance(evidence: Evidence) -> dict[str, float]:
    """Return mlotel's own tests: of the distribution, its tails, missing values, unseen categories, constants."""
    feature, c, n, m = evidence.feature, evidence.counts, evidence.rows, evidence.reference_rows
    r, phi, missing = feature.counts, feature.overdispersion, feature.bins.missing
    tests = {"distribution": _distribution(evidence)}
    constant = feature.constant
    if constant is not None:
        awake = n - c[constant] - (c[missing] if constant != missing else 0)
        tests["came_alive"] = share_p_value(awake, n, 0, m, phi=phi, sure=evidence.many)
    elif feature.outer:
        out, out_then = (sum(counts[place] for place in feature.outer) for counts in (c, r))
        tests["tails"] = tail_p_value(out, n, out_then, m, phi=phi, sure=evidence.many)
    if constant != missing:
        tests["missing_values"] = share_p_value(c[missing], n, r[missing], m, phi=phi, sure=evidence.many)
    if isinstance(feature.bins, CategoricalBins):
        other = feature.bins.other
        tests["unseen_categories"] = share_p_value(c[other], n, r[other], m, phi=phi, sure=evidence.many)
    return tests


def _distribution(evidence: Evidence) -> float:
    feature, c, n, m = evidence.feature, evidence.counts, evidence.rows, evidence.reference_rows
    value, k = psi(feature.counts, c)
    p = psi_p_value(value, k, scale(evidence), delta=tolerated(evidence, k))
    if p > _PLAIN:
        return p
    # What is less than it was is no alarm: neither may be all that changed
    r, now, missing = list(feature.counts), list(c), feature.bins.missing
    if c[missing] * m < r[missing] * n:
        n, m = n - c[missing], m - r[missing]
        r[missing] = now[missing] = 0
    gone: tuple[int, ...] = ()
    if isinstance(feature.bins, CategoricalBins):
        gone = tuple(place for place in range(feature.bins.other) if r[place] and not now[place])
    if not m or not n or (not gone and m == evidence.reference_rows):
        return p
    value, k = psi(r, now, without=gone)
    present = replace(evidence, rows=n, reference_rows=m)
    return max(p, psi_p_value(value, k, scale(present), delta=tolerated(present, k)))


DETECTORS: Mapping[str, Detector] = {"tolerance": tolerance}
"""mlotel's own, by their names."""
