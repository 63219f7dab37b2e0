"""`mlotel diff`: what differs between two runs."""

from __future__ import annotations

import re

import pytest
from pipelines import Io, digest
from test_explain import of, validate


@pytest.fixture
def two(book, store):
    """Two runs of train, an hour of the book apart, that differ in most things."""
    same = {"mlotel.code.digest": "blake3:" + "c" * 64, "mlotel.environment.digest": "blake3:" + "e" * 64}
    book.run(
        "train",
        ["features", "weather"],
        [Io("model a", name="model")],
        params={"depth": 3, "seed": 1},
        metrics={"rmse": 10.0, "auc": 0.8},
        attributes={**same, "host.name": "one", "mlotel.run.memory.peak": 1_000_000},
    )
    book.run("other")
    book.run(
        "train",
        [Io("features 2", name="features", rows=15), Io("weather", name="climate")],
        [Io("model b", name="model")],
        params={"depth": 4, "rate": 0.5},
        metrics={"rmse": 12.5, "auc": 0.8},
        attributes={**same, "host.name": "two", "mlotel.run.memory.peak": 1_500_000},
        state="failed",
        error={"type": "ValueError", "message": "no"},
    )
    return store()


def ids(book):
    return [run.run_id for run in book.made if run.component == "train"]


def test_the_explanation_comes_first_and_then_each_part(mlotel, two, book):
    """One table for each part in which something differs."""
    before, after = ids(book)
    short = {each: digest(each)[:19] for each in ("features", "features 2", "weather", "model a", "model b")}
    answer = mlotel("diff", before, after[:8], "--store", two)

    assert answer.out.splitlines()[:-1] == [
        "same code and packages; parameters 'depth', 'seed' and 'rate' differ, the likeliest explanation; also input "
        "'features' differs and the host differs",
        f"− train  {before[:8]}  ✓ ok  2023-11-14 22:13:21Z  4 s",
        f"+ train  {after[:8]}  ✗ failed  2023-11-14 22:13:28Z  4 s",
        "Outcome",
        "           BEFORE  AFTER",
        "  state    ok      failed",
        "  error    –       ValueError",
        "  message  –       no",
        "Parameters",
        "         BEFORE  AFTER  CHANGE",
        "  depth  3       4      +1 (+33.3%)",
        "  seed   1       –",
        "  rate   –       0.5",
        "Inputs",
        "                     DIFFERENCE     BEFORE                        AFTER",
        f"  features           other content  10 rows  {short['features']}  15 rows  {short['features 2']}",
        f"  weather → climate  other name     10 rows  {short['weather']}  10 rows  {short['weather']}",
        "Outputs",
        "         DIFFERENCE     BEFORE                        AFTER",
        f"  model  other content  10 rows  {short['model a']}  10 rows  {short['model b']}",
        "Statistics",
        "                       BEFORE  AFTER  CHANGE",
        "  input features rows  10      15     +5 (+50.0%)",
        "Metrics",
        "        BEFORE  AFTER  CHANGE",
        "  rmse  10      12.5   +2.5 (+25.0%)",
        "Time and memory",
        "               BEFORE  AFTER   CHANGE",
        "  peak memory  1 MB    1.5 MB  +500 kB (+50.0%)",
        "Environment",
        "        BEFORE  AFTER",
        "  host  one     two",
    ]


def test_a_component_stands_for_its_last_two_runs(mlotel, two, book):
    """The earlier one is what it was before."""
    named = mlotel("diff", "train", "--store", two, "--format", "json")

    assert named.json == mlotel("diff", *ids(book), "--store", two, "--format", "json").json
    assert [named.json[side]["run_id"] for side in ("before", "after")] == ids(book)


def test_the_document_is_what_the_schema_describes(mlotel, two, book):
    """For runs that differ in everything, that differ in nothing, and that are of two components."""
    first, second = ids(book)
    documents = [
        mlotel("diff", *each, "--store", two, "--format", "json").json
        for each in ((first, second), (second, first), (first, first), (first, of(book, "other")))
    ]
    for document in documents:
        validate("diff", document)
    assert [cause["name"] for cause in documents[0]["causes"]] == [
        "parameters",
        "inputs",
        "environment",
        "code",
        "packages",
    ]
    assert documents[0]["metrics"] == [
        {"key": "rmse", "before": 10.0, "after": 12.5, "absolute": 2.5, "relative": 0.25}
    ]
    assert documents[2]["summary"] == "both are the same run"
    assert all(documents[2][part] == [] for part in ("outcome", "code", "params", "inputs", "metrics", "usage"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["other"], "mlotel: 'other' has one run, and two are compared: name another with `mlotel diff RUN RUN`\n"),
        (["trian"], "mlotel: no component 'trian': did you mean 'train'?\n"),
        (["nothing"], "mlotel: no component 'nothing': name two runs, or a component that `mlotel components` lists\n"),
        (
            ["0123abcd", "train"],
            "mlotel: no run '0123abcd': `mlotel runs` lists the runs; an id needs 4 digits or more\n",
        ),
    ],
)
def test_what_cannot_be_compared_is_said(mlotel, two, arguments, message):
    """Exit code 1 and one line that says what to do."""
    answer = mlotel("diff", *arguments, "--store", two)

    assert (answer.code, answer.out, answer.err) == (1, "", message)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("1", 1, ['"1"', "1"]),
        (True, "true", ["True", '"true"']),
        (0.12345678, 0.12345679, ["0.12345678", "0.12345679"]),
    ],
)
def test_values_that_read_the_same_are_told_apart(mlotel, book, store, before, after, shown):
    """Text stands in quotes, and numbers have all their digits, where they would else be seen as no difference."""
    runs = [book.run("train", params={"x": each}) for each in (before, after)]

    out = mlotel("diff", *(each.run_id for each in runs), "--store", store()).out

    assert re.search(r"^  x  .*$", out, re.MULTILINE)[0].split()[1:3] == shown


def test_hostile_names_stay_text(mlotel, book, store):
    """In the sentence and in the tables."""
    evil = "\x1b[31mred\x07\u202e"
    for content in ("one", "two"):
        book.run(
            evil,
            [Io(content, name=evil)],
            params={evil: content + evil},
            attributes={
                "host.name": content + evil,
                "mlotel.prediction.class.names": [evil],
                "mlotel.prediction.mean": [1],
            },
            metrics={evil: float(len(book.made))},
        )
    path = store()
    answer = mlotel("diff", *(run.run_id for run in book.made), "--store", path)

    assert answer.code == 0
    assert not set(answer.out) & set("\x1b\x07\u202e")
    validate("diff", mlotel("diff", *(run.run_id for run in book.made), "--store", path, "--format", "json").json)


def test_a_narrow_terminal_loses_no_value(mlotel, two, book, monkeypatch):
    """Columns fold, and the change is left out before a value is."""
    monkeypatch.setenv("COLUMNS", "40")
    out = mlotel("diff", *ids(book), "--store", two).out

    lines = [line for line in out.splitlines() if line.startswith("  rmse")]
    assert [line.split()[:3] for line in lines] == [["rmse", "10", "12.5"]]
