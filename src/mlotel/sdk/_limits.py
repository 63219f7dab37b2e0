"""The limits that OpenTelemetry's SDK sets for attributes, as far as they concern what identifies a run.

`OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT` and its kin are respected, but not so far that digests and ids are lost: what is left
then looks like lineage and is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import SpanLimits

from mlotel._runtime import logger

__all__ = ["attributes_kept", "check_limits", "log_attributes_kept", "span_limits"]

_LEAST = {
    "max_span_attributes": (16, "attributes a span"),
    "max_span_attribute_length": (255, "characters a value"),  # of the longest names; a digest takes 71
    "max_links": (100, "links a span"),
    "max_link_attributes": (4, "attributes a link"),
}
"""What identifies runs and artifacts takes so much, by the names of the SDK's limits."""


def span_limits() -> SpanLimits:
    """Return the limits that the environment sets for spans, none of them so low that a run cannot be known again."""
    asked = SpanLimits()
    kept: dict[str, int] = {}
    for name, (least, what) in _LEAST.items():
        said = getattr(asked, name)
        if said is not None and said < least:
            logger.warning("mlotel: %d %s are too few to know runs and artifacts by: %d are kept", said, what, least)
            said = least
        kept[name] = SpanLimits.UNSET if said is None else said
    return SpanLimits(**kept)


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


def check_limits(provider: Any) -> None:
    """Warn where an application's provider keeps too little to know runs and artifacts by."""
    limits = getattr(provider, "_span_limits", None)
    for name, (least, what) in _LEAST.items():
        said = getattr(limits, name, None)
        if isinstance(said, int) and said < least:
            logger.warning(
                "mlotel: the application's tracer provider keeps %d %s, too few to know runs and artifacts by: "
                "let it keep %d",
                said,
                what,
                least,
            )
