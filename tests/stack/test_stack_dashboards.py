"""Each query of the dashboards on the real collector and Prometheus, after runs and requests in which all happens."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backends import Prometheus, eventually, get
from grafana_queries import Asked, filled_in, load, queries
from promtool import Case, check, selector

from mlotel.drift import Reference
from mlotel.grafana import Options, dashboards
from mlotel.rules import Options as RuleOptions
from mlotel.rules import RecordingRule, generate, to_yaml
from mlotel.rules._values import Group
from mlotel_stack import Programs, Settings, Stack

pytestmark = pytest.mark.stack
SOURCE = Path(__file__).resolve().parents[2] / "src"
QUERIES = list(queries("prometheus"))

VALUES = {
    "__range": "10m", "__rate_interval": "2m", "window": "5m", "objective": "0.99", "pipeline": ".*", "model": ".*",
    "version": ".*", "feature": ".*", "column": ".*", "statistic": ".*",
}  # fmt: skip
"""What is chosen at the top of a dashboard; the component is `score` where there is one, else all of them."""

BATCH = """
import datetime
import sys
import numpy as np
import pyarrow as pa
import mlotel
from mlotel.drift import Reference

rng = np.random.default_rng(5)
reference = Reference.load("reference.json")
nulls = np.where(rng.random(2000) < 0.1, np.nan, rng.normal(3, 1, 2000))
table = pa.table({"x": pa.array(nulls, from_pandas=True), "colour": ["red"] * 2000, "fixed": np.ones(2000)})

def fails(component, **scheduling):
    run = mlotel.start_component(component, pipeline="delays", **scheduling)
    run.end(KeyError("no rows"))

for content in (b"1", b"2"):
    with mlotel.component("make", pipeline="delays") as run:
        run.log_output(content, name="data")
fails("score", queue_time=datetime.timedelta(seconds=3))
run = mlotel.start_component("score", pipeline="delays", version="1", attempt=2)
run.log_input(b"1", name="data")
run.log_input(table, name="features", reference=reference)
run.log_output(table, name="scores", profile=True)
run.log_metrics({"rmse": 3.5})
run.log_predictions(rng.gamma(2, 2, 500), model="delay", version="7")
run.end()
with mlotel.component("classify", pipeline="delays") as run:
    run.log_predictions(["late", "late", "early"], model="class", version="1")
with mlotel.component("down", pipeline="delays"):
    pass
fails("down")
fails("never")
"""

SERVING = """
import sys
import time
import numpy as np
import mlotel
from mlotel.serving import Monitor

monitor = Monitor("reference.json", variant="blue")
mlotel.flush()
time.sleep(3)  # a rise is seen of what was scraped before
rng = np.random.default_rng(6)
for _ in range(6):
    with mlotel.component("serve"), monitor.request():
        rows = {"x": rng.normal(4, 1, 500), "colour": ["violet"] * 500, "fixed": np.full(500, 2.0)}
        monitor.observe(rows, predictions=rng.normal(1, 1, 500))
    try:
        with monitor.request():
            raise TimeoutError
    except TimeoutError:
        pass
    mlotel.flush()
    time.sleep(1)
"""


@pytest.fixture(scope="module")
def prometheus(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The Prometheus of a stack with the rules, and with the data of everything that the dashboards show."""
    folder = tmp_path_factory.mktemp("dashboards")
    rng = np.random.default_rng(4)
    columns = {
        "x": rng.normal(size=4_000), "colour": rng.choice(["red", "green"], 4_000), "fixed": np.ones(4_000),
        "prediction": rng.normal(size=4_000),
    }  # fmt: skip
    reference = Reference.fit(pa.table(columns), model="delay", version="7")
    reference.save(folder / "reference.json")
    options = RuleOptions(window="2m", hold="0s", expect={"score": "1d"})
    (folder / "rules.yml").write_text(to_yaml(generate([reference], options)), encoding="utf-8")
    (folder / "batch.py").write_text(BATCH, encoding="utf-8")
    (folder / "serving.py").write_text(SERVING, encoding="utf-8")
    settings = Settings(
        scrape_interval="1s", span_metrics_interval="2s", rules=(folder / "rules.yml",), die_with_parent=True
    )
    with Stack.start(folder / "stack", settings) as stack:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
        environment |= {**stack.env(), "PYTHONPATH": str(SOURCE), "OTEL_SERVICE_NAME": "dashboards"}
        asked = Prometheus(stack.endpoints["prometheus"])
        serving = subprocess.Popen([sys.executable, "serving.py"], cwd=folder, env=environment)
        for number in (1, 2):  # a histogram's series begins with its first run, so that only the second is a rise
            subprocess.run([sys.executable, "batch.py"], cwd=folder, env=environment, check=True, timeout=120)
            ended = f'mlotel_span_duration_seconds_count{{mlotel_component_name="never"}} == {number}'
            assert eventually(lambda ended=ended: asked.query(ended))
        assert serving.wait(120) == 0
        yield asked


