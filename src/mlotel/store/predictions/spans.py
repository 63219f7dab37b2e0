"""A keyed prediction as a span tells it: where no data set is written, a few of them can be found all the same."""

from __future__ import annotations

from collections.abc import Mapping

from mlotel.model import Prediction
from mlotel.semconv import attributes as A

__all__ = ["prediction_of"]


def prediction_of(
    attributes: Mapping[str, object], *, trace_id: str, span_id: str, time_ns: int, key: str | None = None
) -> Prediction | None:
    """Return the prediction that a span's attributes tell of, None where they name no record.

    Its value is known where the span counts one prediction alone.

    Args:
        attributes: those of a run's span, or of a span of its own that a run made for one of a few predictions.
        trace_id: of that span, in hex.
        span_id: of the run's span, in hex.
        time_ns: when the span began, nanoseconds since the epoch.
        key: the key in clear, if it is known.
    """
    key_hash = attributes.get(A.MLOTEL_RECORD_KEY_HASH)
    if not isinstance(key_hash, str):
        return None
    return Prediction(
        key=key,
        key_hash=key_hash.lower(),
        value=_value(attributes),
        time_ns=time_ns,
        trace_id=trace_id,
        span_id=span_id,
        variant=_text(attributes.get(A.FEATURE_FLAG_RESULT_VARIANT)),
        model=_text(attributes.get(A.MLOTEL_MODEL_NAME)),
        model_version=_text(attributes.get(A.MLOTEL_MODEL_VERSION)),
        model_digest=_text(attributes.get(A.MLOTEL_MODEL_DIGEST)),
    )


def _value(attributes: Mapping[str, object]) -> float | str | None:
    if attributes.get(A.MLOTEL_PREDICTION_COUNT) != 1:
        return None
    mean = attributes.get(A.MLOTEL_PREDICTION_MEAN)
    if isinstance(mean, int | float) and not isinstance(mean, bool):
        return mean
    names = attributes.get(A.MLOTEL_PREDICTION_CLASS_NAMES)
    return str(names[0]) if isinstance(names, list | tuple) and names else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
