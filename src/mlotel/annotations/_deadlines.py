"""Deadlines of retractions as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mlotel.errors import QueryError
from mlotel.store.times import parse_duration, parse_time

__all__ = ["parse_deadline"]

_DURATION = re.compile(r"[0-9.]+ *[a-z]+")


def parse_deadline(text: str) -> timedelta | datetime | None:
    """Return a deadline: how long from now (``30d``, ``12h``), a time in RFC 3339, or None for ``never``.

    Raises:
        QueryError: it is none of these.
    """
    said = text.strip().lower()
    if said == "never":
        return None
    try:
        if _DURATION.fullmatch(said):
            return timedelta(seconds=parse_duration(said))
        return datetime.fromtimestamp(parse_time(text, 0) / 1e9, UTC)
    except (QueryError, OverflowError, ValueError, OSError):
        raise QueryError(
            f"{text!r} is no deadline: write it as 30d or 12h from now, as 2026-12-21T09:30:00Z, or never"
        ) from None
