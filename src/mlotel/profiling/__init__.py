"""Statistics over columns, computed in one pass and merged exactly: `profile`, and the `Profile` that it returns."""

from __future__ import annotations

from mlotel.profiling._columns import ColumnProfile
from mlotel.profiling._profile import GroupProfile, Profile
from mlotel.profiling._reading import Profiler, check_options, profile, profile_batches
from mlotel.profiling._sketches import Estimate, Frequency

__all__ = [
    "ColumnProfile",
    "Estimate",
    "Frequency",
    "GroupProfile",
    "Profile",
    "Profiler",
    "check_options",
    "profile",
    "profile_batches",
]
