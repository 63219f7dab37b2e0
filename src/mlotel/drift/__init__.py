"""Drift and data quality: what data looked like, and whether what comes now is so different that it matters.

docs/drift.md says how it is judged and what was measured.
"""

from __future__ import annotations

from mlotel.drift._bins import Bins, CategoricalBins, NumericBins
from mlotel.drift._counts import Counts, FeatureCounts
from mlotel.drift._feature import FeatureReference
from mlotel.drift._reference import Reference

__all__ = ["Bins", "CategoricalBins", "Counts", "FeatureCounts", "FeatureReference", "NumericBins", "Reference"]
