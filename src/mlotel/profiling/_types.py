"""What is counted of a column by its Arrow type, its values as ordinals, and ordinals as people read them.

An ordinal is what the column's order is the order of: an integer or a double. That of a decimal of up to 18 digits is
its unscaled integer, that of a time the integer that Arrow keeps.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "KINDS",
    "decode",
    "from_float",
    "from_ordinal",
    "is_exact",
    "kind_of",
    "ordinals",
    "parse_ordinal",
    "plain_type",
    "to_floats",
    "type_name",
]

KINDS = ("number", "boolean", "time", "text", "bytes", "nested", "null", "other")
"""Numbers; booleans; dates, times and durations; text; bytes; lists, structs, maps and unions; nothing but nulls."""

_LONGEST_NAME = 200
_SECONDS = {"s": (1, 1), "ms": (1, 1_000), "us": (1, 1_000_000), "ns": (1, 1_000_000_000), "day": (86_400, 1)}
_UNIT = re.compile(r"(timestamp|time32|time64|date32|date64|duration)\[(s|ms|us|ns|day)(?:, tz=(.*))?\]")
_DECIMAL = re.compile(r"decimal\d+\((\d{1,2}), (-?\d{1,2})\)")
_EXACT_DIGITS = 18  # what fits 64 bits
_FARTHEST_SECOND = 9.2e18
_FARTHEST_MICROSECOND = 9.2e12


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, whatever they are encoded as (dictionary, runs) or called (extension types)."""
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


def kind_of(kind: pa.DataType) -> str:
    """Return which of `KINDS` a type is profiled as."""
    kind = plain_type(kind)
    types = pa.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_null(kind):
        return "null"
    if types.is_interval(kind):  # three numbers without an order
        return "other"
    if types.is_temporal(kind):
        return "time"
    if _is_text(kind):
        return "text"
    if _is_bytes(kind):
        return "bytes"
    return "nested" if types.is_nested(kind) else "other"


def type_name(kind: pa.DataType) -> str:
    """Return a type's name, the same for all layouts of the same values; one that is very long is cut."""
    kind = plain_type(kind)
    if _is_text(kind):
        return "string"
    if _is_bytes(kind) and not pa.types.is_fixed_size_binary(kind):
        return "binary"
    if _is_small_decimal(kind):
        return f"decimal128({kind.precision}, {kind.scale})"
    return f"{kind}"[:_LONGEST_NAME]


def decode(column: pa.Array) -> pa.Array:
    """Return a column as an array of plain values: no dictionary, no runs, no extension, no views."""
    while True:
        kind = column.type
        if isinstance(kind, pa.BaseExtensionType):
            column = column.storage
        elif pa.types.is_dictionary(kind):
            column = column.dictionary.take(column.indices)
        elif pa.types.is_run_end_encoded(kind):
            column = pc.run_end_decode(column)
        elif kind == pa.string_view():
            return column.cast(pa.large_string())
        elif kind == pa.binary_view():
            return column.cast(pa.large_binary())
        else:
            return column


def ordinals(column: pa.Array) -> np.ndarray:
    """Return the values of a plain column of numbers or times, nulls left out, as int64, uint64 or float64."""
    kind = column.type
    if column.null_count:
        column = column.drop_null()
    if pa.types.is_decimal(kind):
        if kind.precision > _EXACT_DIGITS:
            return np.asarray(column.cast(pa.float64()))
        if not pa.types.is_decimal128(kind):
            column = column.cast(pa.decimal128(kind.precision, kind.scale))
        words = np.frombuffer(column.buffers()[1], dtype="<i8") if len(column) else np.empty(0, "<i8")
        return words[2 * column.offset : 2 * (column.offset + len(column)) : 2]
    if pa.types.is_temporal(kind):
        return np.asarray(column.view(pa.int32() if kind.bit_width == 32 else pa.int64())).astype(np.int64, copy=False)
    if pa.types.is_floating(kind):
        return np.asarray(column).astype(np.float64, copy=False)
    return np.asarray(column).astype(np.uint64 if kind == pa.uint64() else np.int64, copy=False)


