"""The web view over the real Jaeger, in the real browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from backends import Jaeger, eventually, get

from mlotel_stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.browser]

# Two processes that share a file alone.
PIPELINE = """
import mlotel, sys
with mlotel.component("ui-make" if len(sys.argv) == 1 else "ui-use", pipeline="ui") as run:
    if len(sys.argv) == 1:
        run.log_output(b"made for the web view", "ui-made")
    else:
        run.log_input(b"made for the web view", "ui-made")
        run.log_output(b"used by the web view", "ui-result")
    print(run.trace_id)
"""


@pytest.fixture
def address(stack: Stack, jaeger: Jaeger, script: Any) -> Iterator[tuple[str, list[str]]]:
    """The address that `mlotel ui --jaeger` prints, and the traces of two runs that Jaeger has."""
    traces = [
        script(
            PIPELINE,
            *arguments,
            MLOTEL_STORE=None,
            OTEL_EXPORTER_OTLP_ENDPOINT=stack.endpoints["otlp_http"],
            OTEL_SERVICE_NAME="ui-tests",
        ).stdout.strip()
        for arguments in ((), ("use",))
    ]
    eventually(lambda: {span.trace_id for span in jaeger.spans("ui-tests")} >= set(traces))
    command = [sys.executable, "-m", "mlotel", "ui", "--no-open"]
    process = subprocess.Popen(
        [
            *command,
            "--jaeger",
            f"http://{stack.endpoints['jaeger_query_grpc']}",
            "--jaeger-ui",
            stack.endpoints["jaeger_ui"],
        ],
        env=os.environ | {"MLOTEL_STORE": "off"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield next(line.strip() for line in process.stdout if re.search(r"\?token=", line)), traces
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_runs_in_jaeger_are_shown_and_lead_to_their_traces(
    page: Any, jaeger: Jaeger, address: tuple[str, list[str]]
) -> None:
    """Lineage across two traces, with the link from each run to Jaeger's own page of its trace."""
    url, traces = address
    page.goto(url)
    page.get_by_role("link", name="ui-use").first.click()
    page.wait_for_selector("h1:has-text('ui-use')")
    page.get_by_role("link", name="Lineage", exact=True).last.click()
    page.wait_for_selector(".mlotel-lineage")
    page.get_by_text("As tables: 2 runs, 2 artifacts").click()
    table = page.get_by_role("table", name="Runs of the lineage")
    table.get_by_role("link", name="ui-make").click()
    page.wait_for_selector("h1:has-text('ui-make')")
    link = page.get_by_role("link", name="Trace in Jaeger")
    with page.expect_popup() as opened:
        link.click()
    # A Jaeger that is built from its Go module alone has no pages of its own: its API has what the page would show.
    opened.value.wait_for_url(f"{jaeger.url}/trace/{traces[0]}?uiFind=*")
    (trace,) = get(f"{jaeger.url}/api/traces/{traces[0]}")["data"]
    found = parse_qs(urlsplit(opened.value.url).query)["uiFind"]
    assert [span["operationName"] for span in trace["spans"] if span["spanID"] in found] == ["ui-make"]
