"""Times and durations as people write them: RFC 3339 or how long ago, and numbers with a unit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mlotel.errors import QueryError

__all__ = ["format_time", "parse_duration", "parse_time", "timestamp"]

_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_AGO = re.compile(rf"({_NUMBER})(ms|[smhdw])")
_DURATION = re.compile(rf"({_NUMBER})(ms|[smhdw]?)")
# RFC 3339 allows any number of digits after the point, and datetime cuts them off after six.
_FRACTION = re.compile(r"(?<=:\d\d)\.([0-9]{1,9})[0-9]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = (1 << 63) - 1


def parse_time(text: str, now_ns: int) -> int:
    """Return a time as nanoseconds since the epoch: RFC 3339, or how long before `now_ns`, as in ``7d`` or ``12h``.

    A date alone is its midnight, and a time without an offset is in UTC.

    Raises:
        QueryError: it is neither.
    """
    said = text.strip()
    ago = _AGO.fullmatch(said)
    try:
        time_ns = _moment(said) if ago is None else now_ns - _nanoseconds(ago)
        if abs(time_ns) <= _LATEST:
            return time_ns
    except (ValueError, OverflowError):
        pass
    raise QueryError(
        f"{text!r} is no time: write it as 2026-11-21T09:30:00Z, or as how long ago: 12h, 7d (ms, s, m, h, d, w)"
    )


def parse_duration(text: str) -> float:
    """Return a duration in seconds: ``90s``, ``1.5h``, ``250ms``; a number alone counts seconds.

    Raises:
        QueryError: it is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise QueryError(f"{text!r} is no duration: write it as 90s, 250ms, 5m or 1.5h (ms, s, m, h, d, w)")
    return _nanoseconds(match) / 1e9


def _moment(text: str) -> int:
    fraction = _FRACTION.search(text)
    moment = datetime.fromisoformat(_FRACTION.sub("", text))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    return whole + (int(fraction[1].ljust(9, "0")) if fraction else 0)


def _nanoseconds(match: re.Match[str]) -> int:
    number, unit = match[1], _UNITS[match[2] or "s"]
    return round(float(number) * unit) if "." in number else int(number) * unit


def format_time(time_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC with Z, with microseconds where there are any."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat().replace("+00:00", "Z")


def timestamp(time_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, with microseconds (the rest is cut off) and Z."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat(timespec="microseconds").replace("+00:00", "Z")
