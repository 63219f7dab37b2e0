"""What a reference holds of one feature, and its JSON form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlotel.drift._bins import LONGEST_CATEGORY, Bins, CategoricalBins, NumericBins
from mlotel.drift.columns import CATEGORICAL, NUMERIC
from mlotel.errors import InvalidReferenceError
from mlotel.profiling.moments import Moments

__all__ = ["FeatureReference", "feature_from_document"]

_MOMENTS = ("mean", "m2", "m3", "m4", "min", "max")
_MOST_BINS = 10_000
_LONGEST_NAME = 10_000


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """The distribution of one feature that others are compared with.

    Attributes:
        name: the column's name.
        type: its Arrow type, as text.
        bins: how its values are cut.
        counts: rows of the reference in each bin; the last one holds the missing values.
        outer: the numbers of the bins that are tails: beyond 0.1 % of either side, or 1 % of a small reference.
        moments: of the finite values of a numeric feature.
        overdispersion: φ ≥ 1: how much more than independent rows windows of the reference differ from it.
        excess: the largest PSI of a window of the reference that is not chance: its level changes by itself.
        windows: from how many windows both were found; 0 if they were not looked for.
    """

    name: str
    type: str
    bins: Bins
    counts: tuple[int, ...]
    outer: tuple[int, ...] = ()
    moments: Moments | None = None
    overdispersion: float = 1.0
    excess: float = 0.0
    windows: int = 0

    @property
    def kind(self) -> str:
        """``numeric`` or ``categorical``."""
        return self.bins.kind

    @property
    def constant(self) -> int | None:
        """The number of the one bin that holds all rows (missing values are one as well), or None."""
        filled = [place for place, count in enumerate(self.counts) if count]
        if len(filled) != 1 or filled[0] == getattr(self.bins, "other", -1):
            return None
        if isinstance(self.bins, CategoricalBins) or filled[0] == self.bins.missing:
            return filled[0]
        # Both sides of an only value are edges
        place, edges = filled[0], self.bins.edges
        alone = 0 < place < len(edges) and math.nextafter(edges[place], -math.inf) <= edges[place - 1]
        return place if alone else None

    def document(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        bins = self.bins
        cut = {"edges": list(bins.edges)} if isinstance(bins, NumericBins) else {"categories": list(bins.categories)}
        return {
            "name": self.name,
            "kind": self.kind,
            "type": self.type,
            **cut,
            "counts": list(self.counts),
            "outer": list(self.outer),
            "moments": None if self.moments is None else _moments_document(self.moments),
            "overdispersion": self.overdispersion,
            "excess": self.excess,
            "windows": self.windows,
        }


def _moments_document(moments: Moments) -> dict[str, Any]:
    values = {name: getattr(moments, name) for name in _MOMENTS}
    return {"count": moments.count, **{name: v if math.isfinite(v) else None for name, v in values.items()}}


def feature_from_document(document: object, rows: int) -> FeatureReference:
    """Return what `FeatureReference.document` made plain values of.

    Raises:
        InvalidReferenceError: it is not that.
    """
    if not isinstance(document, Mapping) or not isinstance(name := document.get("name"), str):
        raise InvalidReferenceError("a feature of the reference has no name: fit the reference anew")
    try:
        return _feature(document, name, rows)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}"[:200]
        raise InvalidReferenceError(
            f"feature {name[:255]!r} of the reference is damaged ({what}): fit the reference anew"
        ) from error


def _feature(document: Mapping[str, Any], name: str, rows: int) -> FeatureReference:
    bins: Bins
    if document["kind"] == NUMERIC:
        bins = NumericBins(tuple(map(_finite, _listed(document["edges"]))))
        _require(all(a < b for a, b in zip(bins.edges, bins.edges[1:], strict=False)), "edges do not ascend")
    else:
        _require(document["kind"] == CATEGORICAL, "unknown kind")
        bins = CategoricalBins(tuple(_listed(document["categories"])))
        _require(all(isinstance(each, str) and len(each) <= LONGEST_CATEGORY for each in bins.categories), "no text")
        _require(len(set(bins.categories)) == len(bins.categories), "a category stands there twice")
    counts = tuple(map(_natural, _listed(document["counts"])))
    _require(len(counts) == bins.size and sum(counts) == rows, "counts that are not those of all rows")
    outer = tuple(map(_natural, _listed(document["outer"])))
    _require(all(place < bins.missing for place in outer), "no such bin")
    phi, excess = _finite(document["overdispersion"]), _finite(document["excess"])
    _require(phi >= 1 and excess >= 0, "overdispersion out of range")
    _require(isinstance(document["type"], str) and len(name) <= _LONGEST_NAME, "no text")
    moments = document["moments"]
    return FeatureReference(
        name,
        document["type"],
        bins,
        counts,
        outer,
        None if moments is None else _moments(moments),
        phi,
        excess,
        _natural(document["windows"]),
    )


def _moments(document: Mapping[str, Any]) -> Moments:
    values = {name: math.nan if document[name] is None else _finite(document[name]) for name in _MOMENTS}
    return Moments(_natural(document["count"]), **values)


def _listed(value: Any) -> list[Any]:
    _require(isinstance(value, list) and len(value) <= _MOST_BINS, "no list, or too long a one")
    return list(value)


def _natural(value: Any) -> int:
    _require(type(value) is int and value >= 0, "no natural number")
    return int(value)


def _finite(value: Any) -> float:
    _require(type(value) in (int, float) and math.isfinite(value), "no number")
    return float(value)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
