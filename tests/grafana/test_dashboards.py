"""The committed dashboards: made of the code, well formed, and about what there is."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grafana_queries import BUILT_IN, FOLDER, load, metrics, panels, queries, used

from mlotel.drift import Reference
from mlotel.errors import ConfigurationError
from mlotel.grafana import Options, dashboards, write
from mlotel.rules import AlertRule, RecordingRule, generate
from mlotel.semconv import metrics as M
from mlotel.semconv.metrics import Metric

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = load()
ALL = pytest.mark.parametrize("uid", DASHBOARDS)
QUERIES = [*queries("prometheus"), *queries("tempo")]


def config(name: str) -> Any:
    return yaml.safe_load((ROOT / "collector-config" / name).read_text(encoding="utf-8"))


def test_the_committed_files_are_what_the_code_makes(tmp_path: Path) -> None:
    """`mlotel dashboards` with no options writes them, byte by byte, and nothing else is there."""
    made = write(tmp_path, dashboards())

    assert sorted(each.name for each in made) == sorted(each.name for each in FOLDER.glob("*.json"))
    for path in made:
        assert (FOLDER / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_there_are_four_that_alerts_and_links_can_name() -> None:
    """A dashboard's address is its uid, which the alerts of `mlotel rules` and links between dashboards are made of."""
    assert {each["uid"] for each in DASHBOARDS.values()} == DASHBOARDS.keys()
    assert DASHBOARDS.keys() == {"mlotel-pipelines", "mlotel-drift", "mlotel-component", "mlotel-lineage"}
    linked = set(re.findall(r"/d/([\w-]+)\?", json.dumps(DASHBOARDS)))
    assert linked <= DASHBOARDS.keys()


@ALL
def test_the_library_reads_them_as_they_are(uid: str) -> None:
    """Grafana's own types take each file in, and give it back with nothing lost or added."""
    read = models.Dashboard.from_json(DASHBOARDS[uid])

    assert json.loads(json.dumps(read, cls=JSONEncoder)) == DASHBOARDS[uid]


@ALL
def test_ids_are_unique(uid: str) -> None:
    """Grafana tells panels apart by their ids, headings included."""
    ids = [each["id"] for each in DASHBOARDS[uid]["panels"]]

    assert len(set(ids)) == len(ids)
    assert all(isinstance(each, int) and each > 0 for each in ids)


@ALL
def test_panels_neither_overlap_nor_stick_out(uid: str) -> None:
    """Each cell of the grid belongs to one panel at most, and each line of panels is full."""
    cells: dict[tuple[int, int], str] = {}
    for panel in DASHBOARDS[uid]["panels"]:
        place = panel["gridPos"]
        assert place["h"] > 0
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in cells, (panel["title"], cells[cell])
            cells[cell] = panel["title"]
    height = 1 + max(y for _, y in cells)
    assert {(x, y) for x in range(24) for y in range(height)} == cells.keys()


@ALL
def test_every_panel_says_what_it_shows(uid: str) -> None:
    """Titles are unique within a dashboard, and each has a description of whole sentences."""
    titles = [panel["title"] for panel in panels(DASHBOARDS[uid])]
    assert len(set(titles)) == len(titles)
    for panel in panels(DASHBOARDS[uid]):
        assert panel["title"]
        assert len(panel["description"]) > 40
        assert panel["description"].endswith(".")


@ALL
def test_every_variable_that_is_used_exists(uid: str) -> None:
    """In queries, legends, links, variables and texts; and each that exists is used."""
    dashboard = DASHBOARDS[uid]
    defined = {each["name"]: each for each in dashboard["templating"]["list"]}

    assert used(json.dumps(dashboard)) - BUILT_IN == defined.keys()
    names = list(defined)
    for place, each in enumerate(defined.values()):
        query = str(each.get("query", ""))
        assert used(query) <= set(names[:place]), "a variable is made of those before it"


@ALL
def test_data_sources_are_chosen_by_variables(uid: str) -> None:
    """No panel and no variable is bound to a data source of somebody's own Grafana."""
    text = json.dumps(DASHBOARDS[uid])
    found = set(re.findall(r'"datasource": (\{[^}]*\})', text.replace("${", "$<")))

    assert found <= {
        '{"type": "prometheus", "uid": "$<datasource}',
        '{"type": "tempo", "uid": "$<tempo}',
    }


def names_of(metric: Metric) -> set[str]:
    """What Prometheus calls a metric, by the rules of OpenTelemetry's compatibility specification.

    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
    """
    name = metric.name.replace(".", "_")
    suffix = {"s": "_seconds", "By": "_bytes", "1": "_ratio" if metric.instrument == "gauge" else ""}.get(
        metric.unit, ""
    )
    name += "" if name.endswith(suffix) else suffix
    if metric.instrument == "histogram":
        return {f"{name}{part}" for part in ("_bucket", "_sum", "_count")}
    return {f"{name}_total" if metric.instrument == "counter" else name}


