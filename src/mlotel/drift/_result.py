"""What a comparison found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlotel.drift._bins import Bins
from mlotel.drift._feature import FeatureReference
from mlotel.profiling.moments import Moments

__all__ = ["DriftResult", "FeatureDrift"]


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """What was found of one feature.

    Attributes:
        reference: the feature as it was.
        alarm: whether it changed so much that it matters.
        reasons: by what: ``distribution``, ``tails``, ``missing_values``, ``unseen_categories``, ``came_alive`` (a
            column that was constant, or empty, is so no more), ``type_changed``, ``column_missing``, and what
            detectors of others found.
        notes: what is worth a word and no reason to alarm, as sentences.
        type: the column's Arrow type now, as text; None if there is no such column.
        counts: rows in each bin now; empty where they could not be counted.
        effect: PSI less what is expected of it where nothing changed.
        psi: the population stability index.
        p_value: of the hypothesis that nothing changed beyond what is tolerated, over all tests of the feature; None
            where there is no verdict.
        threshold: the PSI from which the feature alarms, whatever the others do.
        tests: the p-value of each test.
        distances: how far the distributions are apart: mlotel's measures and those of others, by name.
        ks_bound: an upper bound of Kolmogorov–Smirnov's distance, of which ``ks`` is the lower one.
        moments: of the values now, where they were asked for.
    """

    reference: FeatureReference
    alarm: bool = False
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    type: str | None = None
    counts: tuple[int, ...] = ()
    effect: float | None = None
    psi: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    tests: Mapping[str, float] = field(default_factory=dict)
    distances: Mapping[str, float | None] = field(default_factory=dict)
    ks_bound: float | None = None
    moments: Moments | None = None

    @property
    def feature(self) -> str:
        """The feature's name."""
        return self.reference.name

    @property
    def kind(self) -> str:
        """``numeric`` or ``categorical``."""
        return self.reference.kind

    @property
    def bins(self) -> Bins:
        """How the values are cut."""
        return self.reference.bins


@dataclass(frozen=True, slots=True)
class DriftResult:
    """What a comparison of a window of rows with a reference found.

    Attributes:
        rows: of the window, n.
        reference_rows: of the reference, m.
        features: what was found of each, in the reference's order.
        verdict: whether there are rows enough, here and in the reference, to judge distributions. Where there are not,
            only types and lacking columns alarm.
        added: columns that the reference does not know.
        notes: what is to be said of the whole, as sentences.
        segment: with which segment of the reference it was compared.
        model: name of the model that the reference belongs to.
        model_version: its version.
    """

    rows: int
    reference_rows: int
    features: tuple[FeatureDrift, ...]
    verdict: bool = True
    added: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    segment: str | None = None
    model: str | None = None
    model_version: str | None = None

    @property
    def alarm(self) -> bool:
        """Whether any feature alarms."""
        return any(each.alarm for each in self.features)

    @property
    def alarmed(self) -> tuple[FeatureDrift, ...]:
        """The features that alarm."""
        return tuple(each for each in self.features if each.alarm)
