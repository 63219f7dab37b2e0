"""What of the counts reaches a provider: every bin from the start, all series, whoever set the provider and when."""

from __future__ import annotations

import gc
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from collected import Exported
from msgspec import structs

from mlotel import _runtime
from mlotel.drift import Reference, compare
from mlotel.errors import ConfigurationError, InvalidReferenceError
from mlotel.rules import generate
from mlotel.serving import Monitor, _sheet

Script = Callable[..., "subprocess.CompletedProcess[str]"]
ROW = (0.5, 1, "red", True)


def test_every_bin_is_exported_at_zero_from_the_start(reference: Reference, exported: Exported) -> None:
    """Before the first row each bin of each feature has a series, and the reference's share beside it."""
    Monitor(reference)

    wanted = {
        (feature.name, place): feature.counts[place] / reference.rows
        for feature in reference.features
        for place in range(feature.bins.size)
    }
    values = exported.points("mlotel.feature.values")
    ratios = exported.points("mlotel.feature.reference.ratio")

    def key(attributes: dict[str, object]) -> tuple[object, object]:
        return attributes["mlotel.feature.name"], attributes["mlotel.feature.bin"]

    assert {key(point.attributes): point.value for point in values} == dict.fromkeys(wanted, 0)
    assert {key(point.attributes): point.value for point in ratios} == wanted
    assert {(p.attributes["mlotel.model.name"], p.attributes["mlotel.model.version"]) for p in values + ratios} == {
        ("delay", "7")
    }
    assert [p.value for p in exported.points("mlotel.prediction.count")] == [0] * 4
    assert [p.value for p in exported.points("mlotel.telemetry.dropped")] == [0]


def wide(features: int = 220) -> Reference:
    rng = np.random.default_rng(1)
    return Reference.fit(
        pa.table({f"f{i}": rng.normal(size=1_000) for i in range(features)}), model="wide", version="1"
    )


def test_which_reference_is_counted_with_is_exported(reference: Reference, exported: Exported, tmp_path: Path) -> None:
    """One series: the digest that the reference's file has, named as it is served, and the rows of the reference."""
    reference.save(tmp_path / "reference.json")
    Monitor(replace(reference, model=None, model_version=None), model="delay", version="7")

    (point,) = exported.points("mlotel.model.reference.rows")

    assert point.value == reference.rows
    assert point.attributes == {
        "mlotel.model.name": "delay",
        "mlotel.model.version": "7",
        "mlotel.drift.reference.digest": json.loads((tmp_path / "reference.json").read_text())["digest"],
    }


def test_a_segment_is_served_as_a_version_of_its_own(table: pa.Table, exported: Exported) -> None:
    """Rows of each segment are counted in the bins of that segment's reference, and rules are made for each."""
    fitted = Reference.fit(table, features=["amount"], segments="colour", model="delay", version="7")
    segments = [replace(fitted.segment(name), model="delay", model_version=f"7/{name}") for name in ("red", "green")]
    red, green = map(Monitor, segments)
    red.observe({"amount": 1.0})
    green.observe([{"amount": 1.0}, {"amount": None}])

    points = exported.points("mlotel.feature.values")
    counted = Counter()
    for point in points:
        counted[point.attributes["mlotel.model.version"]] += point.value
    assert counted == {"7/red": 1, "7/green": 2}
    assert {each.name for each in generate(segments)} >= {"mlotel-drift:delay:7/red", "mlotel-drift:delay:7/green"}


def test_thousands_of_series_are_exported_one_by_one(exported: Exported) -> None:
    """More than an SDK takes of one meter arrive all the same, none of them as its overflow."""
    reference = wide()
    monitor = Monitor(reference)
    monitor.observe(np.zeros((3, 220)))

    points = exported.points("mlotel.feature.values")

    assert len(points) == sum(each.bins.size for each in reference.features) > 5_000
    assert not any("otel.metric.overflow" in point.attributes for point in points)
    assert sum(point.value for point in points) == 3 * 220
    assert len(exported.points("mlotel.feature.reference.ratio")) == len(points)