def is_exact(type: str) -> bool:
    """Whether the ordinals of a type tell all its values apart: not those of decimals of more than 18 digits."""
    found = _DECIMAL.fullmatch(type)
    return found is None or int(found[1]) <= _EXACT_DIGITS


def to_floats(values: np.ndarray, type: str) -> np.ndarray:
    """Return ordinals as doubles: numbers as they are, times in seconds (since the epoch, since midnight, or long)."""
    factor, divisor = _scale(type)
    floats = values.astype(np.float64, copy=False)
    if factor != 1:
        floats = floats * factor
    return floats / divisor if divisor != 1 else floats


def from_ordinal(value: float, type: str) -> Any:
    """Return an ordinal as a value: an int, a float, a Decimal, seconds of a duration, or a time as ISO 8601."""
    found = _UNIT.fullmatch(type)
    if found is None:
        digits = _DECIMAL.fullmatch(type)
        return Decimal(int(value)).scaleb(-int(digits[2])) if digits and isinstance(value, int) else value
    name, unit, zone = found.groups()
    factor, divisor = _scale(type)
    if name == "duration":
        return value * factor / divisor
    if name.startswith("time") and name != "timestamp":
        return _time_of_day(int(value), divisor)
    moment = np.int64(value).astype(f"datetime64[{'D' if unit == 'day' else unit}]")
    return _date(moment, name, zone)


def from_float(value: float, type: str) -> Any:
    """Return a double that `to_floats` could have made as a value: a number, or a time as ISO 8601."""
    found = _UNIT.fullmatch(type)
    if found is None or found[1] == "duration":
        return value
    if found[1] in ("time32", "time64"):
        return _time_of_day(round(value * 1_000_000), 1_000_000)
    if abs(value) < _FARTHEST_MICROSECOND:
        return _date(np.datetime64(round(value * 1_000_000), "us"), "timestamp", found[3])
    return _date(np.datetime64(round(max(-_FARTHEST_SECOND, min(value, _FARTHEST_SECOND))), "s"), "timestamp", found[3])


def parse_ordinal(text: str, type: str) -> float:
    """Return the ordinal that was written as text. Raises ValueError."""
    return float(text) if type in ("double", "float", "halffloat") or not is_exact(type) else int(text)


@lru_cache(maxsize=256)
def _scale(type: str) -> tuple[int, int]:
    """Return the factor and the divisor by which ordinals of a type become doubles."""
    found = _UNIT.fullmatch(type)
    if found is not None:
        return _SECONDS[found[2]]
    found = _DECIMAL.fullmatch(type)
    if found is None or int(found[1]) > _EXACT_DIGITS:
        return 1, 1
    scale = int(found[2])
    return (10**-scale, 1) if scale < 0 else (1, 10**scale)


def _date(moment: np.datetime64, name: str, zone: str | None) -> str:
    text = f"{moment.astype('datetime64[D]') if name == 'date64' else moment}"
    return text if zone is None else f"{text}Z"


def _time_of_day(value: int, divisor: int) -> str:
    seconds, rest = divmod(value, divisor)
    minutes, second = divmod(seconds, 60)
    digits = len(f"{divisor}") - 1
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{fraction}"


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    known = (types.is_fixed_size_binary, types.is_binary, types.is_large_binary)
    return any(is_one(kind) for is_one in known) or bool(kind == pa.binary_view())


def _is_small_decimal(kind: pa.DataType) -> bool:
    """Whether a type is a decimal of 32 or 64 bits, which older versions of pyarrow lack."""
    types = pa.types
    return bool(types.is_decimal(kind)) and not (types.is_decimal128(kind) or types.is_decimal256(kind))