@pytest.fixture(scope="module")
def known() -> set[str]:
    """All names that mlotel, the collector's span metrics and the rules give to series."""
    found = {name for each in vars(M).values() if isinstance(each, Metric) for name in names_of(each)}
    namespace = config("base.yaml")["connectors"]["span_metrics"]["namespace"].replace(".", "_")
    found |= {
        f"{namespace}_calls_total",
        *(f"{namespace}_duration_seconds_{part}" for part in ("bucket", "sum", "count")),
    }
    rng = np.random.default_rng(1)
    table = pa.table({"x": rng.normal(size=2_000), "colour": rng.choice(["a", "b"], 2_000), "fixed": np.ones(2_000)})
    groups = generate([Reference.fit(table, model="m", version="1")])
    return found | {rule.record for group in groups for rule in group.rules if isinstance(rule, RecordingRule)}


def test_every_metric_exists(known: set[str]) -> None:
    """Queries speak of metrics of the conventions, of the collector's span metrics and of the rules."""
    asked = {name for each in queries("prometheus") for name in metrics(each.text)}
    variables = [
        str(each.get("query", "")) for each in itertools.chain(*(d["templating"]["list"] for d in DASHBOARDS.values()))
    ]
    listed = {name for each in variables for name in re.findall(r"mlotel_\w+(?=[{,|\"])", each.replace(" ", ""))}
    labels = {name for name in listed if name.endswith(("_name", "_version"))}

    assert len(asked) > 30
    assert asked - {"up", "ALERTS"} <= known
    assert listed - labels <= known


def test_no_query_names_a_bucket() -> None:
    """Prometheus 3 writes le="1.0" where 2 wrote le="1", so that a query with either is right on one of them."""
    assert [each for each in queries("prometheus") if re.search(r"\ble\s*(=|!)", each.text)] == []