def test_more_bins_than_a_backend_can_bear_stay_here(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    """Past a limit whole features are not exported; one warning names the first of them."""
    monkeypatch.setattr(_sheet, "MOST_SERIES", 60)
    monitor = Monitor(wide(5))
    monitor.observe([0.0] * 5)

    points = exported.points("mlotel.feature.values")

    assert {point.attributes["mlotel.feature.name"] for point in points} == {"f0", "f1"}
    (warning,) = warnings()
    assert "more than 60 bins: feature 'f2' and later ones stay here" in warning
    assert sum(monitor.counts().features["f4"].counts) == 1


def test_variants_are_bounded(exported: Exported, warnings: Callable[[], list[str]], reference: Reference) -> None:
    """Past fifty variants predictions count as those of `other`, with one warning."""
    for number in range(60):
        Monitor(reference, variant=f"user-{number}").observe(ROW, "late")

    points = [each for each in exported.points("mlotel.prediction.count") if each.value]
    found = {point.attributes["feature_flag.result.variant"]: point.value for point in points}

    assert found == {**{f"user-{number}": 1 for number in range(50)}, "other": 10}
    assert sum("more than 50 variants of model 'delay'" in each for each in warnings()) == 1


def test_a_request_is_timed_by_outcome(exported: Exported, reference: Reference) -> None:
    """Its seconds are in the histogram, with the type of an exception that ended it; `duration=` says them outright."""
    monitor = Monitor(reference, component="score")

    with monitor.request():
        monitor.observe(ROW, "late")
    with pytest.raises(KeyError), monitor.request():
        raise KeyError("x")
    monitor.observe(ROW, duration=3.0)
    monitor.observe(np.array([ROW] * 100, object), duration=4.0)

    points = exported.points("mlotel.prediction.duration")
    by_error = {point.attributes.get("error.type"): point.value for point in points}
    assert (by_error[None].count, by_error["KeyError"].count) == (3, 1)
    assert 7.0 < by_error[None].sum < 8.0
    assert points[0].attributes["mlotel.component.name"] == "score"


def test_monitors_of_a_version_count_together(exported: Exported, reference: Reference) -> None:
    """Two monitors of one version of a model, of two variants say, have one set of series of features."""
    one, two = Monitor(reference, variant="a"), Monitor(reference, variant="b")

    one.observe(ROW, "late")
    two.observe([ROW] * 2, ["late"] * 2)

    assert sum(exported.bins("amount")) == 3
    assert one.counts() == two.counts()


def test_versions_are_counted_apart(exported: Exported, table: pa.Table) -> None:
    """Two versions side by side in one process each have series of their own."""
    for version, rows in (("7", 1), ("8", 2)):
        Monitor(Reference.fit(table, model="delay", version=version)).observe([ROW] * rows)

    found: dict[str, int] = {}
    for point in exported.points("mlotel.feature.values"):
        if point.attributes["mlotel.feature.name"] == "amount":
            version = point.attributes["mlotel.model.version"]
            found[version] = found.get(version, 0) + point.value
    assert found == {"7": 1, "8": 2}


def test_a_closed_monitor_makes_room_for_another(exported: Exported, reference: Reference, table: pa.Table) -> None:
    """After `close` its rows are exported no more, and another reference of the version is monitored from zero."""
    monitor = Monitor(reference)
    monitor.close()
    monitor.observe(ROW)

    Monitor(Reference.fit(table.slice(0, 1_000), model="delay", version="7"))

    assert sum(exported.bins("amount")) == 0


def test_counts_are_those_that_compare_judges(exported: Exported, reference: Reference, table: pa.Table) -> None:
    """A process can judge what it served without any backend; the same rows do not alarm, others do."""
    monitor = Monitor(reference)
    monitor.observe(table, table["prediction"])
    assert monitor.counts().features["colour"].counts == reference.feature("colour").counts
    assert not compare(reference, monitor.counts()).alarm

    monitor.observe([(50.0, 1, "red", True)] * 2_000, table["prediction"])

    assert [each.feature for each in compare(reference, monitor.counts()).alarmed] == [
        "amount",
        "count",
        "colour",
        "member",
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"model": "other"}, InvalidReferenceError, "of model 'delay', not 'other': take the one"),
        ({"version": "8"}, InvalidReferenceError, "of version '7', not '8'"),
        ({"columns": ["amount", "count", "color", "member"]}, ConfigurationError, "'colour': did you mean 'color'"),
    ],
)
def test_a_monitor_of_something_else_is_refused(
    arguments: dict[str, object], error: type[Exception], said: str, reference: Reference
) -> None:
    """Another model, another version, or columns without a feature: what is wrong is said when it is made."""
    with pytest.raises(error, match=said):
        Monitor(reference, **arguments)  # type: ignore[arg-type]


def test_a_model_needs_a_name_and_a_version(table: pa.Table) -> None:
    """They are labels of every series: without them the monitor is not made."""
    reference = Reference.fit(table)
    with pytest.raises(ConfigurationError, match="the model is not known: give model= a text of 1 to 255"):
        Monitor(reference)
    with pytest.raises(ConfigurationError, match="the version is not known"):
        Monitor(reference, model="delay")


def test_one_version_has_one_reference(exported: Exported, reference: Reference, table: pa.Table) -> None:
    """Counts in other bins under the same labels would be nonsense."""
    Monitor(reference)
    other = Reference.fit(table.slice(0, 1_000), model="delay", version="7")

    with pytest.raises(ConfigurationError, match="monitored with another reference in this process: give the new"):
        Monitor(other)


def test_a_reference_may_be_a_file(exported: Exported, reference: Reference, tmp_path: Path) -> None:
    """The path of what `Reference.save` wrote will do; what is none is refused."""
    reference.save(tmp_path / "reference.json")
    Monitor(tmp_path / "reference.json").observe(ROW)
    assert sum(exported.bins("amount")) == 1
    with pytest.raises(InvalidReferenceError, match="cannot be read"):
        Monitor(tmp_path / "none.json")


