"""Drift and data quality: what data looked like, and whether what comes now is so different that it matters.

docs/drift.md says how it is judged and what was measured.
"""

from __future__ import annotations

from mlotel.drift._bins import Bins, CategoricalBins, NumericBins
from mlotel.drift._compare import compare
from mlotel.drift._counts import Counter, Counts, FeatureCounts, count_source
from mlotel.drift._detectors import Detector, Evidence
from mlotel.drift._distances import Distance, Histogram
from mlotel.drift._feature import FeatureReference
from mlotel.drift._monitor import Episode, Monitor, Signal
from mlotel.drift._reference import Reference
from mlotel.drift._result import DriftResult, FeatureDrift

__all__ = [
    "Bins",
    "CategoricalBins",
    "Counter",
    "Counts",
    "Detector",
    "Distance",
    "DriftResult",
    "Episode",
    "Evidence",
    "FeatureCounts",
    "FeatureDrift",
    "FeatureReference",
    "Histogram",
    "Monitor",
    "NumericBins",
    "Reference",
    "Signal",
    "compare",
    "count_source",
]
