"""Parameters that several operations of the API take."""

from __future__ import annotations

import time

from mlotel.store.times import parse_time
from mlotel.ui.operations import Parameter

__all__ = ["SINCE", "UNTIL", "WHAT", "limit"]


def _time(text: str) -> int:
    return parse_time(text, time.time_ns())


SINCE = Parameter(
    "since",
    "Leave out what began earlier: RFC 3339 (a date alone is its midnight in UTC), or how long ago, as in 12h or 7d.",
    parse=_time,
)
UNTIL = Parameter("until", "Leave out what began later.", parse=_time)
WHAT = Parameter(
    "what",
    "What is asked about, as `mlotel lineage` takes it: a run id, trace id, digest, path or artifact name; with run:, "
    "trace:, digest:, path:, name: or model: in front it is taken as that alone; record:KEY is a prediction.",
    required=True,
)


def limit(default: int, most: int, what: str = "runs a page has") -> Parameter:
    """Return the parameter that says how much is answered."""
    return Parameter("limit", f"How many {what} at most.", minimum=1, maximum=most, default=default)
