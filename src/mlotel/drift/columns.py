"""Which columns can be watched, as what, and how their values become numbers or texts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

__all__ = [
    "CATEGORICAL",
    "NUMERIC",
    "Floats",
    "Integers",
    "as_floats",
    "as_texts",
    "changed",
    "default_kind",
    "family",
    "is_missing",
    "possible_kinds",
]

NUMERIC, CATEGORICAL = "numeric", "categorical"
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

_NUMBER, _BOOLEAN, _TEXT, _INSTANT, _SPAN, _NOTHING = "number", "boolean", "text", "instant", "duration", "nothing"
_KINDS = {
    _NUMBER: (NUMERIC, CATEGORICAL),
    _BOOLEAN: (CATEGORICAL, NUMERIC),
    _TEXT: (CATEGORICAL,),
    _INSTANT: (NUMERIC, CATEGORICAL),
    _SPAN: (NUMERIC, CATEGORICAL),
    _NOTHING: (NUMERIC, CATEGORICAL),
}
_FAMILIES = {
    **dict.fromkeys(("float", "double", "halffloat"), _NUMBER),
    **{f"{sign}int{bits}": _NUMBER for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"decimal{bits}": _NUMBER for bits in (32, 64, 128, 256)},
    "bool": _BOOLEAN,
    **dict.fromkeys(("string", "large_string", "string_view"), _TEXT),
    **dict.fromkeys(("date32", "date64", "timestamp"), _INSTANT),
    **dict.fromkeys(("duration", "time32", "time64"), _SPAN),
    "null": _NOTHING,
}
_WORD = re.compile("[a-z0-9_]*")
_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_DAY = 86_400.0
_NAN = pa.scalar(float("nan"), pa.float64())


def family(type_: pa.DataType | str) -> str | None:
    """Return what values of a type are, whatever their width, unit or encoding; None for what cannot be watched.

    A column whose family changes has changed its type; from int64 to double, as pandas makes integers with nulls, or
    from text to a dictionary of text it has not.

    >>> family("timestamp[us, tz=UTC]"), family("dictionary<values=string, indices=int8, ordered=0>"), family("binary")
    ('instant', 'text', None)
    """
    name = f"{type_}"
    if name.startswith("dictionary<values="):
        name = name.removeprefix("dictionary<values=").partition(", indices=")[0]
    return _FAMILIES.get(_WORD.match(name)[0])  # type: ignore[index] # it matches every text


def changed(then: str, now: str) -> bool:
    """Whether a column has changed its type; one without any value has none."""
    return _NOTHING not in (family(then), family(now)) and family(then) != family(now)


def possible_kinds(type_: pa.DataType) -> tuple[str, ...]:
    """Return the kinds of feature that a column of this type can be, the usual one first."""
    return _KINDS.get(family(type_) or "", ())


def default_kind(type_: pa.DataType) -> str | None:
    """Return the kind of a column that nobody declared, None for one that is not watched unless it is asked for.

    Numbers, durations and times of day are numeric; texts and booleans categorical. Dates and timestamps are points
    in time: in each later window all of them are new, which says nothing about the data.
    """
    return None if family(type_) == _INSTANT else next(iter(possible_kinds(type_)), None)


def as_floats(array: pa.Array) -> Floats:
    """Return an array as n float64, NaN for null.

    Integers past 2**53 are rounded. Dates and timestamps are seconds since the epoch, times of day seconds since
    midnight, durations seconds, booleans 0 and 1. Where nothing has to be converted, nothing is copied.
    """
    type_ = array.type
    if types.is_dictionary(type_):
        array, type_ = array.dictionary_decode(), type_.value_type
    if types.is_null(type_):
        return np.full(len(array), np.nan)
    unit = 1.0
    if types.is_date32(type_):
        array, unit = array.cast(pa.int32()), 1 / _DAY
    elif types.is_date64(type_):
        array, unit = array.cast(pa.int64()), 1e3
    elif types.is_time32(type_):
        array, unit = array.cast(pa.int32()), _SECOND[type_.unit]
    elif types.is_timestamp(type_) or types.is_duration(type_) or types.is_time(type_):
        array, unit = array.cast(pa.int64()), _SECOND[type_.unit]
    elif types.is_boolean(type_):
        array = array.cast(pa.int8())
    if types.is_integer(array.type) and not array.null_count:
        floats: Floats = array.to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        if not types.is_float64(array.type):
            # Arrow casts neither decimals of 256 bits nor half floats in every version, NumPy the latter always
            half = types.is_float16(array.type)
            array = pa.array(array.to_numpy(zero_copy_only=False), pa.float64(), from_pandas=True) if half else array
            array = array if half else array.cast(pa.float64(), safe=False)
        floats = (pc.fill_null(array, _NAN) if array.null_count else array).to_numpy(zero_copy_only=False)
    return floats if unit == 1.0 else floats / unit


def as_texts(array: pa.Array) -> pa.Array:
    """Return the distinct values of a column as texts, null for what is missing (NaN is).

    Numbers are written as Arrow writes them, those without a fraction as integers, so that 3 and 3.0 are one category;
    booleans are ``true`` and ``false``.
    """
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_string(array.type):
        return array
    if types.is_floating(array.type) or types.is_decimal(array.type):
        floats = as_floats(array)
        texts = pa.array(floats, from_pandas=True).cast(pa.string())
        with np.errstate(invalid="ignore"):
            whole = (np.abs(floats) < 2**53) & (floats == np.trunc(floats))
        integers = pa.array(np.where(whole, floats, 0).astype(np.int64)).cast(pa.string())
        return pc.if_else(pa.array(whole), integers, texts)
    return array.cast(pa.string())


def is_missing(value: object) -> bool:
    """Whether one value counts as missing: None, NaN, and what pandas has for them."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA does not say whether it equals itself
        return True
