"""Values as people read them; nothing of the data reaches a terminal as a command."""

from __future__ import annotations

import re

from mlotel.store.times import timestamp

__all__ = [
    "REORDERING",
    "amount",
    "bytes_",
    "clean",
    "duration",
    "number",
    "short_digest",
    "short_id",
    "timestamp",
    "when",
]

REORDERING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""The marks that turn the direction of text around, as a regular expression has them in a set."""

# Control characters, those marks, line separators, halves of surrogate pairs
_UNSAFE = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{REORDERING}\ud800-\udfff]")
_BLANK = re.compile(r"[\t\n\r]+")


def clean(text: object) -> str:
    """Return `text` on one line, without control characters and without marks that reorder it."""
    return _UNSAFE.sub("", _BLANK.sub(" ", str(text)))


def when(time_ns: int) -> str:
    """Return nanoseconds since the epoch as a date and a time of day in UTC, to the second."""
    return timestamp(time_ns)[:19].replace("T", " ") + "Z"


def duration(seconds: float | None) -> str:
    """Return a duration in the unit that suits it, or a dash where there is none."""
    if seconds is None:
        return "–"
    if abs(seconds) < 0.9995:  # more would be rounded to 1e+03
        return f"{seconds * 1000:.3g} ms"
    if abs(seconds) < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def bytes_(size: int) -> str:
    """Return a number of bytes in the decimal unit that suits it."""
    if size < 1000:
        return f"{size} B"
    value = size / 1000
    for unit in ("kB", "MB", "GB"):
        if value < 999.5:  # more would be rounded to 1e+03
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB" if value < 999.5 else f"{value:,.0f} TB"


def number(value: object) -> str:
    """Return a number with six significant digits or, if it is an integer, all of them in groups."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return clean(value)


def amount(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short_id(identity: str) -> str:
    """Return the first 8 digits, which commands take for the whole."""
    return clean(identity)[:8]


def short_digest(digest: str) -> str:
    """Return a digest with the first 12 digits of its value, which commands take for the whole."""
    algorithm, colon, value = clean(digest).partition(":")
    return f"{algorithm}:{value[:12]}" if colon else algorithm[:12]
