"""`Monitor`: the one call that a serving process makes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mlotel import columnar
from mlotel._column import column_of
from mlotel._runtime import guard
from mlotel.drift import Counts, FeatureCounts, Reference
from mlotel.errors import ConfigurationError, InvalidReferenceError, nearest
from mlotel.semconv import attributes as A
from mlotel.serving._binning import Row, chooser
from mlotel.serving._export import exports
from mlotel.serving._sheet import BLOCK

__all__ = ["Monitor"]

_LONGEST_LABEL = 255
_FEW = 64
"""Rows of a batch that wait for others: counting a few takes as long as counting many."""
_NUMBERS = "fiub"
_FLOAT = np.dtype(np.float64)
_SEVERAL = (dict, list, tuple, np.ndarray)


class Monitor:
    """Counts what a model is asked and what it answers, beside the reference that it was trained on.

    The counts per bin are exported as `mlotel.feature.values`, which recording rules make drift of
    (``mlotel rules``), the predictions as `mlotel.prediction.count`. All monitors of one version of a model in a
    process count together. Once made, a monitor raises nothing into the service: what it cannot count is logged once,
    and counted as `mlotel.telemetry.dropped`.

    Args:
        reference: the reference, or the path of its file. If it has a feature named as `prediction` says, predictions
            are counted as that.
        model: name of the model; the reference's if not given.
        version: its version; the reference's if not given.
        variant: which variant of a test of several this is, as a label of predictions.
        component: name of the component that serves, as a label of predictions.
        columns: what the columns of rows and arrays without names are, in order; the reference's features if not given.
        prediction: the name that predictions have in the reference.

    Raises:
        InvalidReferenceError: it is none, or that of another model or version.
        ConfigurationError: there is neither a name nor a version of the model, `columns` lack a feature, or the
            version is monitored with another reference in this process.
    """

    def __init__(
        self,
        reference: Reference | str | os.PathLike[str],
        *,
        model: str | None = None,
        version: str | None = None,
        variant: str | None = None,
        component: str | None = None,
        columns: Sequence[str] | None = None,
        prediction: str = "prediction",
    ) -> None:
        if not isinstance(reference, Reference):
            reference = Reference.load(reference)
        name = _same("model", model, reference.model)
        number = _same("version", version, reference.model_version)
        self._sheet = exports.sheet(reference, name, number, prediction)
        labels = {
            **self._sheet.model,
            A.MLOTEL_COMPONENT_NAME: component,
            A.FEATURE_FLAG_RESULT_VARIANT: variant,
        }
        self._labels = {key: f"{value}"[:_LONGEST_LABEL] for key, value in labels.items() if value is not None}
        self._intake = self._sheet.intake(self._labels)
        self._intake.before = exports.bind
        names = [each.name for each in self._sheet.features]
        self._names = names
        self._columns = _places(names, columns)
        self._width = len(names) if columns is None else len(columns)
        self._choose = None if self._columns == list(range(self._width)) else chooser(self._columns)
        self._first = names[0] if names else None

    def observe(self, features: Any, predictions: Any = None, *, duration: float | None = None) -> None:
        """Count one row or a batch of rows, and what was predicted for them.

        A value that is None or NaN, that is none of its feature's kind, or that a row lacks counts as missing.

        Args:
            features: one row: a dict by name, or a tuple, a list or a NumPy array of one dimension in the order of the
                columns. Or n rows: a list of such, a NumPy array of n × columns, a dict of columns, or a table
                (Arrow, pandas, polars). None to count predictions alone.
            predictions: what was predicted: one value for a row, n for a batch; None to count features alone.
            duration: seconds that the request took.
        """
        intake = self._intake
        try:
            kind = type(features)
            row: Row
            first = None
            if kind is dict:
                # What is in it is looked up when it is counted: the caller only waits for a copy
                first = features.get(self._first)
                row = features.copy() if first is not None or self._first in features else self._row(features)
            elif (kind is tuple or kind is list) and len(features) == self._width:
                row = tuple(features) if self._choose is None else self._choose(features)
                first = row[0] if row else None
            elif kind is np.ndarray and features.shape == (self._width,) and features.dtype.kind in _NUMBERS:
                values = features if self._choose is None else features[self._columns]
                row = (values if values.dtype == _FLOAT else values.astype(_FLOAT)).tobytes()
            else:
                self._batch(features, predictions, duration)
                return
            # Asking for four types takes a tenth of the time that a caller waits
            if first is not None and type(first) is not float and isinstance(first, _SEVERAL):
                self._batch(features, predictions, duration)
                return
            intake.pending.append(row)
            if predictions is not None:
                intake.answers.append(_only(predictions) if hasattr(predictions, "__len__") else predictions)
            if len(intake.pending) >= intake.limit:
                intake.count()
            if duration is not None:
                exports.record(self._sheet, duration, self._labels)
        except Exception as error:
            intake.dropped += 1
            guard("an observation of a served model is not counted", error)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Record how long the block takes, and the type of an exception that ends it, as a request for predictions."""
        start = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self._record(time.perf_counter() - start, {**self._labels, A.ERROR_TYPE: type(error).__qualname__})
            raise
        self._record(time.perf_counter() - start, self._labels)

    def counts(self) -> Counts:
        """Return what this process has counted for this version of the model, for `mlotel.drift.compare`.

        Predictions are among the features if there was one for each row.
        """
        sheet = self._sheet
        sheet.settle()
        counted, rows = sheet.snapshot()
        starts = sheet.binning.starts
        found = {
            each.name: FeatureCounts(tuple(counted[starts[place] : starts[place + 1]].tolist()))
            for place, each in enumerate(sheet.features)
        }
        if sheet.prediction is not None:
            outcomes = tuple(sheet.outcome_counts().tolist())
            if sum(outcomes) == rows:
                found[sheet.prediction.name] = FeatureCounts(outcomes)
        return Counts(rows, found)

    def close(self) -> None:
        """Let go of this version of the model: what is observed from now on is not exported.

        An SDK may go on repeating the last counts.
        """
        exports.close(self._sheet)

    def _record(self, seconds: float, labels: Mapping[str, str]) -> None:
        try:
            exports.bind()
            exports.record(self._sheet, seconds, labels)
        except Exception as error:
            guard("a request of a served model is not recorded", error)

    def _batch(self, features: Any, predictions: Any, duration: float | None) -> None:
        """Count rows that come together, or one in another form than `observe` looks for first."""
        exports.bind()
        rows = None if features is None else self._batch_features(features)
        if predictions is not None:
            self._batch_predictions(predictions, rows)
        intake = self._intake
        if len(intake.pending) >= intake.limit or len(intake.answers) >= BLOCK:
            intake.count()
        if duration is not None:
            exports.record(self._sheet, duration, self._labels)

    def _batch_features(self, features: Any) -> int:
        sheet = self._sheet
        if isinstance(features, np.ndarray) and features.dtype.names is None:
            array = features.reshape(1, -1) if features.ndim == 1 and features.size == self._width else features
            if array.ndim != 2 or array.shape[1] != self._width:
                raise ValueError(f"an array of {features.shape}: give n × {self._width}, in the order of the columns")
            if len(array) > _FEW:
                counted, rows = sheet.binning.matrix(array, self._columns), len(array)
            else:
                return self._wait([self._row(each) for each in array.tolist()])
        elif isinstance(features, Mapping):
            counted, rows = sheet.binning.table(_table(features))
        elif hasattr(features, "to_dict") and getattr(features, "ndim", 2) == 1:  # a row of a pandas frame
            return self._wait([self._row(features.to_dict())])
        elif columnar.is_table(features):
            counted, rows = sheet.binning.table(features)
        else:
            return self._wait([self._row(each) for each in features])
        sheet.add(counted, rows)
        return rows

    def _wait(self, rows: Sequence[Row]) -> int:
        self._intake.pending.extend(rows)
        return len(rows)

    def _batch_predictions(self, predictions: Any, rows: int | None) -> None:
        sheet = self._sheet
        several = hasattr(predictions, "__len__") and not isinstance(predictions, str | bytes)
        column = column_of(predictions if several or columnar.is_table(predictions) else [predictions])
        if rows is not None and len(column) != rows:
            raise ValueError(f"{len(column):,} predictions for {rows:,} rows: give one a row")
        if sheet.outcomes is None or sheet.prediction is None:
            self._intake.add_outcomes(None, len(column))
        elif len(column) <= _FEW:
            self._intake.answers.extend(column.to_pylist())
        else:
            import pyarrow as pa

            counted, number = sheet.outcomes.table(pa.table({sheet.prediction.name: column}))
            self._intake.add_outcomes(counted, number)

    def _row(self, row: Any) -> Row:
        if isinstance(row, Mapping):
            found = tuple(row.get(name) for name in self._names)
            if row and found and found.count(None) == len(found) and not any(name in row for name in self._names):
                raise ValueError(f"a row has none of the features{self._nearest(row)}")
            return found
        if not isinstance(row, _SEVERAL):
            raise ValueError(
                f"a {type(row).__name__} is no row, or {self._width:,} values are expected: give a dict, or a list in "
                "the order of the columns"
            )
        values = row.tolist() if isinstance(row, np.ndarray) else row
        if len(values) != self._width:
            raise ValueError(f"a row of {len(values):,} values: give {self._width:,}, in the order of the columns")
        return tuple(values) if self._choose is None else self._choose(values)

    def _nearest(self, features: Mapping[Any, Any]) -> str:
        return nearest(f"{next(iter(features))}", self._names) or f": it needs {', '.join(map(repr, self._names[:5]))}"


