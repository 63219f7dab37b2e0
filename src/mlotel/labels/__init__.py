"""Labels: who bears which, by itself or by what it was made of, and what a retraction touches."""

from __future__ import annotations

from mlotel.labels._inheritance import Bearing, Retractions, labels_of
from mlotel.labels._touched import Touched, touched_by
from mlotel.standing import labels, retractions

__all__ = ["Bearing", "Retractions", "Touched", "labels", "labels_of", "retractions", "touched_by"]
