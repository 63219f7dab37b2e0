"""Reads of one artifact by many runs: each is what its own line says, whatever the lines before it had in common."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from otlp_lines import RunLines, digest, link_to, span_line

from mlotel.model import Artifact
from mlotel.semconv import attributes as A
from mlotel.store.memory import MemoryStore

RUNS = 2
FIELDS = ("span_id", "time_ns", "direction", "run_id", "name", "digest", "rows")


def said(line: bytes) -> dict[str, Any]:
    """What a line of one I/O span says, by the standard library; of a key that stands twice, what it says last."""
    span = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    attributes = {each["key"]: each["value"] for each in span["attributes"]}
    rows = attributes.get(A.MLOTEL_ARTIFACT_ROWS)
    links = span.get("links") or [{}]
    return {
        "span_id": span["spanId"].lower(),
        "time_ns": int(span["startTimeUnixNano"]),
        "direction": attributes[A.MLOTEL_IO_DIRECTION]["stringValue"],
        "run_id": attributes[A.MLOTEL_RUN_ID]["stringValue"].lower(),
        "name": attributes[A.MLOTEL_ARTIFACT_NAME]["stringValue"],
        "digest": attributes[A.MLOTEL_ARTIFACT_DIGEST]["stringValue"],
        "rows": rows and int(rows["intValue"]),
        "link": links[0].get("spanId"),
        "drift": attributes.get(A.MLOTEL_DRIFT_ALARM, {}).get("boolValue"),
    }


def read_back(artifact: Artifact) -> dict[str, Any]:
    found = {field: getattr(artifact, field) for field in FIELDS}
    return {
        **found,
        "link": artifact.link and artifact.link.span_id,
        "drift": artifact.drift and artifact.drift.alarm,
    }


@st.composite
def io_spans(draw: st.DrawFn) -> dict[str, Any]:
    """A span that reads or writes one of two artifacts, in one of several shapes."""
    run = RunLines(draw(st.integers(1, RUNS)))
    name = draw(st.sampled_from(("data", 'a "},"startTimeUnixNano":"1","b":{"', '{"key":"mlotel.artifact.')))
    links = draw(st.sampled_from(((), [link_to(RunLines(9).span(), **{A.MLOTEL_LINK_TYPE: "consumes"})])))
    rows = {A.MLOTEL_ARTIFACT_ROWS: draw(st.sampled_from((1, 2)))}
    span: dict[str, Any] = run.read(name, digest(draw(st.sampled_from("ab"))), links=links, **rows)
    span["spanId"] = f"{draw(st.integers(1, 2**64 - 1)):016x}"
    span["startTimeUnixNano"] = draw(st.sampled_from((str, int)))(draw(st.integers(1, 2**62)))
    attributes = span["attributes"]
    by_key = {each["key"]: each for each in attributes}
    by_key[A.MLOTEL_IO_DIRECTION]["value"] = {"stringValue": draw(st.sampled_from(("input", "output")))}
    shape = draw(st.integers(0, 5))
    if shape == 1:  # a backend may hand attributes out in another order
        span["attributes"] = draw(st.permutations(attributes))
    elif shape == 2:  # of two, the last holds
        again = draw(st.sampled_from((A.MLOTEL_IO_DIRECTION, A.MLOTEL_RUN_ID)))
        value = {"stringValue": "output" if again == A.MLOTEL_IO_DIRECTION else RunLines(RUNS + 1).run_id}
        attributes.append({"key": again, "value": value})
    elif shape == 3:  # ids in capitals
        span["spanId"] = span["spanId"].upper()
    elif shape == 4:  # what the artifact was found to be stands before its name
        attributes.insert(2, {"key": A.MLOTEL_DRIFT_ALARM, "value": {"boolValue": draw(st.booleans())}})
    elif shape == 5:  # an artifact's attribute within another attribute
        by_key[A.MLOTEL_IO_DIRECTION]["value"]["kvlistValue"] = {"values": [by_key[A.MLOTEL_ARTIFACT_NAME]]}
    return span


def span_id(each: dict[str, Any]) -> str:
    return str(each["span_id"])


@settings(max_examples=300, deadline=None)
@given(st.lists(io_spans(), min_size=1, max_size=12, unique_by=lambda span: span["spanId"].lower()))
def test_each_is_what_its_line_says(spans: list[dict[str, Any]]) -> None:
    lines = [span_line(span) for span in spans]
    store = MemoryStore()
    for line in lines:
        store.append(line)
    expected = sorted(map(said, lines), key=span_id)
    names = {each["name"] for each in expected}
    found = [read_back(each) for name in names for each in store.find_artifacts(name=name)]
    assert sorted(found, key=span_id) == expected
