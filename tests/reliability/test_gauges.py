"""What gauges say at each collection: the latest value of every series, on each version of the SDK."""

from __future__ import annotations

import json
from pathlib import Path

from faulty_collector import faulty_collector
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from programs import run_program

from mlotel.sdk._gauges import MOST_SERIES, meter_of

# Its application has a meter provider of its own; `told` collects, and returns the metrics that runs logged.
APPLICATION = """
    import json, os
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    import mlotel

    def points():
        data = reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "mlotel.run.metric"
            for point in metric.data.data_points
        ]

    def told():
        return {point.attributes["mlotel.metric.name"]: point.value for point in points()}

    def log(**values):
        with mlotel.component("train") as run:
            run.log_metrics(values)
    """


def test_a_scraped_process_offers_its_gauges_at_each_scrape(tmp_path: Path) -> None:
    """What a run logged, when it succeeded and how many rows it read are offered as long as the process lives."""
    done = run_program(
        """
        import json, time, urllib.request
        import pyarrow as pa
        from prometheus_client.parser import text_string_to_metric_families
        import mlotel
        from mlotel import scrape

        server = scrape.start_http_server(0)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def scraped():
            with opener.open(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
                families = text_string_to_metric_families(answer.read().decode())
            samples = {sample.name: sample.value for family in families for sample in family.samples}
            names = ("mlotel_run_metric", "mlotel_data_rows", "mlotel_run_last_success_time_seconds")
            return [samples.get(name) for name in names]

        began = time.time()
        with mlotel.component("train") as run:
            run.log_input(pa.table({"x": [1, 2, 3]}), "table")
            run.log_metrics({"accuracy": 0.75})
        ended = time.time()
        print(json.dumps([began, ended, [scraped() for _ in range(3)]]))
        """,
        store=tmp_path / "store",
    )
    began, ended, (first, *others) = json.loads(done.stdout)

    assert first[:2] == [0.75, 3]
    assert began <= first[2] <= ended
    assert others == [first, first]


def test_a_collector_is_told_at_each_export(tmp_path: Path) -> None:
    """Each request has the value that was set last, not only the first one after it was set."""
    with faulty_collector() as collector:
        run_program(
            """
            import mlotel
            for value in (0.5, 0.75):
                with mlotel.component("train") as run:
                    run.log_metrics({"accuracy": value})
                for _ in range(2):
                    mlotel.flush()
            """,
            store=tmp_path / "store",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        )
        values = [point.as_double for point in collector.points("mlotel.run.metric")]

    assert values == [0.5, 0.5, 0.75, 0.75, 0.75]  # the last one when the process ends


def test_a_provider_keeps_its_gauges_when_another_runtime_sets_them(tmp_path: Path) -> None:
    """What is configured anew goes on with the same series, and the SDK has nothing to complain of."""
    done = run_program(
        APPLICATION
        + """
    found = []
    for number, name in enumerate(("a", "b", "c")):
        mlotel.configure(service_name=name)
        log(always=number, **{name: number})
        found.append([told(), told()])
    print(json.dumps(found))
    """,
        store=tmp_path / "store",
    )
    first, second, third = {"always": 0, "a": 0}, {"always": 1, "a": 0, "b": 1}, {"always": 2, "a": 0, "b": 1, "c": 2}

    assert json.loads(done.stdout) == [[first, first], [second, second], [third, third]]
    assert done.stderr == ""


def test_a_forked_child_tells_what_it_set_itself(tmp_path: Path) -> None:
    """A child that lives on does not repeat what its parent may have changed long since."""
    done = run_program(
        APPLICATION
        + """
    log(parent=1, both=1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        before = told()
        log(both=2)
        os.write(write, json.dumps([before, told()]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    print(json.dumps([json.loads(os.read(read, 65536)), told()]))
    """,
        store=tmp_path / "store",
    )
    (before, after), parent = json.loads(done.stdout)

    assert (before, after) == ({}, {"both": 2})
    assert parent == {"parent": 1, "both": 1}


def test_of_series_that_redaction_makes_one_the_latest_value_is_told(tmp_path: Path) -> None:
    """Whichever of them was there first."""
    done = run_program(
        APPLICATION
        + """
    mlotel.configure(redact=lambda key, value: "a name" if key == "mlotel.metric.name" else value)
    found = []
    for name, value in (("one", 1), ("two", 2), ("one", 3)):
        log(**{name: value})
        found.append(told())
    print(json.dumps(found))
    """,
        store=tmp_path / "store",
    )

    assert json.loads(done.stdout) == [{"a name": 1}, {"a name": 2}, {"a name": 3}]


def test_a_collection_within_a_span_makes_no_exemplar_of_it(tmp_path: Path) -> None:
    """Whose span is open while metrics are read, has nothing to do with who set them."""
    done = run_program(
        APPLICATION
        + """
    from opentelemetry.sdk.trace import TracerProvider

    log(accuracy=1)
    with TracerProvider(shutdown_on_exit=False).get_tracer("other").start_as_current_span("reads"):
        print([list(point.exemplars) for point in points()])
    """,
        store=tmp_path / "store",
    )

    assert done.stdout == "[[]]\n"


def test_series_beyond_the_bound_are_one() -> None:
    """Memory stays bounded on SDKs that know no bound: what is more is told under the specification's own name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    gauge = meter_of(provider).create_gauge("g")
    for number in range(MOST_SERIES + 500):
        gauge.set(number, {"name": str(number)})
    gauge.set(-1, {"name": "0"})  # one of those that there are

    found = {}
    for _ in range(2):
        (resource,) = reader.get_metrics_data().resource_metrics
        (metric,) = resource.scope_metrics[0].metrics
        found = {next(iter(dict(each.attributes).values())): each.value for each in metric.data.data_points}
        assert len(found) == MOST_SERIES + 1
    assert found.pop(True) == MOST_SERIES + 499
    assert found == {"0": -1, **{str(number): number for number in range(1, MOST_SERIES)}}
