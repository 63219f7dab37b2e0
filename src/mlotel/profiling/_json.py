"""Profiles as JSON: everything that is needed to merge them, sketches in base64 of their library's own bytes."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

from mlotel.errors import ArtifactError
from mlotel.profiling._columns import ColumnProfile
from mlotel.profiling._profile import GroupProfile, Key, Profile
from mlotel.profiling._sketches import DistinctSketch, FrequentSketch, QuantileSketch
from mlotel.profiling._types import KINDS
from mlotel.profiling.moments import Moments

__all__ = ["dump", "load"]

_FORMAT, _VERSION = "mlotel.profile", 1
_LARGEST_TEXT = 256 << 20
_LARGEST_SKETCH = 1 << 20
_MOST_COLUMNS = 100_000
_MOST_GROUPS = 10_000
_LARGEST_COUNT = 1 << 53
_COUNTS = ("rows", "null", "nan")
_COUNTS_OF_SOME = ("zero", "negative", "infinite", "empty", "true")
_POWERS = ("mean", "m2", "m3", "m4", "min", "max")


def dump(profile: Profile) -> str:
    """Return a profile as JSON text."""
    whole = {"format": _FORMAT, "version": _VERSION, **_table(profile)}
    return json.dumps(whole, allow_nan=False, separators=(",", ":"))


def load(text: str | bytes) -> Profile:
    """Return the profile that JSON text tells.

    Raises:
        ArtifactError: it is no profile, or one of another version.
    """
    if len(text) > _LARGEST_TEXT:
        raise ArtifactError(f"a profile of {len(text):,} characters is too large: there are {_LARGEST_TEXT:,} at most")
    try:
        found = json.loads(text, parse_constant=_no_constant)
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise ValueError("it does not say that it is one")
        if found.get("version") != _VERSION:
            raise ArtifactError(
                f"a profile of version {found.get('version')!r}, this mlotel reads version {_VERSION}: "
                "make it anew, or update mlotel"
            )
        return _read_table(found)
    except ArtifactError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"[:200]
        raise ArtifactError(f"no profile as `Profile.to_json` writes it ({why}): make it anew") from error


def _table(profile: Profile) -> dict[str, Any]:
    return {
        "rows": profile.rows,
        "columns": [_column(each) for each in profile.columns],
        "by": list(profile.by),
        "groups": [{"key": [*map(_number, each.key)], **_table(each.profile)} for each in profile.groups],
        "other": None if profile.other is None else _table(profile.other),
        "most_groups": profile.most_groups,
    }


def _column(column: ColumnProfile) -> dict[str, Any]:
    quantiles, distinct, frequent = column.quantile_sketch, column.distinct_sketch, column.frequent_sketch
    return {
        "name": column.name,
        "type": column.type,
        "kind": column.kind,
        **{name: getattr(column, name) for name in (*_COUNTS, *_COUNTS_OF_SOME)},
        "smallest": column.smallest,
        "largest": column.largest,
        "moments": _moments(column.moments),
        "lengths": _moments(column.lengths),
        "quantiles": None if quantiles is None else _base64(quantiles.to_bytes()),
        "distinct": None if distinct is None else _base64(distinct.to_bytes()),
        "frequent": None if frequent is None else _base64(frequent.to_bytes()),
        "frequent_left_out": None if frequent is None else frequent.left_out,
    }


def _moments(moments: Moments | None) -> list[Any] | None:
    return None if moments is None else [moments.count, *(_number(getattr(moments, name)) for name in _POWERS)]


def _number(value: Any) -> Any:
    """Return a value as JSON has it: what is not finite, as sums of large numbers may be, as text in a list."""
    return [repr(value)] if isinstance(value, float) and not math.isfinite(value) else value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _read_table(found: Mapping[str, Any]) -> Profile:
    columns, groups, other = found["columns"], found["groups"], found["other"]
    if len(columns) > _MOST_COLUMNS or len(groups) > _MOST_GROUPS:
        raise ValueError("too many columns or groups")
    profile = Profile(
        _count(found["rows"]),
        tuple(_read_column(each) for each in columns),
        tuple(_text(each) for each in found["by"]),
        tuple(GroupProfile(_key(each["key"], len(found["by"])), _read_table(each)) for each in groups),
        None if other is None else _read_table(other),
        _count(found["most_groups"]),
    )
    if any(column.rows != profile.rows for column in profile.columns):
        raise ValueError("columns of several lengths")
    if len({column.name for column in profile.columns}) < len(profile.columns):
        raise ValueError("a column that is there twice")
    return profile


def _read_column(found: Mapping[str, Any]) -> ColumnProfile:
    if found["kind"] not in KINDS:
        raise ValueError("a kind that is not known")
    counts: dict[str, Any] = {name: _count(found[name]) for name in _COUNTS}
    counts |= {name: None if found[name] is None else _count(found[name]) for name in _COUNTS_OF_SOME}
    if max(each or 0 for each in counts.values()) > counts["rows"]:
        raise ValueError("more of something than there are rows")
    quantiles, distinct, frequent = found["quantiles"], found["distinct"], found["frequent"]
    left_out = None if frequent is None else _count(found["frequent_left_out"])
    column = ColumnProfile(
        _text(found["name"]),
        _text(found["type"]),
        found["kind"],
        **counts,
        smallest=_extreme(found["smallest"]),
        largest=_extreme(found["largest"]),
        moments=_read_moments(found["moments"]),
        lengths=_read_moments(found["lengths"]),
        quantile_sketch=None if quantiles is None else QuantileSketch.from_bytes(_bytes(quantiles)),
        distinct_sketch=None if distinct is None else DistinctSketch.from_bytes(_bytes(distinct)),
        frequent_sketch=None if left_out is None else FrequentSketch.from_bytes(_bytes(frequent), left_out),
    )
    column.frequent()  # texts that are no values of the type are found here, and not when somebody asks
    return column


def _read_moments(found: Any) -> Moments | None:
    if found is None:
        return None
    count, *powers = found
    if len(powers) != len(_POWERS):
        raise ValueError("other moments")
    return Moments(_count(count), *(_float(each) for each in powers))


def _key(found: Any, length: int) -> Key:
    values = tuple(_float(each) if isinstance(each, list) else each for each in found)
    if len(values) != length or not all(value is None or isinstance(value, str | int | float) for value in values):
        raise ValueError("a key that does not go with the columns")
    return values


def _float(value: Any) -> float:
    if isinstance(value, list):
        (text,) = value
        if text not in ("inf", "-inf", "nan"):
            raise ValueError("no number")
        return float(text)
    return float(_finite(value))


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("no number")
    return value


def _extreme(value: Any) -> float | None:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("no number of 64 bits")
    return None if value is None else _finite(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_COUNT:
        raise ValueError("no count")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _bytes(value: Any) -> bytes:
    if len(_text(value)) > _LARGEST_SKETCH:
        raise ValueError("a sketch that is too large")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("a sketch that is no base64") from error
