from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader


@dataclass(frozen=True)
class Point:
    """One point that an SDK collected: the metric's name, its attributes and its value."""

    metric: str
    attributes: dict[str, Any]
    value: Any


class Exported:
    """A provider of the SDK, and what it collects."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.own = True

    def meters(self) -> tuple[MeterProvider | None, bool]:
        return self.provider, self.own

    def points(self, metric: str) -> list[Point]:
        """Collect, and return the points of one metric."""
        data = self.reader.get_metrics_data()
        return [
            Point(metric, dict(point.attributes or {}), getattr(point, "value", point))
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]

    def bins(self, feature: str) -> list[int]:
        """Collect, and return the counts of the bins of a feature, in their order."""
        found = {
            point.attributes["mlotel.feature.bin"]: point.value
            for point in self.points("mlotel.feature.values")
            if point.attributes["mlotel.feature.name"] == feature
        }
        return [found[place] for place in sorted(found)]
