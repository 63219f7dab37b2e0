"""The queries of Tempo, evaluated by a stand-in that was written from Tempo's documentation, on spans of real runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "store"))

from grafana_queries import Asked, filled_in, queries
from tempo_standin import StandInTempo
from traceql_standin import Span, parse

from mlotel.semconv import attributes as A

SOURCE = Path(__file__).resolve().parents[2] / "src"

PIPELINE = """
import numpy as np
import pyarrow as pa
import mlotel
from mlotel.drift import Reference

rng = np.random.default_rng(1)
reference = Reference.fit(pa.table({"x": rng.normal(size=2000)}))
shifted = pa.table({"x": rng.normal(3, 1, 2000)})
for content in (b"1", b"2"):
    with mlotel.component("make.data", pipeline="p") as run:
        run.log_output(content, name="data")
with mlotel.component("use") as run:
    run.log_input(b"1", name="data")
    run.log_input(shifted, name="table", reference=reference)
try:
    with mlotel.component("break"):
        raise ValueError("x")
except ValueError:
    pass
"""


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> list[Span]:
    """All spans of a pipeline, as Tempo keeps them."""
    folder = tmp_path_factory.mktemp("lineage")
    (folder / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    environment = {"PATH": "", "PYTHONPATH": str(SOURCE), "MLOTEL_STORE": str(folder / "store")}
    subprocess.run([sys.executable, "pipeline.py"], cwd=folder, env=environment, check=True, timeout=60)
    tempo = StandInTempo()
    try:
        for path in (folder / "store").rglob("*.jsonl"):
            tempo.add(line for line in path.read_bytes().splitlines() if b"resourceSpans" in line)
        return [span for trace in tempo._traces.values() for span in trace.values()]
    finally:
        tempo.stop()


ASKED = {f"{each.dashboard}: {each.panel}": each for each in queries("tempo")}
SEARCHES = {name: each for name, each in ASKED.items() if each.text != "$trace"}


def found(spans: list[Span], panel: str, **values: str) -> list[Span]:
    given = {"component": "(make\\.data|use|break)", "digest": "", "artifact": "", **values}
    return list(parse(filled_in(SEARCHES[panel].text, given)).evaluate(spans))


def names(spans: list[Span]) -> list[str]:
    return sorted(each.name for each in spans)


@pytest.mark.parametrize("panel", SEARCHES)
def test_each_query_finds_something(spans: list[Span], panel: str) -> None:
    """Every table of traces shows something of a pipeline in which everything happens."""
    assert found(spans, panel)


@pytest.mark.parametrize("asked", ASKED.values(), ids=str)
def test_attributes_are_those_of_the_conventions(asked: Asked) -> None:
    """No query speaks of an attribute that nobody emits."""
    emitted = {value for key, value in vars(A).items() if key.isupper() and isinstance(value, str)}

    assert set(re.findall(r"span\.([\w.]+)", asked.text)) <= emitted


def test_runs_are_those_of_the_components(spans: list[Span]) -> None:
    """A dot in a component's name is a dot, and a component whose name only begins so is another."""
    assert names(found(spans, "mlotel-lineage: Runs")) == ["break", "make.data", "make.data", "use"]
    assert names(found(spans, "mlotel-component: Latest runs", component="make\\.data")) == ["make.data", "make.data"]
    assert names(found(spans, "mlotel-component: Latest runs", component="makeXdata")) == []
    assert names(found(spans, "mlotel-component: Latest runs", component="us")) == []
    assert names(found(spans, "mlotel-lineage: Runs that failed")) == ["break"]


@pytest.mark.parametrize("cut", [slice(None), slice(7, None), slice(0, 20), slice(7, 20)])
def test_a_digest_is_found_by_its_beginning(spans: list[Span], cut: slice) -> None:
    """With its algorithm or without, whole or the beginning: who wrote it and who read it, and no others."""
    digests = {str(s.attributes[A.MLOTEL_ARTIFACT_DIGEST]) for s in spans if s.name == "read data"}
    (digest,) = digests

    written = found(spans, "mlotel-lineage: Who wrote it", digest=re.escape(digest[cut]))
    read = found(spans, "mlotel-lineage: Who read it", digest=re.escape(digest[cut]))

    assert [(s.name, s.attributes[A.MLOTEL_ARTIFACT_DIGEST]) for s in written] == [("write data", digest)]
    assert [(s.name, s.attributes[A.MLOTEL_ARTIFACT_DIGEST]) for s in read] == [("read data", digest)]


def test_artifacts_are_found_by_the_beginning_of_their_names(spans: list[Span]) -> None:
    """All of them where nothing is given."""
    assert names(found(spans, "mlotel-lineage: Written")) == ["write data", "write data"]
    assert names(found(spans, "mlotel-lineage: Read")) == ["read data", "read table"]
    assert names(found(spans, "mlotel-lineage: Read", artifact="tab")) == ["read table"]


def test_what_is_stale_or_in_alarm_is_found(spans: list[Span]) -> None:
    """The input that had been made anew since, and the table that has left its reference; not the run above it."""
    assert names(found(spans, "mlotel-lineage: Stale inputs")) == ["read data"]
    assert names(found(spans, "mlotel-lineage: In alarm")) == ["read table"]
