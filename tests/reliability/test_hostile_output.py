"""Whatever things are called, what is shown, written and offered about them stays text."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1] / "lineage"))

from hostile_texts import PIECES, storable
from pipelines import Book, Io, otlp_lines

import mlotel
from mlotel import sdk
from mlotel.cli import main

EXAMPLES = 200 if os.environ.get("MLOTEL_SOAK") else 8
# What a terminal, or an editor that shows a file, might obey
COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def called(name: str) -> Book:
    """Runs and artifacts that are all called the same, in each of their texts."""
    book = Book()
    made = {
        "pipeline": name,
        "version": name,
        "params": {name: name},
        "metrics": {name: 1.0},
        "tags": {name: name},
        "git": {"commit": name, "branch": name, "repository": name},
        "attributes": {"mlotel.component.tags": [name], "mlotel.component.owner": name, "host.name": name},
    }
    first = book.run("first", ["raw"], [Io("x", name=name, uri=f"file:///{name}", note=name, type=name)], **made)
    read = Io("x", name=name, link=first.outputs[0])
    book.run(name, [read], [Io("y", name="result")], error={"type": name, "message": name}, state="failed", **made)
    book.run(name, [read], [Io("z", name="result")], **made)
    return book


def printed(*arguments: str) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.raises(SystemExit) as exited:
        main(list(arguments))
    assert exited.value.code in (0, 1, None), out.buffer.getvalue().decode()
    return out.buffer.getvalue().decode()


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.data: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [pair for pair in attrs if pair[0] != "content"]))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1] == ("script", [("type", "application/json"), ("id", "lineage-document")]):
            self.data.append(data)


@given(name=storable.filter(lambda name: 0 < len(name) <= 255))
@example(name="\x1b[31m\x9b\u202e\u2028</script>")
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_commands_print_text(name: str, tmp_path: Path) -> None:
    """In tables, trees and JSON no character is left that means something to a terminal or turns text around."""
    book = called(name)
    store = tmp_path / "runs.jsonl"
    store.write_text(otlp_lines(book))
    before, after = (run.run_id for run in book.made[1:])
    for command in (
        ["runs"],
        ["components"],
        ["tags"],
        ["show", after],
        ["explain", before],
        ["diff", before, after],
        ["lineage", after],
        ["lineage", after, "-f", "table"],
        ["lineage", after, "-f", "mermaid"],
        ["lineage", after, "-f", "openlineage"],
        ["lineage", after, "-f", "json"],
        ["runs", "-f", "json"],
    ):
        out = printed(*command, "--store", str(store))
        assert not COMMANDS.search(out), command
    assert {run["component"] for run in json.loads(out)} == {"first", name}  # and JSON loses nothing


@given(name=storable.filter(lambda name: 0 < len(name) <= 255))
@example(name='"></h1><script>alert(1)</script><!--&lt;')
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a page is large: to find the shortest name takes minutes
)
def test_pages_have_the_elements_that_they_always_have(name: str, tmp_path: Path) -> None:
    """By a parser of HTML: no name adds one, or an attribute, and the document in it says what it should."""
    pages = []
    for each in (name, "plain"):
        book = called(each)
        (tmp_path / "runs.jsonl").write_text(otlp_lines(book))
        shown = printed("lineage", book.made[-1].run_id, "-f", "html", "--store", str(tmp_path / "runs.jsonl"))
        pages.append(Elements(shown))
    assert pages[0].found == pages[1].found
    assert name in {run["component"] for run in json.loads("".join(pages[0].data))["runs"]}


def test_labels_that_are_offered_for_scraping_are_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Prometheus' own parser of the format: one series for each name, under that name."""
    monkeypatch.setenv("MLOTEL_STORE", str(tmp_path))
    monkeypatch.setattr(mlotel.scrape, "_exposure", None)
    names = {each.encode("utf-8", "replace").decode() for each in PIECES}
    server = mlotel.scrape.start_http_server(0)
    try:
        for name in names:
            with mlotel.component("a", version=f"v{name}") as run:
                run.log_metrics({name: 1.0})
                run.log_predictions([name])
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as answer:
            offered = list(text_string_to_metric_families(answer.read().decode()))
    finally:
        server.close()
        sdk.read_metrics(None)
    found = {
        label: {sample.labels[label] for family in offered for sample in family.samples if label in sample.labels}
        for label in ("mlotel_metric_name", "mlotel_prediction_class")
    }
    assert found == {label: {name[:255] for name in names} for label in found}
    assert {name for family in offered for name in [family.name] if not name.startswith(("mlotel_", "target"))} == set()