def test_a_provider_that_is_set_later_is_used(reference: Reference, exported: Exported) -> None:
    """The counts go to the new provider, those from before included, and no more to the old one."""
    monitor = Monitor(reference)
    monitor.observe(ROW)
    later = Exported()
    runtime = structs.replace(_runtime.nothing(), serving_meters=later.meters)
    before = _runtime.install(lambda: runtime)
    try:
        monitor.observe([ROW] * 300)

        assert sum(later.bins("amount")) == 301
        assert sum(exported.bins("amount")) == 0
    finally:
        _runtime.install(before)
        later.provider.shutdown()


def test_a_provider_that_fails_is_logged(reference: Reference, warnings: Callable[[], list[str]]) -> None:
    """Whatever it raises, the monitor is made, and counts."""

    class Failing(Exported):
        def meters(self) -> tuple[Any, bool]:
            raise RuntimeError("no meters today")

    runtime = structs.replace(_runtime.nothing(), serving_meters=Failing().meters)
    before = _runtime.install(lambda: runtime)
    try:
        monitor = Monitor(reference)
        monitor.observe(ROW)
        assert monitor.counts().rows == 1
    finally:
        _runtime.install(before)
    (warning,) = warnings()
    assert "no meters today" in warning


def test_without_any_provider_rows_are_counted_all_the_same(reference: Reference) -> None:
    """Nothing is exported, and `counts` answers."""
    before = _runtime.install(_runtime.nothing)
    try:
        monitor = Monitor(reference)
        for _ in range(1_000):
            monitor.observe(ROW, "late", duration=0.1)
        assert monitor.counts().rows == 1_000
    finally:
        _runtime.install(before)


def test_threads_lose_nothing(exported: Exported, reference: Reference) -> None:
    """Rows of many threads, counted while others observe and an exporter collects, are all there once."""
    monitor = Monitor(reference)
    stop = threading.Event()

    def serve() -> None:
        for _ in range(3_000):
            monitor.observe(ROW, "late")

    def collect() -> None:
        while not stop.wait(0.001):
            exported.points("mlotel.feature.values")

    collector = threading.Thread(target=collect)
    threads = [threading.Thread(target=serve) for _ in range(4)]
    for each in (collector, *threads):
        each.start()
    for each in threads:
        each.join()
    stop.set()
    collector.join()

    assert sum(exported.bins("amount")) == sum(exported.bins("prediction")) == 12_000


def test_memory_does_not_grow_with_rows(exported: Exported, reference: Reference) -> None:
    """However many rows come, and however slowly they are counted, a few blocks of them are held."""
    monitor = Monitor(reference)
    held = 0
    for _ in range(20_000):
        monitor.observe(ROW, "late")
        held = max(held, len(monitor._intake.pending), len(monitor._intake.answers))
    assert held <= _sheet.MOST_WAITING + 1


def test_a_monitor_that_is_let_go_goes_on_counting(exported: Exported, reference: Reference) -> None:
    """Rows that wait are counted although nobody holds the monitor any more."""
    Monitor(reference).observe(ROW)
    gc.collect()
    assert sum(exported.bins("amount")) == 1


SERVICE = """
    import json, os, sys
    import pyarrow as pa
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from mlotel.drift import Reference
    from mlotel.serving import Monitor

    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    monitor = Monitor(Reference.fit(pa.table({"x": [0.0, 1.0] * 300}), model="m", version="1"))

    def totals():
        found = {}
        for resource in reader.get_metrics_data().resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "mlotel.feature.values":
                        for point in metric.data.data_points:
                            who = point.attributes.get("mlotel.replica")
                            who = "parent" if who is None else "child" if who == str(os.getpid()) else "?"
                            found[who] = found.get(who, 0) + point.value
        return found
    """


@pytest.mark.parametrize("form", ["rows", "a table"])
def test_a_forked_child_counts_from_zero_as_a_series_of_its_own(script: Script, form: str) -> None:
    """Rows of the parent, waiting or counted, are no rows of its children; the parent goes on where it was."""
    done = script(
        SERVICE
        + """
    monitor.observe((0.0,))
    totals()
    monitor.observe((0.0,))
    read, write = os.pipe()
    if os.fork() == 0:
        if sys.argv[1] == "rows":
            for _ in range(300):
                monitor.observe((1.0,))
        else:
            monitor.observe(pa.table({"x": [1.0] * 300}))
        os.write(write, json.dumps([totals(), monitor.counts().rows]).encode())
        os._exit(0)
    os.wait()
    monitor.observe((0.0,))
    print(json.dumps([json.loads(os.read(read, 1000)), totals()]))
    """,
        form,
    )
    child, parent = json.loads(done.stdout)
    assert child == [{"child": 300}, 300]
    assert parent == {"parent": 3}


def test_coroutines_observe_without_waiting(script: Script) -> None:
    """Observing in many tasks of one loop counts each row once."""
    done = script(
        SERVICE
        + """
    import asyncio

    async def serve():
        for _ in range(10):
            monitor.observe((0.0,), 1.0)
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(serve() for _ in range(100)))

    asyncio.run(main())
    print(totals()["parent"])
    """
    )
    assert done.stdout == "1000\n"
