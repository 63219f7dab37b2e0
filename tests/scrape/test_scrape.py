"""Metrics offered by the process itself: names, values, and the sums over processes of one server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

Script = Callable[..., "subprocess.CompletedProcess[str]"]

SERVICE = """
    import json, os, sys, time, urllib.request
    from pathlib import Path
    import pyarrow as pa
    import mlotel
    from mlotel import scrape
    from mlotel.drift import Reference
    from mlotel.serving import Monitor
    from prometheus_client.parser import text_string_to_metric_families

    reference = Reference.fit(pa.table({"x": [0.0, 1.0] * 300}), model="m", version="1")

    def scraped(server):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def rows(server):
        return sum(s.value for s in scraped(server) if s.name == "mlotel_feature_values_total")
    """


def test_a_served_model_is_offered_from_its_first_bin_on(script: Script) -> None:
    """A monitor that was there before the server is offered at once, and its counts follow."""
    done = script(
        SERVICE
        + """
    monitor = Monitor(reference, component="score")
    server = scrape.start_http_server(0)
    before = [s.value for s in scraped(server) if s.name == "mlotel_feature_values_total"]
    with monitor.request():
        monitor.observe((0.0,), "yes")
    after = {s.name: s for s in scraped(server)}
    server.close()
    print(json.dumps([before, sorted(after), after["mlotel_feature_values_total"].labels,
                      after["mlotel_prediction_duration_seconds_bucket"].labels["le"],
                      after["mlotel_prediction_count_total"].value]))
    """
    )
    before, names, labels, last, predictions = json.loads(done.stdout)
    assert before == [0.0] * len(before) != []
    assert names == [
        "mlotel_feature_reference_ratio",
        "mlotel_feature_values_total",
        "mlotel_model_reference_rows",
        "mlotel_prediction_count_total",
        "mlotel_prediction_duration_seconds_bucket",
        "mlotel_prediction_duration_seconds_count",
        "mlotel_prediction_duration_seconds_sum",
        "mlotel_telemetry_dropped_total",
    ]
    assert labels.keys() == {"mlotel_feature_bin", "mlotel_feature_name", "mlotel_model_name", "mlotel_model_version"}
    assert (last, predictions) == ("+Inf", 1.0)


def test_runs_are_offered_and_kept_in_the_store(script: Script) -> None:
    """Beside the embedded store: the run is on record there, and in the metrics."""
    done = script(
        SERVICE
        + """
    from mlotel.store.files import FileStore
    server = scrape.start_http_server(0)
    with mlotel.component("train"):
        pass
    found = {(s.name, s.labels.get("mlotel_run_state")): s.value for s in scraped(server)}
    with FileStore(os.environ["MLOTEL_STORE"]) as store:
        print(json.dumps([found["mlotel_run_duration_seconds_count", "ok"], len(store.runs())]))
    """
    )
    assert json.loads(done.stdout) == [1.0, 1]


def test_processes_of_one_folder_are_summed_and_those_that_ended_stay(script: Script) -> None:
    """Forked workers begin at 0 and add up with their parent; a killed one's rows never leave the sums."""
    done = script(
        SERVICE
        + """
    import signal
    server = scrape.start_http_server(0, folder="shared")
    monitor = Monitor(reference)
    monitor.observe((0.0,))
    children = []
    for number in (10, 200):
        child = os.fork()
        if child == 0:
            for _ in range(number):
                monitor.observe((1.0,))
            time.sleep(60)
        children.append(child)
    deadline = time.monotonic() + 30
    while rows(server) != 211 and time.monotonic() < deadline:
        time.sleep(0.05)
    said = [rows(server)]
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said += [rows(server), rows(server)]
    monitor.observe((0.0,))
    ratios = [s.value for s in scraped(server) if s.name == "mlotel_feature_reference_ratio"]
    print(json.dumps([said, rows(server), sum(ratios), len(os.listdir("shared"))]))
    """
    )
    said, last, ratios, files = json.loads(done.stdout)
    assert said == [211] * 5
    assert (last, ratios) == (212, 1.0)
    assert files == 3  # the lock, the living process, and those that ended


def test_a_process_of_its_own_shares_a_folder(script: Script) -> None:
    """`share` is all that a process which offers nothing itself has to call; files that are none of ours do no harm."""
    done = script(
        SERVICE
        + """
    import subprocess
    if sys.argv[1:]:
        scrape.share("shared")
        Monitor(reference).observe((0.0,))
        raise SystemExit
    os.mkdir("shared")
    for name, text in (("note-x.json", "{}"), ("1-2.json", "[]"), ("3-4.json", "{")):
        Path("shared", name).write_text(text)
    server = scrape.start_http_server(0, folder="shared")
    Monitor(reference).observe((1.0,))
    subprocess.run([sys.executable, __file__, "child"], check=True)
    print(rows(server))
    """
    )
    assert float(done.stdout) == 2.0


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("scrape.start_http_server(0); port = scrape.start_http_server(0).port", "name another port"),
        ("os.environ['OTEL_SDK_DISABLED'] = 'true'", "unset it"),
        ("os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:1'", "set OTEL_METRICS_EXPORTER=none"),
        (
            "from opentelemetry import metrics; from opentelemetry.sdk.metrics import MeterProvider; "
            "metrics.set_meter_provider(MeterProvider())",
            "give that one a reader for Prometheus",
        ),
    ],
)
def test_what_cannot_be_offered_is_said_at_once(script: Script, before: str, said: str) -> None:
    """A port that is taken, telemetry that is off, or metrics that go elsewhere already."""
    done = script(
        SERVICE
        + f"""
    from mlotel.errors import ConfigurationError
    port = 0
    {before}
    try:
        scrape.start_http_server(port)
    except ConfigurationError as error:
        print(error)
        sys.stdout.flush()
        os._exit(0)
    """
    )
    assert said in done.stdout


def test_what_is_configured_afterwards_is_recorded_and_offered(script: Callable[..., object]) -> None:
    """A reader takes one provider in its life; a runtime that is made anew goes on with that one."""
    script(
        """
        import urllib.request
        import mlotel
        from mlotel.store.files import FileStore

        server = mlotel.scrape.start_http_server(0)
        for store in ("one", "two"):
            mlotel.configure(store=store)
            with mlotel.component(store):
                pass
            with FileStore(store) as opened:
                assert [run.component for run in opened.runs()] == [store]
        offered = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics").read().decode()
        for store in ("one", "two"):
            assert f'mlotel_run_duration_seconds_count{{mlotel_component_name="{store}"' in offered, offered
        server.close()
        """
    )
