"""What one run is told of itself: parameters, metrics, tags, each kind with a cap.

The caps hold with every store and backend; where a provider keeps fewer attributes, `SpanRoom` has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import blake3
import msgspec

from mlotel.parameters import attribute_value, is_scalar, parameter_value
from mlotel.semconv import attributes as A

__all__ = ["MAX_METRICS", "MAX_PARAMS", "MAX_TAGS", "RunValues"]

MAX_PARAMS = 32
MOST_PARAMS = 10_000
"""Parameters that a run keeps at all, for their digest."""
MAX_METRICS = 32
MAX_TAGS = 16
MAX_OTHERS = 32
MAX_DEPENDENCIES = 100
"""The SDK keeps 128 links a span, the latest."""

_RESERVED = frozenset(
    {
        A.MLOTEL_COMPONENT_NAME,
        A.MLOTEL_RUN_ID,
        A.MLOTEL_RUN_STATE,
        A.MLOTEL_PARAMS_DIGEST,
        A.MLOTEL_CODE_DIGEST,
        A.MLOTEL_PARENT_SPAN_ID,
        A.MLOTEL_IO_DIRECTION,
    }
)


class RunValues:
    """Turns what a run is told into attributes of its span, and counts what the caps leave out."""

    __slots__ = ("_dependencies", "_dropped", "_metrics", "_others", "_params", "_shown", "_tags")

    def __init__(self) -> None:
        self._params: dict[str, Any] = {}
        self._shown: set[str] = set()
        self._metrics: set[str] = set()
        self._tags: set[str] = set()
        self._others: set[str] = set()
        self._dependencies: set[str] = set()
        self._dropped = 0

    def params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Take parameters, and return the attributes of those that stand on the span."""
        attributes: dict[str, Any] = {}
        known = self._params
        for key, value in params.items():
            key = str(attribute_value(str(key)))[:255]
            if key not in known and len(known) >= MOST_PARAMS:
                self._dropped += 1
                continue
            known[key] = shown = parameter_value(key, value)
            if len(known) <= MAX_PARAMS or key in self._shown:
                self._shown.add(key)
                attributes[f"{A.MLOTEL_PARAM}.{key}"] = shown
        return attributes

    def params_digest(self) -> dict[str, Any]:
        """Return the attribute that identifies all parameters; none where there are no parameters."""
        if not self._params:
            return {}
        text = msgspec.json.encode(self._params, order="sorted")
        return {A.MLOTEL_PARAMS_DIGEST: f"blake3:{blake3.blake3(text).hexdigest()}"}

    def metric(self, name: str, value: float) -> dict[str, Any]:
        """Return the attribute of a metric. Raises ValueError past the cap."""
        self._admit(self._metrics, name, MAX_METRICS, "metrics")
        return {f"{A.MLOTEL_METRIC}.{name}": value}

    def tag(self, key: object, value: object) -> dict[str, Any]:
        """Return the attribute of a tag. Raises TypeError where its key is no text, ValueError past the cap."""
        if not is_scalar(key):
            raise TypeError(f"a tag's key must be text, not a {type(key).__name__}")
        name = str(attribute_value(key))[:255]
        self._admit(self._tags, name, MAX_TAGS, "tags")
        return {f"{A.MLOTEL_TAG}.{name}": str(parameter_value(name, value))}

    def others(self, attributes: Mapping[str, Any]) -> tuple[dict[str, Any], ValueError | None]:
        """Return those attributes by full names that may stand on the span, and why another one may not."""
        found: dict[str, Any] = {}
        wrong: ValueError | None = None
        for key, value in attributes.items():
            name = str(attribute_value(str(key)))[:255]
            try:
                if name in _RESERVED:
                    raise ValueError(f"{name} says which run it is, and is set by mlotel alone")
                self._admit(self._others, name, MAX_OTHERS, "attributes")
                found[name] = parameter_value(name, value)
            except ValueError as error:
                wrong = error
        return found, wrong

    def dependency(self, span_id: str) -> None:
        """Take a dependency on another run. Raises ValueError past the cap."""
        self._admit(self._dependencies, span_id, MAX_DEPENDENCIES, "dependencies")

    def left_out(self, count: int) -> None:
        """Count values for which there was no room on the span."""
        self._dropped += count

    def dropped(self) -> dict[str, Any]:
        """Return the attribute that counts what stands nowhere on the span; none where all of it does."""
        dropped = self._dropped + max(0, len(self._params) - MAX_PARAMS)
        return {A.MLOTEL_RUN_DROPPED: dropped} if dropped else {}

    def _admit(self, known: set[str], name: str, cap: int, kind: str) -> None:
        if name in known:
            return
        if len(known) >= cap:
            self._dropped += 1
            raise ValueError(f"more than {cap} {kind}: the first {cap} are kept")
        known.add(name)
