"""Stale inputs in the real backends: found in Jaeger, counted in Prometheus, alerted on by the rules of the docs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from backends import Jaeger, Prometheus, eventually

from mlotel.inspection import difference, explain
from mlotel.store.jaeger import JaegerStore
from mlotel_stack import Programs, Stack

pytestmark = pytest.mark.stack
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explain.md"
SOURCE = Path(__file__).resolve().parents[2] / "src"

PIPELINE = """
import sys
import mlotel

pipeline = sys.argv[1]
for content in (b"1", b"2"):
    with mlotel.component("make", pipeline=pipeline) as run:
        run.log_output(content, name="data")
for content in (b"1", b"2", b"1"):
    with mlotel.component("use", pipeline=pipeline) as run:
        run.log_input(content, name="data")
"""


@pytest.fixture(scope="module")
def service(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the service, and pipeline, that ran."""
    folder = tmp_path_factory.mktemp("stale")
    name = f"stale-{uuid.uuid4().hex[:8]}"
    (folder / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    ours = ("OTEL_", "MLOTEL_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    environment |= {**stack.env(), "PYTHONPATH": str(SOURCE), "OTEL_SERVICE_NAME": name}
    environment["OTEL_RESOURCE_ATTRIBUTES"] = "cloud.region=europe-west3,k8s.pod.name=use-7"
    subprocess.run([sys.executable, "pipeline.py", name], cwd=folder, env=environment, check=True, timeout=60)
    return name


def test_stale_inputs_are_counted_and_found(service: str, jaeger: Jaeger, prometheus: Prometheus) -> None:
    """Of three inputs two are stale: Prometheus counts them, and Jaeger finds their spans by the reason."""

    def counted() -> list[float]:
        return [value for _, value in prometheus.query(f'mlotel_data_stale_total{{cicd_pipeline_name="{service}"}}')]

    assert eventually(counted) == [2.0]
    spans = eventually(lambda: jaeger.spans(service, {"mlotel.artifact.stale.reason": "fresher_run"}))
    assert [span.name for span in spans if "mlotel.artifact.stale.reason" in span.tags] == ["read data", "read data"]


def test_a_run_is_explained_from_jaeger(service: str, stack: Stack) -> None:
    """What, when, where and how, stale inputs included, by what Jaeger holds; and what differs between two runs."""
    with JaegerStore(stack.endpoints["jaeger_query_grpc"]) as store:
        runs = eventually(lambda: [run for run in store.runs(component="use") if run.pipeline == service][2:])
        first, second = [run for run in store.runs(component="use") if run.pipeline == service][:2][::-1]
        explained, found = explain(store, runs[0]), difference(first, second)

    assert (explained.where["region"], explained.where["pod"]) == ("europe-west3", "use-7")
    assert [(each.reason, each.when) for each in explained.stale] == [("fresher_run", "ran")]
    assert [(pair.name, pair.kind) for pair in found.inputs] == [("data", "content")]


def rules_of_the_docs() -> list[str]:
    return [
        each for each in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S) if "alert:" in each
    ]


@pytest.mark.parametrize(
    ("number", "values", "firing"),
    [
        # a service: the counter rises by one, and an hour later that is past
        (0, "0 0 1x120", {0: False, 3: True, 30: True, 90: False}),
        (0, "0x120", {3: False, 90: False}),
        # a batch job: the value of the latest process, from 2 stale inputs to none
        (1, "2x10 0x20", {3: True, 9: True, 15: False}),
    ],
)
def test_the_rules_of_the_docs_fire_and_resolve(
    programs: Programs, tmp_path: Path, number: int, values: str, firing: dict[int, bool]
) -> None:
    """They are taken by promtool, and fire over these values of the counter, one a minute, when an input was stale."""
    (tmp_path / "rules.yml").write_text(rules_of_the_docs()[number], encoding="utf-8")
    labels = {"mlotel_component_name": "use"}
    series = "mlotel_data_stale_total{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
    (rule,) = yaml.safe_load(rules_of_the_docs()[number])["groups"][0]["rules"]
    summary = rule["annotations"]["summary"].replace("{{ $labels.mlotel_component_name }}", "use")
    alert: dict[str, Any] = {
        "exp_labels": {**labels, **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": summary},
    }
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values}],
                "alert_rule_test": [
                    {"eval_time": f"{minute}m", "alertname": rule["alert"], "exp_alerts": [alert] if fires else []}
                    for minute, fires in firing.items()
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    answer = subprocess.run(
        [str(programs.promtool), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, textwrap.indent(answer.stdout + answer.stderr, "  ")
