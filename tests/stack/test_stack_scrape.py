"""A process that is scraped itself, beside the same one behind the real collector."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from textwrap import dedent

import pytest
from backends import Prometheus, eventually

from mlotel_stack import Stack

pytestmark = pytest.mark.stack
ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
    import sys, urllib.request
    import numpy as np
    import pyarrow as pa
    import mlotel
    from mlotel import scrape
    from mlotel.drift import Reference
    from mlotel.serving import Monitor

    server = scrape.start_http_server(0) if sys.argv[2:] else None
    table = pa.table({"x": [0.0, 1.0] * 300, "prediction": ["a", "b"] * 300})
    with mlotel.component("make", version="1", pipeline=sys.argv[1]) as run:
        run.log_output(table, name="made")
        run.log_metrics({"rmse": 1.5})
        run.log_predictions(np.array([0.1, 0.5, 0.9, 0.8]), model="m", version=sys.argv[1])
    with mlotel.component("use", version="1", pipeline=sys.argv[1]) as run:
        run.log_input(table, name="made")
    monitor = Monitor(Reference.fit(table, model="m", version=sys.argv[1]), component="use", variant="b")
    with monitor.request():
        monitor.observe((0.0,), "a")
    if server is None:
        assert mlotel.flush()
    else:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        print(opener.open(f"http://127.0.0.1:{server.port}/metrics").read().decode())
    """

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.M)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def without(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Labels that the process itself gave; a whole bound of a bucket is written in two ways."""
    kept = {key: each for key, each in labels.items() if key not in ("__name__", "job", "instance")}
    if "le" in kept and kept["le"] != "+Inf":
        kept["le"] = repr(float(kept["le"]))
    return frozenset(kept.items())


def test_names_and_labels_are_those_behind_the_collector(stack: Stack, prometheus: Prometheus, tmp_path: Path) -> None:
    """The same program has the same series either way, and the same values of all that is counted."""
    version = uuid.uuid4().hex[:8]
    program = tmp_path / "program.py"
    program.write_text(dedent(PROGRAM), encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "MLOTEL_STORE": str(tmp_path / "store")}
    pushed = [sys.executable, str(program), version]
    subprocess.run(pushed, env={**environ, **stack.env()}, cwd=tmp_path, check=True)
    done = subprocess.run([*pushed, "scraped"], env=environ, cwd=tmp_path, check=True, capture_output=True, text=True)

    scraped: Series = {
        (name, without(dict(LABEL.findall(labels)))): float(value)
        for name, labels, value in SAMPLE.findall(done.stdout)
        if version in labels  # what the telemetry says of itself belongs to no model and no pipeline
    }
    mine = f'{{__name__=~"mlotel_.+", __name__!~"mlotel_span_.+|.+_z", %s="{version}"}}'
    both = " or ".join(mine % label for label in ("cicd_pipeline_name", "mlotel_model_version"))
    eventually(lambda: prometheus.query(f'mlotel_feature_values_total{{mlotel_model_version="{version}"}} > 0'))
    eventually(lambda: prometheus.query(f'mlotel_run_duration_seconds_count{{cicd_pipeline_name="{version}"}}'))
    collected: Series = {(labels["__name__"], without(labels)): value for labels, value in prometheus.query(both)}

    assert {name for name, _ in scraped} == {name for name, _ in collected}
    assert scraped.keys() == collected.keys()
    counted = [key for key in scraped if key[0].endswith(("_total", "_count", "_ratio", "_rows"))]
    assert {key: scraped[key] for key in counted} == {key: collected[key] for key in counted}
