"""How many attributes fit on a span, and which of them must.

The SDK keeps 128 attributes a span, or as many as its user or its application said, and drops those that were set
first, which is where identity stands. So what comes later, or matters less, is left out before the SDK sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlotel.semconv import attributes as A

__all__ = ["FOR_END", "FOR_PREDICTIONS", "SpanRoom", "fitting"]

FOR_END = 8
"""Places kept free for what is known when a run ends: its state, its digests, what it took."""
FOR_PREDICTIONS = 32
"""The same, and for the statistics of predictions."""

_IDENTITY = (
    A.MLOTEL_RUN_ID,
    A.MLOTEL_COMPONENT_NAME,
    A.MLOTEL_IO_DIRECTION,
    A.MLOTEL_ARTIFACT_NAME,
    A.MLOTEL_ARTIFACT_DIGEST,
    A.MLOTEL_LINK_TYPE,
    A.MLOTEL_RUN_STATE,
    A.MLOTEL_ARTIFACT_MANIFEST_FIRST,
    A.MLOTEL_LABEL,
    A.CICD_PIPELINE_NAME,
    A.MLOTEL_COMPONENT_VERSION,
    A.ERROR_TYPE,
    A.MLOTEL_PARAMS_DIGEST,
    A.MLOTEL_CODE_DIGEST,
    A.MLOTEL_PARENT_SPAN_ID,
    A.MLOTEL_ARTIFACT_RETRACTED,
    A.PROCESS_PID,
    A.HOST_NAME,
    A.MLOTEL_PROCESS_BOOT_ID,
    A.MLOTEL_PROCESS_PID_NAMESPACE,
    A.MLOTEL_PROCESS_START_TICKS,
)


def fitting(attributes: Mapping[str, Any], room: int | None) -> Mapping[str, Any]:
    """Return as many of `attributes` as there is room for, those first that say what something is."""
    if room is None or len(attributes) <= room:
        return attributes
    order = [*(key for key in _IDENTITY if key in attributes), *(key for key in attributes if key not in _IDENTITY)]
    return {key: attributes[key] for key in order[: max(room, 0)]}


class SpanRoom:
    """The room for attributes on one span. What is on it already may always be set again.

    Args:
        limit: how many attributes the span's provider keeps; None for all.
    """

    __slots__ = ("_keys", "_limit")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._keys: set[str] = set()

    def fit(self, attributes: Mapping[str, Any], free: int = 0) -> Mapping[str, Any]:
        """Return what of `attributes` has room on the span if so many places are kept free; it counts as set."""
        if self._limit is None:
            return attributes
        keys = self._keys
        new = {key: value for key, value in attributes.items() if key not in keys}
        room = self._limit - free - len(keys)
        if len(new) > room:
            new = dict(fitting(new, room))
            attributes = {key: value for key, value in attributes.items() if key in keys or key in new}
        keys.update(new)
        return attributes
