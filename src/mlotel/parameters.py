"""How parameters, metrics and tags become attribute values: scalars as they are, other objects by their type's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["MAX_TEXT", "REDACTED", "attribute_value", "is_scalar", "is_secret", "parameter_value"]

MAX_TEXT = 1000
"""Characters of a text value that are kept; the SDK sets no limit of its own."""

REDACTED = "[redacted]"

_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|api_?key|private_?key|access_?key|auth(?!or)|bearer|cookie|signature",
    re.IGNORECASE,
)
_NUMBERS = (bool, int, float)
_INT64 = range(-(2**63), 2**63)


def is_scalar(value: object) -> bool:
    """Return whether `value` is recorded by its value: None, text, numbers, and NumPy's scalars."""
    return value is None or isinstance(value, (str, bool, int, float)) or _numpy_scalar(value) is not None


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
    number = _numpy_scalar(value)
    if number is not None:
        return attribute_value(number)
    if isinstance(value, type):
        return value.__qualname__[:MAX_TEXT]
    return type(value).__qualname__[:MAX_TEXT]


def parameter_value(key: str, value: Any) -> str | bool | int | float:
    """Return the value recorded for the parameter `key`: ``[redacted]`` where its name says that it is a secret."""
    return REDACTED if is_secret(key) else attribute_value(value)


def numbers(values: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Yield the metrics of `values` as floats. Raises TypeError for a value that is not a number."""
    for key, value in values.items():
        try:
            yield str(key), float(value)
        except (TypeError, ValueError):
            raise TypeError(f"metric {key!r} is a {type(value).__name__}, not a number") from None


def _numpy_scalar(value: object) -> bool | int | float | str | None:
    # recognised by protocol, without importing NumPy: zero dimensions and an item() that gives a plain scalar
    if getattr(value, "ndim", None) != 0 or getattr(value, "shape", None) != () or not hasattr(value, "item"):
        return None
    plain = value.item()
    return plain if isinstance(plain, (*_NUMBERS, str)) else None
