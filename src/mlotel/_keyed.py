"""Predictions that are logged with keys: kept in the store's data set, and a few of them told by spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlotel._column import column_of
from mlotel._runtime import guard
from mlotel._span_room import FOR_END
from mlotel.errors import StoreError
from mlotel.semconv import attributes as A
from mlotel.store.predictions.keys import key_text
from mlotel.store.predictions.rows import KeyedRows

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["MOST_SPANS", "keep"]

MOST_SPANS = 16
"""Keyed predictions of one run that are told by spans, where spans go to another place than the data set."""
_LONGEST_TEXT = 255
_AT_ONCE = 1_000_000  # predictions that are held in memory as Python objects, and the most in one file


def keep(
    run: ActiveRun,
    column: Any,
    keys: Any,
    probabilities: Any,
    about: Mapping[str, Any],
    variant: str | None,
    before: int,
) -> int:
    """Keep the predictions of `column` that have a key, and return how many those are.

    Args:
        run: the run that made them.
        column: n predictions, an Arrow array.
        keys: n keys; one that is null has no record.
        probabilities: n probabilities, or n × classes, of which the largest counts; None where there are none.
        about: what is known of the model, by attribute name.
        variant: the variant that made them.
        before: how many keyed predictions this run has logged before.

    Raises:
        ValueError: keys or probabilities are no columns.
    """
    column_of_keys = _sliceable(keys)
    probabilities = None if probabilities is None else _probabilities(probabilities)
    kept = 0
    for first in range(0, len(column), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        kept += _keep(
            run,
            column[part],
            _listed(column_of_keys[part]),
            None if probabilities is None else probabilities[part],
            about,
            variant,
            before + kept,
        )
    return kept


def _keep(
    run: ActiveRun,
    column: Any,
    keys: Sequence[Any],
    probabilities: Any,
    about: Mapping[str, Any],
    variant: str | None,
    before: int,
) -> int:
    """The same for no more predictions than are held in memory at once."""
    listed = [key_text(key) for key in keys]
    chosen = [number for number, key in enumerate(listed) if key is not None]
    if not chosen:
        return 0
    if len(chosen) < len(listed):
        column = column.take(pa.array(chosen))
    known = [key for key in listed if key is not None]
    sink = run._runtime.predictions
    hash_of = run._runtime.record_keys.hash
    try:
        hashes = [hash_of(key) for key in known]
    except OSError:  # the store can make no secret: it takes none of them either
        if sink is not None:
            sink.lost(len(known))
        raise
    values, labels = _told(column)
    if sink is not None:
        sink.add(
            KeyedRows(
                hashes=hashes,
                keys=None if run._runtime.record_keys.secret else known,
                values=values,
                texts=labels,
                probabilities=None if probabilities is None else probabilities.take(pa.array(chosen)),
                variant=variant,
                model=about.get(A.MLOTEL_MODEL_NAME),
                model_version=about.get(A.MLOTEL_MODEL_VERSION),
                model_digest=about.get(A.MLOTEL_MODEL_DIGEST),
                trace_id=run.trace_id,
                span_id=run.span_id,
                time_ns=run._now(),
            )
        )
    if not before and len(hashes) == 1:
        run.span.set_attributes(run._room.fit({A.MLOTEL_RECORD_KEY_HASH: f"{hashes[0]:016x}"}, FOR_END))
    elif run._runtime.spans_leave and before + len(hashes) <= MOST_SPANS:
        texts = [None] * len(hashes) if labels is None else labels.to_pylist()
        _tell(run, hashes, values.to_pylist(), texts, about)
    elif run._runtime.spans_leave and sink is None:
        lost = (
            f"a run's keys past {MOST_SPANS} are kept in a store alone, and there is none: set MLOTEL_STORE to a folder"
        )
        guard(f"predictions of component {run.name!r}", StoreError(lost))
    return len(hashes)


def _tell(
    run: ActiveRun,
    hashes: Sequence[int],
    values: Sequence[float | None],
    labels: Sequence[str | None],
    about: Mapping[str, Any],
) -> None:
    """Emit a span for each of a few predictions: Jaeger finds a span by a scalar attribute, not by one of several."""
    for key_hash, value, label in zip(hashes, values, labels, strict=True):
        attributes = {
            A.MLOTEL_RUN_ID: run.run_id,
            A.MLOTEL_RECORD_KEY_HASH: f"{key_hash:016x}",
            A.MLOTEL_PREDICTION_COUNT: 1,
            **about,
        }
        if value is not None:
            attributes[A.MLOTEL_PREDICTION_MEAN] = value
        elif label is not None:
            attributes[A.MLOTEL_PREDICTION_CLASS_NAMES] = [label]
        now = run._now()
        run._runtime.tracer.start_span("predict", context=run._context, attributes=attributes, start_time=now).end(now)


def _sliceable(keys: Any) -> Any:
    """Return keys as a list, a NumPy array or an Arrow array. Raises ValueError for what is no column."""
    if isinstance(keys, (list, tuple)) or (isinstance(keys, np.ndarray) and keys.ndim == 1):
        return keys  # of several types, perhaps, for which Arrow has no column
    column = column_of(keys, "keys")
    if pa.types.is_nested(column.type):
        raise ValueError(f"keys must be one column, not of type {column.type}")
    return column


def _listed(keys: Any) -> Sequence[Any]:
    listed: Sequence[Any] = keys if isinstance(keys, (list, tuple)) else keys.tolist()
    return listed


def _told(column: Any) -> tuple[pa.Array, pa.Array | None]:
    """Return predictions as numbers (null where missing or none) and as text, where the numbers do not say it all."""
    kind = column.type
    if pa.types.is_floating(kind):
        numbers = column if pa.types.is_float64(kind) else column.cast(pa.float64())
        array = np.asarray(numbers)  # a null is NaN in it
        finite = np.isfinite(array)
        if finite.all():
            return numbers, None
        infinite = np.isinf(array)
        labels = pa.array(array.astype(str), pa.string(), mask=~infinite) if infinite.any() else None
        return pa.array(array, mask=~finite), labels
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64(), safe=False), None
    if pa.types.is_integer(kind):
        return column.cast(pa.float64(), safe=False), column.cast(pa.string())  # a double is not exact past 2^53
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        labels = pc.utf8_slice_codeunits(column, 0, _LONGEST_TEXT).cast(pa.string())
    else:
        texts = [None if value is None else str(value)[:_LONGEST_TEXT] for value in column.to_pylist()]
        labels = pa.array(texts, pa.string())
    return pa.nulls(len(column), pa.float64()), labels


def _probabilities(probabilities: Any) -> Any:
    """Return one probability for each prediction as an Arrow array: of n × classes, the largest."""
    array = np.asarray(probabilities, dtype=np.float64)
    if array.ndim == 2 and array.shape[1]:
        array = array.max(axis=1)
    if array.ndim != 1:
        raise ValueError(f"probabilities must be of shape (n,) or (n, classes), not {array.shape}")
    return pa.array(array, pa.float64(), from_pandas=True)
