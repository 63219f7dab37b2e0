"""How a value that a run has is compared with one that a person typed."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from mlotel import uris
from mlotel.errors import QueryError
from mlotel.model import Artifact

__all__ = ["check_pattern", "elements", "equal", "found", "is_number", "number_of", "ordered"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_DIGEST = re.compile(r"(?:[a-z0-9]+:[0-9a-f]{4,}|[0-9a-f]{8,})")
_LONGEST_PATTERN = 1000
_ORDERS: dict[str, Callable[[Any, Any], object]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_number(value: object) -> bool:
    """Whether `value` is a number that can be compared with: no bool, and not NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def number_of(text: str) -> int | float | None:
    """The number that `text` is written as, None where it is none."""
    text = text.strip()
    if _NUMBER.fullmatch(text) is None:
        return None
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def elements(value: object) -> Iterable[object]:
    """The values of an attribute: those of a list, or the one that it is."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def equal(kind: str, actual: object, wanted: str | int | float | bool) -> bool:
    """Whether a value is the one that is wanted: an artifact by name, place or digest, numbers by value, else text."""
    if isinstance(actual, Artifact):
        return _is_called(actual, str(wanted))
    if kind == "text" or isinstance(actual, str):
        return str(actual) == _text(wanted)
    if isinstance(actual, bool) or isinstance(wanted, bool):
        return _text(actual) == _text(wanted).strip().lower()
    if isinstance(actual, int | float):
        number = number_of(wanted) if isinstance(wanted, str) else wanted
        return number is not None and actual == number
    return str(actual) == _text(wanted)


def ordered(actual: object, op: str, wanted: str | int | float | bool) -> bool:
    """Whether ``actual op wanted``: numbers by value, text by code points; a number and a text have no order."""
    if isinstance(actual, bool) or isinstance(wanted, bool):
        return False
    typed = number_of(wanted) if isinstance(wanted, str) else wanted
    value = number_of(actual) if isinstance(actual, str) else actual
    if isinstance(value, int | float) and typed is not None:
        return bool(_ORDERS[op](value, typed))
    both_text = isinstance(actual, str) and isinstance(wanted, str) and value is None and typed is None
    return both_text and bool(_ORDERS[op](actual, wanted))


def found(actual: object, pattern: str) -> bool:
    """Whether a regular expression is found in the text of a value, or in an artifact's name, place or digest."""
    if isinstance(actual, Artifact):
        return any(_search(pattern, text) for text in (actual.name, actual.uri, actual.digest) if text)
    return _search(pattern, _text(actual))


def check_pattern(pattern: str) -> None:
    """Raise QueryError if `pattern` is no regular expression, or a very long one."""
    if len(pattern) > _LONGEST_PATTERN:
        raise QueryError(f"a regular expression has up to {_LONGEST_PATTERN:,} characters, not {len(pattern):,}")
    try:
        _search(pattern, "")
    except ValueError as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise QueryError(
            f"{pattern!r} is no regular expression of RE2 ({reason}): see https://github.com/google/re2/wiki/Syntax"
        ) from error


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_called(artifact: Artifact, wanted: str) -> bool:
    if wanted in (artifact.name, artifact.uri, artifact.digest):
        return True
    if artifact.digest and _DIGEST.fullmatch(said := wanted.lower()):
        digest = artifact.digest.lower()
        return digest.startswith(said) or digest.rpartition(":")[2].startswith(said)
    return artifact.uri is not None and artifact.uri == uris.clean(wanted)


def _search(pattern: str, text: str) -> bool:
    return _searcher(pattern)(text)


@lru_cache(maxsize=64)
def _searcher(pattern: str) -> Callable[[str], bool]:
    # Arrow brings RE2, whose time is linear in the text whatever the pattern; with Python's own `re` a pattern such
    # as (a+)+$ can take for ever (https://github.com/google/re2/wiki/WhyRE2).
    import pyarrow
    import pyarrow.compute as compute

    options = compute.MatchSubstringOptions(_encodable(pattern))

    def search(text: str) -> bool:
        scalar = pyarrow.scalar(_encodable(text), pyarrow.large_utf8())
        return bool(compute.call_function("match_substring_regex", [scalar], options).as_py())

    return search


def _encodable(text: str) -> str:
    """The text with replacement characters for halves of surrogate pairs."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
