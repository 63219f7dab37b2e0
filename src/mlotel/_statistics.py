"""The statistics of a table's columns, computed in the pass in which the table is digested."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from opentelemetry.trace import SpanContext

from mlotel._watcher import Watcher
from mlotel.profiling import ColumnProfile, Profile, Profiler
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    import pyarrow as pa

    from mlotel._run import ActiveRun

__all__ = ["Statistics"]

MOST_COLUMNS = 100
"""Columns that are told; of wider tables the first."""
_RANKS = (0.05, 0.5, 0.95)
_GAUGES = ("missing_ratio", "mean", "std", "skewness", "kurtosis")


class Statistics(Watcher):
    """Profiles a table while it is read, and tells the result.

    Values of texts are not told, nor are the most frequent values.

    Args:
        run: the run that reads or writes it.
        name: what the table is called.
        direction: whether it is an ``input`` or an ``output``.

    Raises:
        MissingExtraError: datasketches is not installed.
    """

    def __init__(self, run: ActiveRun, name: str, direction: str) -> None:
        super().__init__(run, name, "profile of")
        self._direction = direction
        self._profiler = Profiler(frequent="none")
        self._columns: list[dict[str, Any]] = []

    def _add(self, batch: pa.RecordBatch) -> None:
        self._profiler.add(batch)

    def _found(self) -> Mapping[str, Any]:
        found = self._profiler.profile
        assert found is not None  # a batch was added
        self._columns = _columns(found)
        return {A.MLOTEL_ARTIFACT_PROFILE: msgspec.json.encode(self._columns).decode()}

    def tell(self, context: SpanContext, labels: Mapping[str, str]) -> None:
        """Set the gauges; `labels` are those of the component."""
        about = {**labels, A.MLOTEL_IO_DIRECTION: self._direction, A.MLOTEL_ARTIFACT_NAME: self._name}
        for column in self._columns:
            values = {name: column[name] for name in _GAUGES if name in column}
            self._run._runtime.instruments.statistics({**about, A.MLOTEL_FEATURE_NAME: column["column"]}, values)


def _columns(found: Profile) -> list[dict[str, Any]]:
    return [_column(each, found.rows) for each in found.columns[:MOST_COLUMNS]]


def _column(column: ColumnProfile, rows: int) -> dict[str, Any]:
    """Return the statistics that a column has: those that are numbers, none of them NaN or infinite."""
    moments, distinct = column.moments, column.distinct
    found: dict[str, Any] = {"missing": column.missing, "missing_ratio": column.missing / rows if rows else None}
    if moments is not None and moments.count and _is_number(column.mean):  # of times they are no numbers
        found |= {"min": column.min, "max": column.max, "mean": column.mean}
        found |= {"std": moments.std, "skewness": moments.skewness, "kurtosis": moments.kurtosis}
        values = column.quantiles(_RANKS)
        found |= {f"p{rank * 100:.0f}": value for rank, value in zip(_RANKS, values, strict=bool(values))}
    if distinct is not None:
        found["distinct"] = distinct.value
    numbers = {name: float(value) if _is_number(value) else None for name, value in found.items()}
    known = {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    return {"column": column.name[:255], "type": column.type[:255], **known}


def _is_number(value: object) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, bool)
