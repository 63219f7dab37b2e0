"""`mlotel dashboards`."""

from __future__ import annotations

import json
from pathlib import Path

COMMITTED = Path(__file__).resolve().parents[2] / "dashboards"


def test_the_files_are_written_and_named(mlotel, tmp_path):
    """Without options they are the committed ones, in dashboards/ below the working directory."""
    answer = mlotel("dashboards")

    written = [Path(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    assert {each.parent for each in written} == {Path("dashboards")}
    assert {each.name: each.read_bytes() for each in written} == {
        each.name: each.read_bytes() for each in COMMITTED.glob("*.json")
    }


def test_they_are_written_anew_beside_what_else_is_there(mlotel, tmp_path):
    """A file of one of their names is replaced; others are left alone."""
    folder = tmp_path / "a" / "b"
    mlotel("dashboards", "--output", folder)
    (folder / "mlotel-drift.json").write_text("old")
    (folder / "ours.json").write_text("ours")

    assert mlotel("dashboards", "-o", folder).code == 0
    assert json.loads((folder / "mlotel-drift.json").read_text())["uid"] == "mlotel-drift"
    assert (folder / "ours.json").read_text() == "ours"


def test_options_are_in_the_queries(mlotel, tmp_path):
    """Selectors, the objective and the jobs."""
    answer = mlotel(
        "dashboards", "--output", tmp_path, "--selector", 'cluster="eu"', "--selector", 'team!="x"',
        "--recorded-selector", 'replica="a"', "--objective", "0.95", "--job", "ml", "--job", "otel",
    )  # fmt: skip
    made = json.loads((tmp_path / "mlotel-pipelines.json").read_text())
    expressions = [target["expr"] for panel in made["panels"] for target in panel.get("targets", [])]
    (objective,) = [each for each in made["templating"]["list"] if each["name"] == "objective"]

    assert answer.code == 0
    assert any('cluster="eu", team!="x"}' in each for each in expressions)
    assert 'min by (job, instance) (up{job=~"ml|otel", replica="a"})' in expressions
    assert objective["current"]["value"] == "0.95"


def test_a_selector_that_is_none_is_refused(mlotel, tmp_path):
    """Nothing is written, and the message shows how to write one."""
    answer = mlotel("dashboards", "--output", tmp_path / "new", "--selector", "cluster=eu")

    assert (answer.code, answer.out) == (2, "")
    assert 'cluster="eu"' in answer.err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_told(mlotel, tmp_path):
    """In one line, with its name."""
    (tmp_path / "file").write_text("")

    answer = mlotel("dashboards", "--output", tmp_path / "file")

    assert answer.code == 2
    assert "file" in answer.err
    assert answer.err.count("\n") == 1