def _only(prediction: Any) -> Any:
    """Return the value of a prediction for one row, which models give as an array of one."""
    if isinstance(prediction, str | bytes):
        return prediction
    (value,) = prediction.reshape(-1).tolist() if isinstance(prediction, np.ndarray) else prediction
    return value


def _same(what: str, given: str | None, own: str | None) -> str:
    if given is not None and own is not None and given != own:
        raise InvalidReferenceError(
            f"the reference is of {what} {own!r}, not {given!r}: take the one that was fitted with that model"
        )
    found = own if given is None else given
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_LABEL:
        raise ConfigurationError(
            f"the {what} is {'not known' if found is None else repr(found)[:80]}: give {what}= a text of 1 to "
            f"{_LONGEST_LABEL} characters, to the monitor or to Reference.fit"
        )
    return found


def _places(names: Sequence[str], columns: Sequence[str] | None) -> list[int]:
    if columns is None:
        return list(range(len(names)))
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise ConfigurationError(
            f"columns lack the feature {lacking[0]!r}{nearest(lacking[0], list(columns)) or ': name all columns'}"
        )
    return [list(columns).index(name) for name in names]


def _table(columns: Mapping[Any, Any]) -> Any:
    import pyarrow as pa

    return pa.table({f"{name}": column_of(values) for name, values in columns.items()})
