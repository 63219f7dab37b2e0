"""What one run was, what differs between two, and whether what a run read was still fresh."""

from __future__ import annotations

from mlotel.inspection._attempts import Attempts
from mlotel.inspection._difference import Change, Difference, difference
from mlotel.inspection._explanation import Explanation, Source, explain
from mlotel.inspection._pairs import Pair
from mlotel.inspection._staleness import staleness, staleness_of_all
from mlotel.inspection._verdict import Cause, Verdict

__all__ = [
    "Attempts",
    "Cause",
    "Change",
    "Difference",
    "Explanation",
    "Pair",
    "Source",
    "Verdict",
    "difference",
    "explain",
    "staleness",
    "staleness_of_all",
]
