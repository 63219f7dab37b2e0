"""What stays the same over all runs of one component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlotel.freshness import STALE_AFTER_NS
from mlotel.semconv import attributes as A

__all__ = ["ComponentSettings"]


class ComponentSettings:
    """What a component was declared with, as its runs need it.

    Args:
        name: The component's name, which was checked.
        pipeline: The pipeline it belongs to; None for that of the run around it.
        attributes: Attributes that each of its run spans gets.
        stale_after_ns: How old an input may be, in nanoseconds; None for any age.
        blocks_retracted: Whether reading what bears a retracted label raises.
    """

    __slots__ = ("attributes", "blocks_retracted", "labels", "name", "pipeline", "stale_after_ns")

    def __init__(
        self,
        name: str,
        pipeline: str | None,
        attributes: Mapping[str, Any],
        stale_after_ns: int | None = STALE_AFTER_NS,
        blocks_retracted: bool = False,
    ) -> None:
        self.name = name
        self.pipeline = pipeline
        self.stale_after_ns = stale_after_ns
        self.blocks_retracted = blocks_retracted
        self.attributes = {A.MLOTEL_COMPONENT_NAME: name, **attributes}
        self.labels = {A.MLOTEL_COMPONENT_NAME: name}
        if A.MLOTEL_COMPONENT_VERSION in attributes:
            self.labels[A.MLOTEL_COMPONENT_VERSION] = attributes[A.MLOTEL_COMPONENT_VERSION]