def test_the_links_of_alerts_lead_to_dashboards_and_their_variables() -> None:
    """What `mlotel rules` writes as an alert's dashboard_url is an address that there is."""
    reference = Reference.fit(pa.table({"x": np.arange(2_000.0), "prediction": np.ones(2_000)}), model="m", version="1")
    rules = [rule for group in generate([reference]) for rule in group.rules if isinstance(rule, AlertRule)]
    urls = [rule.annotations["dashboard_url"] for rule in rules if "dashboard_url" in rule.annotations]

    assert urls
    for url in urls:
        uid = re.findall(r"/d/([\w-]+)\?", url)[0]
        defined = {each["name"] for each in DASHBOARDS[uid]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", url)) <= defined, url


def test_the_pieces_of_promql_are_found() -> None:
    """What the test before this one looks for metrics with, on an expression with all that it has to leave out."""
    text = 'sum by (le, a) (rate(x_bucket{a=~"b{c", d="e"}[5m])) / on (a) group_left () (y:z > bool 1 or vector(0)) ^ 2'

    assert metrics(text) == {"x_bucket", "y:z"}


def test_exemplars_are_asked_for_where_there_are_some() -> None:
    """Prometheus keeps exemplars of counters and buckets alone; dashboards of runs have panels that lead to traces."""
    with_exemplars = [each for each in queries("prometheus") if each.exemplars]

    assert {each.dashboard for each in with_exemplars} == {"mlotel-pipelines", "mlotel-drift", "mlotel-component"}
    for each in with_exemplars:
        assert all(name.endswith(("_total", "_bucket")) for name in metrics(each.text)), str(each)
        assert not each.instant


def test_a_table_asks_for_now() -> None:
    """A table is made of one moment: its queries of Prometheus are instant, and it names each of their columns."""
    for uid, dashboard in DASHBOARDS.items():
        for panel in panels(dashboard):
            if panel["type"] != "table" or panel["datasource"]["type"] != "prometheus":
                continue
            targets = panel["targets"]
            assert all(each["instant"] and each["format"] == "table" for each in targets), (uid, panel["title"])
            (kept,) = [each for each in panel["transformations"] if each["id"] == "filterFieldsByName"]
            values = {f"Value #{each['refId']}" for each in targets} if len(targets) > 1 else {"Value"}
            grouped = {
                name
                for each in targets
                for name in re.findall(r"\w+", "".join(re.findall(r"by \(([^)]*)\)", each["expr"])))
            }
            assert set(kept["options"]["include"]["names"]) <= values | grouped | FEATURE_LABELS, panel["title"]


FEATURE_LABELS = {"mlotel_model_name", "mlotel_model_version", "mlotel_feature_name"}
"""What the recorded series of features keep, which a selector alone shows."""


def test_selectors_reach_every_query(tmp_path: Path) -> None:
    """Each selector of scraped series gets the one, each of recorded series and of Prometheus' own the other."""
    write(tmp_path, dashboards(Options(selectors=('cluster="eu"',), recorded_selectors=('region=~"eu-.+"',))))
    for path in tmp_path.glob("*.json"):
        made = json.loads(path.read_text(encoding="utf-8"))
        for panel in panels(made):
            for target in panel.get("targets", ()):
                for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", target.get("expr", "")):
                    recorded = name.startswith("mlotel:") or name in ("up", "ALERTS")
                    assert ('cluster="eu"' in matchers, 'region=~"eu-.+"' in matchers) == (not recorded, recorded)
                bare = metrics(target.get("expr", "")) - set(
                    re.findall(r"([a-zA-Z_:][\w:]*)\{", target.get("expr", ""))
                )
                assert bare == set(), panel["title"]
        for variable in made["templating"]["list"]:
            if variable["type"] == "query":
                assert 'cluster="eu"' in variable["query"]


@pytest.mark.parametrize(
    "matcher", ["cluster", "cluster=eu", 'cluster="eu', 'a="b", c="d"', '1a="b"', 'a="b"}', 'a=="b"']
)
def test_what_is_no_matcher_is_refused(matcher: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(ConfigurationError, match=r'cluster="eu"'):
        Options(selectors=(matcher,))
    with pytest.raises(ConfigurationError, match=r'cluster="eu"'):
        Options(recorded_selectors=(matcher,))


@pytest.mark.parametrize("objective", [0, 1, -1, float("nan")])
def test_an_objective_is_a_share_below_1(objective: float) -> None:
    """All of the runs is no objective: there would be no budget to divide by."""
    with pytest.raises(ConfigurationError, match=r"such as 0\.99"):
        Options(objective=objective)


def test_ones_own_objective_and_jobs_are_in_the_dashboards(tmp_path: Path) -> None:
    """The objective is chosen at first, among others, and the jobs are those whose targets are looked at."""
    write(tmp_path, dashboards(Options(objective=0.97, jobs=("ml-collector",))))
    made = json.loads((tmp_path / "mlotel-pipelines.json").read_text(encoding="utf-8"))
    (objective,) = [each for each in made["templating"]["list"] if each["name"] == "objective"]

    assert objective["current"]["value"] == "0.97"
    assert "0.97" in objective["query"].split(",")
    assert 'up{job=~"ml-collector"}' in json.dumps(made).replace('\\"', '"')


def test_grafana_is_given_them(tmp_path: Path) -> None:
    """docker-compose mounts the folder where the provisioning file looks, and the file of data sources."""
    service = config("docker-compose.yaml")["services"]["grafana"]
    mounts = {
        inside: ROOT / "collector-config" / outside
        for outside, inside, _ in (v.split(":") for v in service["volumes"] if v.startswith("."))
    }
    (provider,) = config("grafana/dashboards.yaml")["providers"]

    assert mounts[provider["options"]["path"]].resolve() == FOLDER
    assert mounts["/etc/grafana/provisioning/dashboards/mlotel.yaml"].name == "dashboards.yaml"
    assert mounts["/etc/grafana/provisioning/datasources/mlotel.yaml"].name == "datasources.yaml"
    assert all(each.exists() for each in mounts.values())


def test_exemplars_lead_to_traces() -> None:
    """The data source of Prometheus names the label of exemplars, and data sources of traces that there are."""
    sources = {each["uid"]: each for each in config("grafana/datasources.yaml")["datasources"]}
    led = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]

    assert {each["name"] for each in led} == {"trace_id"}
    assert {sources[each["datasourceUid"]]["type"] for each in led} == {"jaeger", "tempo"}
    dashboards_ask = {
        panel["datasource"]["type"] for each in DASHBOARDS.values() for panel in panels(each) if panel["type"] != "text"
    }
    assert dashboards_ask <= {each["type"] for each in sources.values()}


HIDE = """
import sys
sys.modules["grafana_foundation_sdk"] = None
from pathlib import Path
from mlotel.grafana import dashboards, write
try:
    write(Path("made"), dashboards())
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_the_missing_extra_is_named(tmp_path: Path) -> None:
    """Without the library the error ends in the command that installs it, and nothing has been written."""
    done = subprocess.run([sys.executable, "-c", HIDE], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert (
        done.stdout == "MissingExtraError grafana-foundation-sdk is not installed: pip install 'mlotel[dashboards]'\n"
    )
    assert list(tmp_path.iterdir()) == []
