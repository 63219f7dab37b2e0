"""A collector that is away: the pipeline goes on, and what happened meanwhile arrives later."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from backends import Jaeger, eventually

from mlotel.semconv import attributes as A
from mlotel_stack import Stack

pytestmark = pytest.mark.stack

PIPELINE = """
import mlotel
for i in range(20):
    with mlotel.component("score", params={"i": i}) as run:
        run.log_output(f"result {i}".encode(), name="result")
"""
CLOSED = "http://127.0.0.1:9"  # nothing listens on the discard port


def run(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    return subprocess.run(
        arguments, cwd=folder, env={**kept, **environment}, timeout=120, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_could_not_be_sent_is_sent_by_replay(stack: Stack, jaeger: Jaeger, tmp_path: Path, protocol: str) -> None:
    """With nobody at the endpoint the pipeline succeeds, and `mlotel replay` brings every span to Jaeger, once."""
    service = f"replayed-{uuid.uuid4().hex[:8]}"
    told = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": CLOSED,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": service,
    }
    ran = run([sys.executable, "-c", PIPELINE], tmp_path, **told)
    assert ran.returncode == 0, ran.stderr
    assert "mlotel replay" in ran.stderr
    mlotel = [sys.executable, "-m", "mlotel"]

    failed = run([*mlotel, "replay", "--endpoint", CLOSED], tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "sent 0 lines, rejected 0, kept 80\n")

    # a run is a span, its output's span, and the events of its start and end
    endpoint = stack.env()["OTEL_EXPORTER_OTLP_ENDPOINT"]
    done = run([*mlotel, "replay", "--endpoint", endpoint], tmp_path)
    assert (done.returncode, done.stdout) == (0, "sent 80 lines, rejected 0, kept 0\nsent the metrics of 1 process\n")

    spans = eventually(lambda: found if len(found := jaeger.spans(service)) >= 40 else [])
    assert sorted(span.tags[f"{A.MLOTEL_PARAM}.i"] for span in spans if span.name == "score") == list(range(20))
    assert len({span.span_id for span in spans}) == len(spans) == 40
    again = run([*mlotel, "replay", "--endpoint", endpoint], tmp_path)
    assert again.stdout == "sent 0 lines, rejected 0, kept 0\n"
