"""More artifacts than get a span of their own."""

from __future__ import annotations

import json
import struct
from typing import Any

import blake3
import pytest

import mlotel
from mlotel.testing import CapturedRuns


def manifest_digest(entries: list[tuple[str, str]]) -> str:
    """The digest of a manifest, written anew from docs/digests.md."""
    pairs = sorted((name.encode(), digest.encode()) for name, digest in entries)
    content = b"mlotel.manifest.v1\0" + struct.pack("<Q", len(pairs))
    for pair in pairs:
        for part in pair:
            content += struct.pack("<Q", len(part)) + part
    return "blake3:" + blake3.blake3(content).hexdigest()


def _value(event: Any, key: str) -> str:
    (found,) = [item["value"]["stringValue"] for item in event["attributes"] if item["key"] == key]
    return str(found)


@pytest.mark.parametrize("direction", ["input", "output"])
@pytest.mark.parametrize("number", [100, 101, 250, 1700])
def test_past_a_hundred_artifacts_one_manifest_tells_the_rest(
    mlotel_runs: CapturedRuns, direction: str, number: int
) -> None:
    """100 spans and one more, whose digest is that of the list; the list itself is in events."""
    with mlotel.component("a") as run:
        log = run.log_input if direction == "input" else run.log_output
        for i in range(number):
            log(f"content {i}".encode(), f"part {i % 999}")
    (read,) = mlotel_runs.runs
    artifacts = read.inputs if direction == "input" else read.outputs
    rest = [
        (f"part {i % 999}", "blake3:" + blake3.blake3(f"content {i}".encode()).hexdigest()) for i in range(100, number)
    ]
    if number == 100:
        assert [a.name for a in artifacts] == [f"part {i}" for i in range(100)]
        return
    assert len(artifacts) == 101
    manifest = artifacts[-1]
    assert (manifest.name, manifest.scope, manifest.rows) == ("manifest", "manifest", number - 100)
    assert manifest.digest == manifest_digest(rest)
    events = [e for e in mlotel_runs.events if e.get("eventName") == "mlotel.artifact.manifest"]
    assert {(e["spanId"], _value(e, "mlotel.artifact.digest")) for e in events} == {(manifest.span_id, manifest.digest)}
    listed = [entry for event in events for entry in json.loads(event["body"]["stringValue"])]
    assert [(entry["name"], entry["digest"]) for entry in listed] == rest
    assert max(map(len, mlotel_runs.store.lines)) < 100_000


def test_inputs_and_outputs_have_manifests_of_their_own(mlotel_runs: CapturedRuns) -> None:
    """The cap is per direction, and artifacts without a digest are listed without one."""
    with mlotel.component("a") as run:
        for i in range(102):
            run.log_input(object(), f"in {i}")
        for i in range(101):
            run.log_output(b"x", f"out {i}")
    (read,) = mlotel_runs.runs
    assert (len(read.inputs), len(read.outputs)) == (101, 101)
    assert read.inputs[-1].digest == manifest_digest([("in 100", ""), ("in 101", "")])
    assert read.outputs[-1].digest == manifest_digest([("out 100", "blake3:" + blake3.blake3(b"x").hexdigest())])


def test_a_thousand_inputs_never_cost_the_runs_identity(mlotel_runs: CapturedRuns) -> None:
    """Names, pipeline and state stand on the run as ever."""
    with mlotel.component("a", pipeline="p") as run:
        for i in range(1000):
            run.log_input(b"x", f"in {i}")
    (read,) = mlotel_runs.runs
    assert (read.component, read.pipeline, read.state) == ("a", "p", "ok")
