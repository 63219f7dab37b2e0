"""The statistics of predictions that a run logs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlotel._artifacts import Item
from mlotel._column import column_of, same_length
from mlotel._names import clean_name
from mlotel._span_room import FOR_END
from mlotel.parameters import attribute_value
from mlotel.profiling.moments import Moments
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    from mlotel._comparison import Comparison
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
    keyed: int = 0
    comparison: Comparison | None = None

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


def log(
    run: ActiveRun,
    values: Any,
    *,
    keys: Any,
    probabilities: Any,
    variant: str | None,
    model: object,
    version: str | None,
    reference: object = None,
) -> None:
    """Add a batch to what `run` logged and put the statistics on its span and into metrics. Raises ValueError.

    What has a key is kept one by one.
    """
    column = column_of(values)
    batch = summarise(column)
    same_length("keys", keys, batch.count)
    same_length("probabilities", probabilities, batch.count)
    total = run._predictions
    if total is None:
        total = run._predictions = Predictions()
    about, labels = _model(run, model, version)
    if variant is not None:
        variant = str(attribute_value(variant))[:255]
        about[A.FEATURE_FLAG_RESULT_VARIANT] = labels[A.FEATURE_FLAG_RESULT_VARIANT] = variant
    total.add(batch)
    attributes = {**about, **total.statistics()}
    if total.classes:
        attributes[A.MLOTEL_PREDICTION_CLASS_NAMES] = list(total.classes)
        attributes[A.MLOTEL_PREDICTION_CLASS_COUNTS] = list(total.classes.values())
    if reference is not None:
        from mlotel import _comparison  # loaded where something is compared

        total.comparison = _comparison.of_predictions(run, column, reference, total.comparison)
    if total.comparison is not None:
        attributes.update(total.comparison.attributes())
    run.span.set_attributes(run._room.fit(attributes, FOR_END))
    if total.comparison is not None:
        total.comparison.tell(run.span.get_span_context(), {**run._labels, **labels})
    run._runtime.instruments.predictions(
        {**run._labels, **labels},
        count=batch.count,
        statistics=total.statistics(),
        classes=batch.classes,
        context=run._context,
    )
    if keys is not None:
        from mlotel import _keyed  # what is needed to keep rows is loaded when there are any

        total.keyed += _keyed.keep(run, column, keys, probabilities, about, variant, total.keyed)


def summarise(column: Any) -> Predictions:
    """Return the statistics of one batch of n predictions, an Arrow array. Raises ValueError for nested ones."""
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


def _model(run: ActiveRun, model: object, version: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what is known of the model as attributes, and as metric labels.

    Unless it is given by its name alone, it becomes an input of the run; a name is that of the one model it has read.
    """
    labels: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    if isinstance(model, str):
        labels[A.MLOTEL_MODEL_NAME] = str(attribute_value(model))[:255]
        digest = None if run._io is None else run._io.only_model
        if digest is not None:
            attributes[A.MLOTEL_MODEL_DIGEST] = digest
    elif model is not None:
        said = getattr(model, "name", None)
        name = str(attribute_value(said if isinstance(said, str) and said else type(model).__name__))
        labels[A.MLOTEL_MODEL_NAME] = name
        found = run._artifacts.log_once(Item("input", model, clean_name(name), "model"))
        if found.digest is not None:
            attributes[A.MLOTEL_MODEL_DIGEST] = found.digest
    if version is not None:
        labels[A.MLOTEL_MODEL_VERSION] = str(attribute_value(version))[:255]
    attributes.update(labels)
    return attributes, labels
