"""Review: which runs stand behind what was flagged, and behind little else."""

from __future__ import annotations

from mlotel.review._association import likelihood_ratio, log_p_value
from mlotel.review._population import MOST_RUNS, Kind
from mlotel.review._ranking import Review, Standing, Suspect, Trait, review
from mlotel.standing import flags

__all__ = [
    "MOST_RUNS",
    "Kind",
    "Review",
    "Standing",
    "Suspect",
    "Trait",
    "flags",
    "likelihood_ratio",
    "log_p_value",
    "review",
]
