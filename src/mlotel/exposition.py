"""What the names of metrics and attributes become in Prometheus, behind a collector's exporter or scraped directly."""

from __future__ import annotations

from mlotel.semconv.metrics import Metric

__all__ = ["label_name", "metric_name"]

_UNITS = {"s": "seconds", "By": "bytes", "1": "ratio"}


def label_name(attribute: str) -> str:
    """Return the label that an attribute becomes.

    >>> label_name("mlotel.model.name")
    'mlotel_model_name'
    """
    return attribute.replace(".", "_")


def metric_name(metric: Metric) -> str:
    """Return the name that a metric's series have; those of a histogram's parts are longer.

    A unit is a suffix, unless the name has it already or it is an annotation such as ``{row}``; the unit ``1`` is one
    of gauges alone.

    >>> from mlotel.semconv import metrics as M
    >>> metric_name(M.MLOTEL_FEATURE_VALUES), metric_name(M.MLOTEL_PREDICTION_DURATION)
    ('mlotel_feature_values_total', 'mlotel_prediction_duration_seconds')
    """
    parts = metric.name.replace(".", "_").split("_")
    unit = _UNITS.get(metric.unit, "")
    if unit and unit not in parts and (unit != "ratio" or metric.instrument == "gauge"):
        parts.append(unit)
    if metric.instrument == "counter":
        parts.append("total")
    return "_".join(parts)
