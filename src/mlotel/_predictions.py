"""The statistics of predictions that a run logs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlotel._artifacts import Item
from mlotel.parameters import attribute_value, is_scalar
from mlotel.profiling.moments import Moments
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["Predictions", "log"]

MOST_CLASSES = 50
"""Labels that are counted one by one; the rest counts as `OTHER`."""
OTHER = "other"


@dataclass(slots=True)
class Predictions:
    """What the predictions of one run add up to."""

    count: int = 0
    missing: int = 0
    moments: Moments = field(default_factory=Moments)
    classes: dict[str, int] = field(default_factory=dict)

    def add(self, batch: Predictions) -> None:
        """Add another batch."""
        self.count += batch.count
        self.missing += batch.missing
        self.moments = self.moments.merge(batch.moments)
        for label, number in batch.classes.items():
            self.count_label(label, number)

    def count_label(self, label: str, number: int) -> None:
        """Count `number` more predictions of one label, under ``other`` where there are too many labels."""
        if label not in self.classes and len(self.classes) >= MOST_CLASSES:
            label = OTHER
        self.classes[label] = self.classes.get(label, 0) + number

    def statistics(self) -> dict[str, float | int]:
        """Return the statistics by attribute name; those that the values do not have are left out."""
        moments = self.moments
        found = {
            A.MLOTEL_PREDICTION_MEAN: moments.mean,
            A.MLOTEL_PREDICTION_STD: moments.std,
            A.MLOTEL_PREDICTION_MIN: moments.min,
            A.MLOTEL_PREDICTION_MAX: moments.max,
            A.MLOTEL_PREDICTION_SKEW: moments.skewness,
            A.MLOTEL_PREDICTION_KURTOSIS: moments.kurtosis,
        }
        return {
            A.MLOTEL_PREDICTION_COUNT: self.count,
            A.MLOTEL_PREDICTION_MISSING: self.missing,
            **{name: value for name, value in found.items() if not math.isnan(value)},
        }


def log(run: ActiveRun, values: Any, keys: Any, probabilities: Any, model: object, version: str | None) -> None:
    """Add a batch to what `run` logged and put the statistics on its span and into metrics. Raises ValueError."""
    batch = summarise(values)
    _same_length("keys", keys, batch.count)
    _same_length("probabilities", probabilities, batch.count)
    attributes, labels = _model(run, model, version)
    total = run._predictions
    if total is None:
        total = run._predictions = Predictions()
    total.add(batch)
    attributes.update(total.statistics())
    if total.classes:
        attributes[A.MLOTEL_PREDICTION_CLASS_NAMES] = list(total.classes)
        attributes[A.MLOTEL_PREDICTION_CLASS_COUNTS] = list(total.classes.values())
    run.span.set_attributes(attributes)
    run._runtime.instruments.predictions(
        {**run._labels, **labels},
        count=batch.count,
        statistics=total.statistics(),
        classes=batch.classes,
        context=run._context,
    )


def summarise(values: Any) -> Predictions:
    """Return the statistics of one batch of n predictions. Raises ValueError for values that are no column."""
    column = _decoded(_column(values))
    kind = column.type
    if pa.types.is_nested(kind):
        raise ValueError(f"predictions must be one column, not of type {kind}: log one output at a time")
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    batch = Predictions(count=len(column), missing=column.null_count)
    if column.null_count:
        column = column.drop_null()
    if numeric:
        numbers = np.asarray(column.cast(pa.float64(), safe=False))
        missing = np.isnan(numbers)
        if missing.any():
            batch.missing += int(missing.sum())
            numbers = numbers[~missing]
        batch.moments = Moments.of(numbers)
    if pa.types.is_integer(kind) or not (numeric or pa.types.is_null(kind)):
        counts = pc.value_counts(column)
        if not numeric or len(counts) <= MOST_CLASSES:  # more different integers than that are numbers, not labels
            numbers_of = counts.field("counts")
            most = counts.take(pc.array_sort_indices(numbers_of, order="descending")[:MOST_CLASSES]).to_pylist()
            for pair in most:  # labels that are the same once they are cut count together
                batch.count_label(str(pair["values"])[:255], pair["counts"])
            rest = (pc.sum(numbers_of).as_py() or 0) - sum(pair["counts"] for pair in most)
            if rest:
                batch.count_label(OTHER, rest)
    return batch


def _column(values: Any) -> Any:
    if isinstance(values, (bytes, Mapping)) or is_scalar(values):
        raise ValueError(
            f"predictions must be a column, not a {type(values).__name__}: write [prediction] for one alone"
        )
    if hasattr(values, "__next__") or hasattr(values, "read_next_batch"):
        raise ValueError(
            f"a {type(values).__name__} can be read only once, and you will want to: make a list or a table of it first"
        )
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise ValueError(f"predictions must be one column, not of shape {values.shape}: log one output at a time")
        if values.dtype.kind == "O":
            values = values.tolist()
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        column = values
    elif hasattr(values, "__arrow_c_stream__"):
        column = pa.chunked_array(values)
    elif hasattr(values, "__arrow_c_array__"):
        column = pa.array(values)
    else:
        if not hasattr(values, "__array__") and not isinstance(values, (list, tuple)):
            values = list(values)
        column = pa.array(values, from_pandas=True)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # a table's stream is one of structs; a table of one column will do
    return column.field(0) if pa.types.is_struct(column.type) and column.type.num_fields == 1 else column


def _decoded(column: Any) -> Any:
    """Return `column` in a layout that Arrow can filter and count: no dictionary, no views."""
    if pa.types.is_dictionary(column.type):
        column = _decoded(column.dictionary).take(column.indices)
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column


def _same_length(what: str, values: Any, count: int) -> None:
    if values is None:
        return
    try:
        number = len(values)
    except TypeError:
        raise ValueError(f"{what} have no length: give a list or an array with one for each prediction") from None
    if number != count:
        raise ValueError(f"{number} {what} for {count} predictions: give one for each")


def _model(run: ActiveRun, model: object, version: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what is known of the model as attributes, and as metric labels."""
    labels: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    if isinstance(model, str):
        labels[A.MLOTEL_MODEL_NAME] = str(attribute_value(model))[:255]
    elif model is not None:
        found = run._artifacts.fingerprint(Item("input", model))
        name = getattr(model, "name", None)
        labels[A.MLOTEL_MODEL_NAME] = str(
            attribute_value(name if isinstance(name, str) and name else type(model).__name__)
        )
        if found.digest is not None:
            attributes[A.MLOTEL_MODEL_DIGEST] = found.digest
    if version is not None:
        labels[A.MLOTEL_MODEL_VERSION] = str(attribute_value(version))[:255]
    attributes.update(labels)
    return attributes, labels
