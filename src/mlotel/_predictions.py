"""The statistics of predictions that a run logs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlotel.profiling.moments import Moments
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["Predictions", "log"]

MOST_CLASSES = 50
"""Labels that are counted one by one; the rest counts as ``other``."""


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
            known = label in self.classes or len(self.classes) < MOST_CLASSES
            label = label if known else "other"
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
    column = _column(values)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    batch = Predictions(count=len(column), missing=column.null_count)
    if numeric:
        numbers = np.asarray(column.drop_null().cast(pa.float64(), safe=False))
        present = numbers[~np.isnan(numbers)]
        batch.missing += len(numbers) - len(present)
        batch.moments = Moments.of(present)
    if not numeric or pa.types.is_integer(kind):
        counts = pc.value_counts(column.drop_null())
        if not numeric or len(counts) <= MOST_CLASSES:  # more different integers than that are numbers, not labels
            pairs = sorted(((_label(c["values"]), c["counts"].as_py()) for c in counts), key=lambda pair: -pair[1])
            batch.add(Predictions(classes=dict(pairs)))
    return batch


def _column(values: Any) -> Any:
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
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _label(value: Any) -> str:
    plain = value.as_py()
    return str(plain)[:255]


def _same_length(what: str, values: Any, count: int) -> None:
    if values is not None and len(values) != count:
        raise ValueError(f"{len(values)} {what} for {count} predictions: give one for each")


def _model(run: ActiveRun, model: object, version: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what is known of the model as attributes, and as metric labels."""
    labels: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    if isinstance(model, str):
        labels[A.MLOTEL_MODEL_NAME] = model[:255]
    elif model is not None:
        found = run._fingerprint(model, None)
        labels[A.MLOTEL_MODEL_NAME] = getattr(model, "name", None) or type(model).__name__
        if found.digest is not None:
            attributes[A.MLOTEL_MODEL_DIGEST] = found.digest
    if version is not None:
        labels[A.MLOTEL_MODEL_VERSION] = str(version)[:255]
    attributes.update(labels)
    return attributes, labels
