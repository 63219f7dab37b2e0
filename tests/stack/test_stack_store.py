"""The embedded store against the real collector: what goes through it and comes out as files is what was written."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from backends import eventually
from msgspec.structs import replace

from mlotel.model import Run
from mlotel.store.files import FileStore
from mlotel_stack import Stack

pytestmark = pytest.mark.stack

PIPELINE = """
import os
import mlotel
with mlotel.component("make", pipeline="p", params={"rate": 0.5, "name": "\\u00e9", "on": True}) as run:
    run.log_output(b"content", name="made", uri="made.bin")
try:
    with mlotel.component("use") as run:
        run.log_input(b"content", name="made")
        run.log_metrics({"nan": float("nan"), "auc": 0.75})
        raise ValueError("no")
except ValueError:
    pass
mlotel.start_component("die").log_output(b"part", name="part")
os.kill(os.getpid(), 9)
"""


def post(endpoint: str, line: bytes) -> None:
    signal = "traces" if line.startswith(b'{"resourceSpans"') else "logs"
    request = urllib.request.Request(f"{endpoint}/v1/{signal}", line, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        assert (answer.status, answer.read()) == (200, b'{"partialSuccess":{}}')


def comparable(runs: Sequence[Run]) -> list[str]:
    """Runs in words: NaN equals itself there. The collector knows the service by its own rules."""
    return [repr(replace(run, service=None)) for run in runs]


def test_each_line_is_a_request_and_comes_back_from_the_collectors_files(stack: Stack, tmp_path: Path) -> None:
    """The collector takes each line of a segment as it is, and its files hold the same runs, twice sent or not."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    service = f"store-{uuid.uuid4().hex[:8]}"
    environment = {**kept, "MLOTEL_STORE": str(tmp_path / "store"), "OTEL_SERVICE_NAME": service}
    ran = subprocess.run([sys.executable, "-c", PIPELINE], cwd=tmp_path, env=environment, timeout=120, check=False)
    assert ran.returncode == -9
    with FileStore(tmp_path / "store") as store:
        written = store.runs()
    assert [(run.component, run.state) for run in written] == [("die", "lost"), ("use", "failed"), ("make", "ok")]

    lines = [line for path in (tmp_path / "store" / "segments").iterdir() for line in path.read_bytes().splitlines()]
    for line in [*lines, *lines]:
        post(stack.env()["OTEL_EXPORTER_OTLP_ENDPOINT"], line)

    ids = {run.run_id for run in written}
    with FileStore(stack.run_dir / "collector" / "otlp") as collected:

        def arrived() -> Sequence[Run]:
            runs = [run for run in collected.runs() if run.run_id in ids]
            # Traces and logs come by different ways, and nothing says that a file is complete.
            whole = [(run.state, len(run.inputs), len(run.outputs)) for run in runs]
            return runs if whole == [(run.state, len(run.inputs), len(run.outputs)) for run in written] else []

        assert comparable(eventually(arrived, within=30)) == comparable(written)
