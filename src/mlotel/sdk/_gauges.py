"""Gauges that are told at each collection, whichever version of the SDK collects them.

Of the SDKs before 1.45 most collect a synchronous gauge once after it was set and not again, so that a process that is
scraped would offer it once. Every SDK asks an asynchronous one at each collection.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from mlotel._forks import after_in_child
from mlotel._version import __version__
from mlotel.semconv import SCOPE_NAME

__all__ = ["MOST_SERIES", "meter_of"]

MOST_SERIES = 2_000
"""Series of one gauge, which is what newer SDKs take of an instrument; the older ones know no bound."""

_OVERFLOW: dict[str, Any] = {"otel.metric.overflow": True}  # where the specification has an SDK put what is more

# Whoever collects may be in a span of its own, to which an exemplar would lead
_NO_SPAN = trace.set_span_in_context(trace.INVALID_SPAN, Context())


class _LatestValues:
    """The latest value of each series of a gauge.

    Without a lock: a dict's own operations do not mix, and a forked child finds nothing that another thread holds.
    """

    def __init__(self) -> None:
        self._series: dict[frozenset[tuple[str, Any]], Observation] = {}
        after_in_child(self._begin_anew)

    def set(self, value: float, attributes: Mapping[str, Any] | None = None, context: Context | None = None) -> None:
        labels = dict(attributes or {})
        series = frozenset(labels.items())
        if len(self._series) >= MOST_SERIES and series not in self._series:
            series, labels = frozenset(_OVERFLOW.items()), _OVERFLOW
        self._series[series] = Observation(value, labels, _NO_SPAN)

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return list(self._series.values())

    def _begin_anew(self) -> None:
        """In a forked child: what was set is the parent's to tell."""
        self._series.clear()


_gauges: weakref.WeakKeyDictionary[MeterProvider, dict[str, _LatestValues]] = weakref.WeakKeyDictionary()
"""Those of each provider by their names: of an instrument that is made again an SDK takes no new callback."""


class _SteadyMeter:
    """A meter whose gauges are asynchronous ones, set as if they were not."""

    def __init__(self, meter: Meter, gauges: dict[str, _LatestValues]) -> None:
        self._meter = meter
        self._gauges = gauges

    def __getattr__(self, name: str) -> Any:
        return getattr(self._meter, name)

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> _LatestValues:
        if name not in self._gauges:
            self._gauges[name] = _LatestValues()
            self._meter.create_observable_gauge(name, [self._gauges[name].observe], unit, description)
        return self._gauges[name]


def meter_of(provider: MeterProvider) -> Any:
    """Return mlotel's meter of a provider; its gauges keep their values as long as the provider lives."""
    return _SteadyMeter(provider.get_meter(SCOPE_NAME, __version__), _gauges.setdefault(provider, {}))
