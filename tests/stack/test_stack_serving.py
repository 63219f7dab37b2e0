"""Served models in the real stack: names behind the collector, forked workers, and alerts that come and go."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pyarrow as pa
import pytest
from backends import Prometheus, eventually, get

from mlotel.drift import Reference
from mlotel.exposition import metric_name
from mlotel.rules import Options, generate, to_yaml
from mlotel.semconv import metrics as M
from mlotel_stack import Stack

pytestmark = pytest.mark.stack
ROOT = Path(__file__).resolve().parents[2]


def fit(version: str) -> Reference:
    rng = np.random.default_rng(11)
    n = 20_000
    table = pa.table(
        {
            **{f"x{i}": rng.normal(size=n) for i in range(4)},
            "colour": rng.choice(["red", "green", "blue"], n, p=[0.6, 0.3, 0.1]),
            "prediction": rng.choice(["no", "yes"], n, p=[0.8, 0.2]),
        }
    )
    return Reference.fit(table, model="served", version=version)


SERVICE = """
    import os, sys, time
    from pathlib import Path
    import numpy as np
    from mlotel.serving import Monitor

    control = Path(sys.argv[2])
    rng = np.random.default_rng(int(sys.argv[3]))
    monitor = Monitor(sys.argv[1], component="score")
    while control.exists():
        shifted = control.read_text() == "shift"
        with monitor.request():
            for _ in range(40):
                x = rng.normal(size=4)
                colour = rng.choice(["red", "green", "blue"], p=[0.2, 0.3, 0.5] if shifted else [0.6, 0.3, 0.1])
                if shifted:
                    x[1] += 1.0
                monitor.observe((*x, colour), "yes" if rng.random() < 0.2 else "no")
        time.sleep(0.1)
    """


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a program with a stack's variables, as the replica of this name."""
    started: list[subprocess.Popen[bytes]] = []

    def start(source: str, stack: Stack, replica: str, *arguments: object) -> subprocess.Popen[bytes]:
        program = tmp_path / f"{replica}.py"
        program.write_text(dedent(source), encoding="utf-8")
        environ = {
            **os.environ,
            **stack.env(),
            "PYTHONPATH": str(ROOT / "src"),
            "MLOTEL_REPLICA": replica,
            "OTEL_SERVICE_NAME": "scoring",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        command = [sys.executable, str(program), *map(str, arguments)]
        started.append(subprocess.Popen(command, env=environ, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_served_model_has_these_names_in_prometheus(
    stack: Stack, prometheus: Prometheus, serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Metrics and labels behind the collector are those that rules and dashboards are written for."""
    version = uuid.uuid4().hex[:8]
    fit(version).save(tmp_path / "reference.json")
    (tmp_path / "control").write_text("calm")
    serve(SERVICE, stack, "one", tmp_path / "reference.json", tmp_path / "control", 1)
    chosen = f'{{mlotel_model_version="{version}"}}'
    eventually(lambda: prometheus.query(f"mlotel_feature_values_total{chosen} > 0"))
    eventually(lambda: prometheus.query(f"mlotel_prediction_duration_seconds_count{chosen}"))

    found = {labels["__name__"]: labels for labels, _ in prometheus.query(f'{{__name__=~"mlotel_.+", {chosen[1:]}')}

    duration = metric_name(M.MLOTEL_PREDICTION_DURATION)
    assert found.keys() == {
        metric_name(M.MLOTEL_FEATURE_VALUES),
        metric_name(M.MLOTEL_FEATURE_REFERENCE_RATIO),
        metric_name(M.MLOTEL_MODEL_REFERENCE_ROWS),
        metric_name(M.MLOTEL_PREDICTION_COUNT),
        metric_name(M.MLOTEL_TELEMETRY_DROPPED),
        *(f"{duration}_{part}" for part in ("bucket", "count", "sum")),
    }
    model = {"mlotel_model_name", "mlotel_model_version"}
    common = {"__name__", "job", "instance", *model}
    assert set(found["mlotel_feature_values_total"]) == {*common, "mlotel_feature_name", "mlotel_feature_bin"}
    assert set(found["mlotel_feature_reference_ratio"]) == {*common, "mlotel_feature_name", "mlotel_feature_bin"}
    assert set(found["mlotel_model_reference_rows"]) == {*common, "mlotel_drift_reference_digest"}
    assert set(found["mlotel_prediction_count_total"]) - {"mlotel_prediction_class"} == {
        *common, "mlotel_component_name",
    }  # fmt: skip
    assert set(found[f"{duration}_count"]) == {*common, "mlotel_component_name"}
    assert found["mlotel_feature_values_total"]["instance"].startswith("one/")
    assert found["mlotel_feature_values_total"]["job"] == "scoring"


FORKING = """
    import os, sys, time
    import mlotel
    from mlotel.serving import Monitor

    monitor = Monitor(sys.argv[1])
    monitor.observe((0.0, 0.0, 0.0, 0.0, "red"))
    for number in (1, 2):
        if os.fork() == 0:
            for _ in range(1000 * number):
                monitor.observe((0.0, 0.0, 0.0, 0.0, "red"))
            mlotel.flush()
            os._exit(0)
    os.wait(), os.wait()
    mlotel.flush()
    """


def test_forked_workers_are_replicas_of_their_own(
    stack: Stack, prometheus: Prometheus, serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Workers of a server that forks, and their parent, each have a series with their own rows, and no others."""
    version = uuid.uuid4().hex[:8]
    fit(version).save(tmp_path / "reference.json")
    assert serve(FORKING, stack, "pre", tmp_path / "reference.json").wait(60) == 0

    query = (
        f'sum by (instance) (mlotel_feature_values_total{{mlotel_model_version="{version}", mlotel_feature_name="x0"}})'
    )
    eventually(lambda: sorted(value for _, value in prometheus.query(query)) == [1, 1000, 2000])

    assert len({labels["instance"] for labels, _ in prometheus.query(query)}) == 3


ALERTMANAGER = """
route: {receiver: none, group_by: ["..."], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: none}]
"""


def test_a_shift_alerts_for_exactly_its_features_and_resolves(
    own_stack: Callable[..., Stack], serve: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Three replicas, one killed on the way: the real Alertmanager has the shifted features' alerts, then none."""
    reference = fit("1")
    reference.save(tmp_path / "reference.json")
    options = Options(window="30s", hold="2s", jobs=("mlotel",))
    (tmp_path / "drift.yml").write_text(to_yaml(generate([reference], options)), encoding="utf-8")
    (tmp_path / "alertmanager.yml").write_text(ALERTMANAGER, encoding="utf-8")
    stack = own_stack(rules=(tmp_path / "drift.yml",), alertmanager_config=tmp_path / "alertmanager.yml")
    prometheus = Prometheus(stack.endpoints["prometheus"])
    control = tmp_path / "control"
    control.write_text("calm")
    replicas = [
        serve(SERVICE, stack, f"replica-{number}", tmp_path / "reference.json", control, number) for number in range(3)
    ]
    seen: set[str] = set()

    def alerting() -> set[str]:
        found = get(f"{stack.endpoints['alertmanager']}/api/v2/alerts", active="true")
        drifting = [each["labels"] for each in found if each["labels"]["alertname"] == "MlotelFeatureDrift"]
        now = {each["mlotel_feature_name"] for each in drifting}
        seen.update(now)
        return now

    eventually(lambda: prometheus.query('mlotel:feature:rows{mlotel_feature_name="x0"} > 1500'), within=120)
    assert alerting() == set()
    assert len(prometheus.query('mlotel_feature_values_total{mlotel_feature_name="x0", mlotel_feature_bin="0"}')) == 3

    control.write_text("shift")
    began = time.monotonic()
    time.sleep(2)  # somewhere on the way
    replicas[2].send_signal(signal.SIGKILL)
    eventually(lambda: alerting() == {"x1", "colour"}, within=120)
    found = get(f"{stack.endpoints['alertmanager']}/api/v2/alerts", active="true", filter='mlotel_feature_name="x1"')
    (said,) = [each["annotations"] for each in found if each["labels"]["alertname"] == "MlotelFeatureDrift"]
    assert re.fullmatch(r"x1 of served 1 has drifted: its PSI is \d\.\d{3}", said["summary"])
    assert said["runbook_url"] == "docs/alerts.md#mlotelfeaturedrift"
    assert said["dashboard_url"].endswith("/d/mlotel-drift?var-model=served&var-version=1&var-feature=x1")
    fired = time.monotonic() - began

    control.write_text("calm")
    began = time.monotonic()
    eventually(lambda: alerting() == set(), within=180)
    resolved = time.monotonic() - began

    assert seen == {"x1", "colour"}
    summaries = prometheus.query('count by (alertname) (ALERTS{alertname=~"Mlotel.+", alertstate="firing"})')
    assert summaries == []
    print(f"fired after {fired:.0f} s, resolved after {resolved:.0f} s")
