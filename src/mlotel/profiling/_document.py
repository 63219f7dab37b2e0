"""Profiles as people and programs read them: `schemas/profile.schema.json`, and a table for notebooks."""

from __future__ import annotations

import math
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

from mlotel.profiling._columns import ColumnProfile
from mlotel.profiling.moments import Moments

if TYPE_CHECKING:
    from mlotel.profiling._profile import Profile

__all__ = ["RANKS", "as_html", "document"]

RANKS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MOST_SHOWN = 100


def document(profile: Profile) -> dict[str, Any]:
    """Return a profile as `profile.schema.json` describes it; no number in it is NaN or infinite."""
    return {
        "rows": profile.rows,
        "columns": [_column(each) for each in profile.columns],
        "by": list(profile.by),
        "groups": [
            {
                "key": {name: _plain(value) for name, value in zip(profile.by, each.key, strict=True)},
                "rows": each.profile.rows,
                "columns": [_column(column) for column in each.profile.columns],
            }
            for each in profile.groups
        ],
        "other": None
        if profile.other is None
        else {"rows": profile.other.rows, "columns": [_column(each) for each in profile.other.columns]},
    }


def _column(column: ColumnProfile) -> dict[str, Any]:
    distinct, moments = column.distinct, column.moments or Moments()
    return {
        "column": column.name,
        "type": column.type,
        "kind": column.kind,
        "missing": column.missing,
        "null": column.null,
        "nan": column.nan,
        "min": _plain(column.min),
        "max": _plain(column.max),
        "mean": _plain(column.mean),
        "std": _plain(moments.std),
        "skewness": _plain(moments.skewness),
        "kurtosis": _plain(moments.kurtosis),
        "zero": column.zero,
        "negative": column.negative,
        "infinite": column.infinite,
        "true": column.true,
        "empty": column.empty,
        "lengths": _lengths(column.lengths),
        "quantiles": _quantiles(column),
        "distinct": None
        if distinct is None
        else {"estimate": distinct.value, "lower": distinct.lower, "upper": distinct.upper},
        "frequent": _frequent(column),
    }


def _lengths(lengths: Moments | None) -> dict[str, Any] | None:
    if lengths is None or not lengths.count:
        return None
    return {"min": int(lengths.min), "max": int(lengths.max), "mean": lengths.mean, "std": lengths.std}


def _quantiles(column: ColumnProfile) -> dict[str, Any] | None:
    values = column.quantiles(RANKS)
    if not values:
        return None
    pairs = [{"rank": rank, "value": _plain(value)} for rank, value in zip(RANKS, values, strict=True)]
    return {"rank_error": column.rank_error, "values": pairs}


def _frequent(column: ColumnProfile) -> dict[str, Any] | None:
    found = column.frequent()
    if found is None:
        return None
    values = [
        {"value": _plain(each.value), "count": each.count, "lower": each.lower, "upper": each.upper} for each in found
    ]
    return {"error": column.frequent_error or 0, "values": values}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        value = float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_html(profile: Profile) -> str:
    """Return the columns of a profile as a table."""
    titles = ("column", "type", "missing", "distinct", "min", "mean", "max", "std")
    rows = [_cells(column) for column in profile.columns[:_MOST_SHOWN]]
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f"<table><caption>{escape(repr(profile))}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cells(column: ColumnProfile) -> tuple[str, ...]:
    distinct, std = column.distinct, column.moments.std if column.moments is not None else None
    values = (None if distinct is None else round(distinct.value), column.min, column.mean, column.max, std)
    return column.name, column.type, f"{column.missing:,}", *map(_cell, values)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"
