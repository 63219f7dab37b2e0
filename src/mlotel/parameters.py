"""How parameters, metrics and tags become attribute values: scalars as they are, other objects by their type's name."""

from __future__ import annotations

import datetime
import decimal
import re
import sys
import uuid
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from mlotel.uris import hide_credentials

__all__ = ["MAX_TEXT", "REDACTED", "attribute_value", "is_scalar", "is_secret", "parameter_value"]

MAX_TEXT = 1000
"""Characters of a text value that are kept; the SDK sets no limit of its own."""

REDACTED = "[redacted]"

# "tokens", "tokenizer" and "max_token_count" are what language models are configured by, "author" writes them
_SECRET = re.compile(
    r"passw|passphrase|pwd|secret|credential|bearer|cookie|connection[_ .-]?str|auth(?!ors?(?:[^a-z]|$))"
    r"|token(?!s|i[sz])(?![_ .-]?(?:count|limit|len|size|type))|(?:api|access|refresh|session)[_ .-]?tokens"
    r"|(?:api|private|access|account|signing|encryption|ssh)[_ .-]?key|(?:^|[^a-z])dsn(?:[^a-z]|$)",
    re.IGNORECASE,
)
_NUMBERS = (bool, int, float)
_BY_TEXT = frozenset({datetime.date, datetime.datetime, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID})
_INT64 = range(-(2**63), 2**63)


def is_scalar(value: object) -> bool:
    """Return whether `value` is recorded by its value: None, text, numbers, dates, enum members, NumPy's scalars."""
    return value is None or isinstance(value, (str, bool, int, float)) or _plain(value) is not None


def is_secret(key: str) -> bool:
    """Return whether a parameter of this name is likely to hold a password, key or token."""
    return _SECRET.search(key) is not None


def attribute_value(value: Any) -> str | bool | int | float:
    """Return `value` as OpenTelemetry takes it: text is cut, integers past 64 bits are text, objects their type's name.

    An object's ``repr`` is never taken: it may hold data, and may cost anything.
    """
    if isinstance(value, str):
        # the exact type: a subclass (an enum, a proxy) may not survive encoding; lone surrogates cannot be UTF-8
        return str.__str__(value)[:MAX_TEXT].encode("utf-8", "replace").decode()
    if value is None:
        return "None"
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        number = int(value)
        return number if number in _INT64 else f"{number:#x}"[:MAX_TEXT]
    if isinstance(value, float):
        return float(value)
    plain = _plain(value)
    if plain is not None:
        return attribute_value(plain)
    if isinstance(value, type):
        return value.__qualname__[:MAX_TEXT]
    return type(value).__qualname__[:MAX_TEXT]


def parameter_value(key: str, value: Any) -> str | bool | int | float:
    """Return the value recorded for the parameter `key`.

    It is ``[redacted]`` where its name says that it is a secret; its text is shown without the credentials of a URI.
    """
    if is_secret(key) and value is not None and not isinstance(value, bool):
        return REDACTED
    shown = attribute_value(value)
    return hide_credentials(shown) if isinstance(shown, str) else shown


def numbers(values: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Yield the metrics of `values` as floats. Raises TypeError at the end where one was not a number."""
    wrong: str | None = None
    for key, value in values.items():
        try:
            number = float(value)
        except Exception:  # __float__ may raise anything; the other metrics are kept
            wrong = wrong or f"metric {key!r} is a {type(value).__name__}, not a number"
            continue
        yield str(key)[:255], number
    if wrong is not None:
        raise TypeError(wrong)


def _plain(value: object) -> bool | int | float | str | None:
    """Return the text or number that a date, decimal, enum member or NumPy scalar stands for; None for other objects.

    Nothing that the user's own class defines is called.
    """
    cls = type(value)
    if cls in _BY_TEXT:
        return str(value)
    if isinstance(value, Enum):
        return value.name
    # NumPy's scalars and arrays of no dimension, recognised without importing NumPy; their item() is a plain scalar
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.generic, numpy.ndarray)) or value.shape != ():
        return None
    plain = value.item()
    if type(plain) in _BY_TEXT:
        return str(plain)
    return plain if isinstance(plain, (*_NUMBERS, str)) else None
