"""The limits that OpenTelemetry's SDK sets for attributes, as far as they concern what identifies a run.

`OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT` and its kin are respected, but not so far that digests and ids are lost: what is left
then looks like lineage and is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import SpanLimits

from mlotel._runtime import logger

__all__ = ["attributes_kept", "check_lengths", "log_attributes_kept", "span_limits"]

LEAST_ATTRIBUTES = 16
LEAST_LENGTH = 255
"""Characters of the longest names; a digest takes 71."""


def span_limits() -> SpanLimits:
    """Return the limits that the environment sets for spans, none of them so low that a run cannot be known again."""
    asked = SpanLimits()
    count, length = asked.max_span_attributes, asked.max_span_attribute_length
    if count is not None and count < LEAST_ATTRIBUTES:
        logger.warning(
            "mlotel: a limit of %d attributes a span leaves no room for what identifies a run: %d are kept",
            count,
            LEAST_ATTRIBUTES,
        )
        count = LEAST_ATTRIBUTES
    if length is not None and length < LEAST_LENGTH:
        logger.warning("mlotel: a limit of %d characters cuts names and digests: %d are kept", length, LEAST_LENGTH)
        length = LEAST_LENGTH
    return SpanLimits(
        max_span_attributes=SpanLimits.UNSET if count is None else count,
        max_span_attribute_length=SpanLimits.UNSET if length is None else length,
    )


def attributes_kept(provider: Any) -> int | None:
    """Return how many attributes a provider's spans keep; None for all, or where it does not say."""
    limits = getattr(provider, "_span_limits", None)  # the SDK shows them nowhere else
    kept = getattr(limits, "max_span_attributes", None)
    return kept if isinstance(kept, int) else None


def log_attributes_kept(environment: Mapping[str, str]) -> int:
    """Return how many attributes a log record keeps: the SDK drops the others with a Python warning for each record."""
    for name in ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"):
        said = environment.get(name, "").strip()
        if said.isdigit():
            return int(said)
    return 128


def check_lengths(provider: Any) -> None:
    """Warn where an application's provider cuts values so short that names and digests are lost."""
    length = getattr(getattr(provider, "_span_limits", None), "max_span_attribute_length", None)
    if isinstance(length, int) and length < LEAST_LENGTH:
        logger.warning(
            "mlotel: the application's tracer provider cuts attributes to %d characters, and so names and digests, by "
            "which artifacts are known: set OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT to %d or more",
            length,
            LEAST_LENGTH,
        )