def ask(prometheus: Prometheus, asked: Asked) -> list[float]:
    """Return the numbers that a query answers with now, as a panel of it would show them."""
    component = "score" if asked.dashboard == "mlotel-component" else ".*"
    found = prometheus.query(filled_in(asked.text, {**VALUES, "component": component}))
    return [value for _, value in found if math.isfinite(value)]


@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_each_query_returns_something(prometheus: Prometheus, asked: Asked) -> None:
    """On the real Prometheus, each query of each panel has a number to show."""
    assert eventually(lambda: ask(prometheus, asked), within=90)


@pytest.mark.parametrize("asked", [each for each in QUERIES if each.exemplars], ids=str)
def test_panels_with_exemplars_lead_to_traces(prometheus: Prometheus, asked: Asked) -> None:
    """The exemplars of their series carry the id of a trace, under the name that the data source is told."""
    component = "score" if asked.dashboard == "mlotel-component" else ".*"
    text = filled_in(asked.text, {**VALUES, "component": component})

    found = eventually(lambda: prometheus.exemplars(text))
    assert all(len(each["trace_id"]) == 32 for each in found)


def variables() -> Iterator[tuple[str, str, str]]:
    for uid, dashboard in load().items():
        for each in dashboard["templating"]["list"]:
            if each["type"] == "query":
                yield uid, each["name"], each["query"]


@pytest.mark.parametrize(("uid", "name", "query"), [*variables()], ids=str)
def test_each_variable_has_choices(prometheus: Prometheus, uid: str, name: str, query: str) -> None:
    """As Grafana asks for them: the values of a label among the series that a selector finds."""
    series, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    filled = filled_in(series, {**VALUES, "component": "score" if uid == "mlotel-component" else ".*"})
    expected = {
        "pipeline": "delays",
        "component": "score",
        "model": "delay",
        "version": "7",
        "feature": "x",
        "column": "x",
        "statistic": "mean",
    }[name]

    def values() -> bool:
        answer = get(f"{prometheus.url}/api/v1/label/{urllib.parse.quote(label)}/values", **{"match[]": filled})
        return expected in answer["data"]

    assert eventually(values)


def panel(title: str, letter: str = "A", dashboard: str = "mlotel-pipelines") -> Asked:
    (found,) = [e for e in QUERIES if (e.dashboard, e.panel, e.letter) == (dashboard, title, letter)]
    return found


def test_the_numbers_are_those_of_the_runs(prometheus: Prometheus) -> None:
    """Of the components two are failing, one input was stale, and the second attempt of `score` was its one retry."""
    assert eventually(lambda: ask(prometheus, panel("Components failing now")) == [2.0])
    assert eventually(lambda: ask(prometheus, panel("Inputs that were stale")) == [1.0])
    assert eventually(lambda: ask(prometheus, panel("Retries that helped")) == [1.0])
    assert ask(prometheus, panel("Time in the queue")) == [3.0]
    assert ask(prometheus, panel("Serving: replicas at work")) == [1.0]
    score = {**VALUES, "component": "score"}
    rows = prometheus.query(filled_in(panel("Rows", dashboard="mlotel-component").text, score))
    assert {(labels["mlotel_artifact_name"], value) for labels, value in rows} == {("features", 2000), ("scores", 2000)}


def test_promtool_accepts_each_query(programs: Programs, tmp_path: Path) -> None:
    """As the expression of a rule, with variables filled in, selectors of one's own among them."""
    made = dashboards(Options(selectors=('cluster="eu"',), recorded_selectors=('region!~"us-.+"',)))
    own = [query.expr for each in made for row in each.rows for panel in row.panels for query in panel.queries
           if query.backend == "prometheus"]  # fmt: skip
    texts = [filled_in(text, {**VALUES, "component": "a"}) for text in (*(each.text for each in QUERIES), *own)]
    rules = tuple(RecordingRule(f"query:{place}", text) for place, text in enumerate(texts))

    check(programs.promtool, tmp_path, to_yaml([Group("queries", rules)]), [])


