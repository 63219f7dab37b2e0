"""What runs say of themselves in metrics: when they last failed or succeeded, and how long they waited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import mlotel
from mlotel import _runtime
from mlotel.instruments import Instruments
from mlotel.sdk._gauges import meter_of
from mlotel.testing import CapturedRuns

Points = Callable[[str], dict[str, Any]]


@pytest.fixture
def points(mlotel_runs: CapturedRuns) -> Iterator[Points]:
    """Returns what a metric's points are now, by component."""
    reader = InMemoryMetricReader()
    metered = replace(_runtime.current(), instruments=Instruments(meter_of(MeterProvider([reader]))))
    before = _runtime.install(lambda: metered)

    def read(name: str) -> dict[str, Any]:
        data = reader.get_metrics_data()
        return {
            point.attributes["mlotel.component.name"]: point
            for metric in (data.resource_metrics[0].scope_metrics[0].metrics if data is not None else ())
            if metric.name == name
            for point in metric.data.data_points
        }

    yield read
    _runtime.install(before)


def run(component: str, error: BaseException | None = None, **scheduling: Any) -> None:
    mlotel.start_component(component, **scheduling).end(error)


def test_the_latest_failure_is_told_beside_the_latest_success(points: Points, mlotel_runs: CapturedRuns) -> None:
    """Each as the end of its run in seconds since the epoch, so that the later one says how the component fares."""
    run("recovers", ValueError("x"))
    run("recovers")
    run("breaks")
    run("breaks", ValueError("x"))
    succeeded, failed = points("mlotel.run.last_success.time"), points("mlotel.run.last_failure.time")

    ends = {(each.component, each.state): each.end_ns / 1e9 for each in mlotel_runs.runs}
    assert {name: point.value for name, point in succeeded.items()} == {
        name: pytest.approx(ends[name, "ok"], abs=1e-6) for name in ("recovers", "breaks")
    }
    assert {name: point.value for name, point in failed.items()} == {
        name: pytest.approx(ends[name, "failed"], abs=1e-6) for name in ("recovers", "breaks")
    }
    assert failed["recovers"].value < succeeded["recovers"].value
    assert failed["breaks"].value > succeeded["breaks"].value


def test_a_run_that_was_cancelled_has_neither_failed_nor_succeeded(points: Points) -> None:
    """Whoever stopped it says nothing of the component."""
    run("stopped", KeyboardInterrupt())

    assert points("mlotel.run.last_failure.time") == {}
    assert points("mlotel.run.last_success.time") == {}


def test_the_time_in_the_queue_is_counted_where_it_is_known(points: Points) -> None:
    """Of two runs that waited 1.5 s and 4 s, and one of which nobody knows."""
    for waited in (1.5, 4):
        run("queued", queue_time=timedelta(seconds=waited))
    run("queued")
    run("started")
    found = points("mlotel.run.queue.time")

    assert found.keys() == {"queued"}
    assert (found["queued"].count, found["queued"].sum) == (2, 5.5)