RUN = {"cicd_pipeline_name": "p", "mlotel_component_name": "train"}
SUCCESS, FAILURE = "mlotel_run_last_success_time_seconds", "mlotel_run_last_failure_time_seconds"


class ByTheMinute(Case):
    """A test of promtool whose series have a sample a minute, looked at after 150 of them."""

    def __init__(self) -> None:
        super().__init__(at="150m")

    def document(self) -> dict[str, Any]:
        return {**super().document(), "interval": "1m"}


def times(*moments: tuple[int, int]) -> str:
    """The samples of a gauge, one a minute for 150 minutes: from which minute on it has which value, in seconds."""
    found, now = [], "_"
    for minute in range(151):
        for begin, seconds in moments:
            if minute == begin:
                now = f"{seconds}"
        found.append(now)
    return " ".join(found)


def test_recovery_is_from_the_first_failure_to_the_next_success(programs: Programs, tmp_path: Path) -> None:
    """Failing from minute 40 to 50, retried in vain at 45, and from 90 to 120: 20 minutes on average."""
    case = ByTheMinute()
    case.series[selector(SUCCESS, RUN)] = times((30, 1800), (50, 3000), (120, 7200))
    case.series[selector(FAILURE, RUN)] = times((40, 2400), (45, 2700), (90, 5400))
    text = filled_in(panel("Mean time to recover").text, {**VALUES, "window": "140m", "component": ".*"})
    case.near(f"sum({text})", 20 * 60)
    failing = filled_in(panel("Components failing now").text, {**VALUES, "component": ".*"})
    for minute, expected in (("39m", 0), ("44m", 1), ("60m", 0), ("100m", 1), ("130m", 0)):
        case.at = minute
        case.equal(failing, expected)

    check(programs.promtool, tmp_path, to_yaml([Group("none", (RecordingRule("a:b", "vector(1)"),))]), [case])


def test_what_never_succeeded_has_not_recovered(programs: Programs, tmp_path: Path) -> None:
    """Its time goes on from the first failure, and it is failing."""
    case = ByTheMinute()
    case.series[selector(FAILURE, RUN)] = times((60, 3600), (100, 6000))
    text = filled_in(panel("Mean time to recover").text, {**VALUES, "window": "2h", "component": ".*"})
    case.near(f"sum({text})", 90 * 60 + 30)  # both ends are looked at
    without = filled_in(panel("Failing, without a success for").text, {**VALUES, "component": ".*"})
    case.near(f"sum({without})", 50 * 60)

    check(programs.promtool, tmp_path, to_yaml([Group("none", (RecordingRule("a:b", "vector(1)"),))]), [case])


def test_the_budget_is_what_the_objective_leaves(programs: Programs, tmp_path: Path) -> None:
    """One of 400 runs failed: 99.75 %, which is a quarter of what an objective of 99 % allows; cancelled ones aside."""
    case = Case()
    for state, number in (("ok", 399), ("failed", 1), ("cancelled", 50)):
        case.counter("mlotel_span_calls_total", {**RUN, "mlotel_run_state": state}, number / 150)
    values = {**VALUES, "__range": "120m", "component": ".*"}
    case.near(f"sum({filled_in(panel('Success ratio').text, values)})", 0.9975)
    case.near(f"sum({filled_in(panel('Error budget left').text, values)})", 0.75)

    check(programs.promtool, tmp_path, to_yaml([Group("none", (RecordingRule("a:b", "vector(1)"),))]), [case])


def test_a_component_that_only_fails_has_a_ratio_of_0(programs: Programs, tmp_path: Path) -> None:
    """It is not absent, in the table of components nor of the objective."""
    case = Case()
    case.counter("mlotel_span_calls_total", {**RUN, "mlotel_run_state": "failed"}, 1)
    values = {**VALUES, "window": "1h", "__range": "1h", "component": ".*"}
    for asked in (panel("Components", "B"), panel("Success ratio"), panel("Success ratio against the objective")):
        case.equal(f"sum({filled_in(asked.text, values)})", 0)

    check(programs.promtool, tmp_path, to_yaml([Group("none", (RecordingRule("a:b", "vector(1)"),))]), [case])
