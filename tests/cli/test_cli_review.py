"""`mlotel flag`, `unflag`, `notes` and `review`, on a store that a real pipeline wrote."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pipelines import Io
from scipy import stats
from test_cli_schemas import validator

PIPELINE = """
import mlotel
with mlotel.component("shared") as run:
    run.log_output(b"lookup", "lookup")
for day in range(4):
    with mlotel.component("featurize", version="2" if day == 2 else "1") as run:
        run.log_input(b"lookup", "lookup")
        run.log_output(f"features {day}".encode(), "features")
    for part in range(3):
        with mlotel.component("score", params={"part": part}) as run:
            run.log_input(f"features {day}".encode(), "features")
            run.log_predictions([0.25], keys=[f"customer {day} {part}"], model="delays")
            run.log_output(f"scores {day} {part}".encode(), f"scores-{day}-{part}", type="predictions")
"""


@pytest.fixture
def recorded(script, tmp_path):
    """The path of a store with four days of a pipeline."""
    script(PIPELINE)
    return tmp_path / "store"


def suspects(document):
    return [(each["rank"], each["component"], each["flagged"], each["unflagged"]) for each in document["runs"]]


def test_a_bad_day_is_found(mlotel, recorded):
    """What its flagged outputs have behind them and others do not comes first, what is shared by all last."""
    flagged = mlotel("flag", "name:scores-2-0", "name:scores-2-1", "--why", "complaints", "--store", recorded)
    assert (flagged.code, flagged.out.count("flagged: scores-2-")) == (0, 2)

    found = mlotel("review", "--store", recorded, "--format", "json").json

    assert suspects(found) == [
        (1, "featurize", 2, 1),
        (2, "score", 1, 0),
        (2, "score", 1, 0),
        (4, "shared", 2, 10),
    ]
    assert (found["flagged"], found["unflagged"]) == (2, 10)
    expected = stats.fisher_exact([[2, 1], [0, 9]], alternative="greater").pvalue
    assert found["runs"][0]["p_value"] == pytest.approx(expected)
    assert found["runs"][0]["likelihood_ratio"] == pytest.approx(10)
    assert [each["likelihood_ratio"] for each in found["runs"][1:]] == [None, None, 1]
    validator("review").validate(found)


def test_the_table_says_what_was_compared(mlotel, recorded):
    """Flags, runs with their share, and the store."""
    mlotel("flag", "name:scores-2-0", "--why", "complaints", "--author", "ann", "--store", recorded)

    out = mlotel("review", "--limit", "2", "--store", recorded).out

    assert "scores-2-0" in out
    assert "complaints" in out
    assert "ann" in out
    assert "1 of 1" in out
    assert "2 of 11" in out
    assert "1 flagged output against 11 others (predictions of score), 3 runs behind them" in out
    assert "shared" not in out


def test_a_prediction_is_flagged_by_its_key(mlotel, recorded):
    """It stands behind the run that made it."""
    flagged = mlotel("flag", "record:customer 2 1", "--store", recorded, "--format", "json").json
    found = mlotel("review", "--store", recorded, "--format", "json").json

    assert suspects(found) == [(1, "score", 1, 0), (2, "featurize", 1, 2), (3, "shared", 1, 11)]
    assert found["kinds"] == [{"what": "predictions", "component": "score", "type": None}]
    assert flagged[0]["target"].startswith("record:")
    validator("annotations").validate(flagged)
    shown = mlotel("show", "record:customer 2 1", "--store", recorded, "--format", "json").json
    assert [each["kind"] for each in shown["annotations"]] == ["flag"]
    validator("run").validate(shown)
    assert mlotel("unflag", "record:customer 2 1", "--store", recorded).code == 0
    assert mlotel("review", "--store", recorded, "--format", "json").json["flags"] == []


def test_a_flag_of_a_run_is_one_of_all_its_outputs(mlotel, recorded):
    """And is taken back as one."""
    run = mlotel("find", "--where", "version", "=", "2", "--store", recorded, "--format", "json").json[0]
    assert mlotel("flag", run["run_id"], "--store", recorded).code == 0

    assert suspects(mlotel("review", "--store", recorded, "--format", "json").json)[0] == (1, "featurize", 1, 0)
    assert "Notes, flags and labels" in mlotel("show", run["run_id"], "--store", recorded).out
    assert mlotel("unflag", run["run_id"], "--why", "no", "--store", recorded).code == 0
    assert mlotel("unflag", run["run_id"], "--store", recorded).code == 1


def test_notes_are_added_and_listed(mlotel, recorded):
    """Latest first, of a run with those about what it read and wrote."""
    run_id = mlotel("runs", "--store", recorded, "--format", "json").json[0]["run_id"]
    added = mlotel("notes", run_id, "first note", "--author", "ann", "--store", recorded, "--format", "json").json
    mlotel("notes", "name:scores-3-2", "second note", "--store", recorded)

    listed = mlotel("notes", run_id, "--store", recorded, "--format", "json").json

    assert [each["text"] for each in listed] == ["second note", "first note"]
    assert listed[1] == added[0]
    validator("annotations").validate(listed)
    table = mlotel("notes", run_id, "--store", recorded).out
    assert table.index("second note") < table.index("first note")
    assert "ann" in table
    assert "no notes" in mlotel("notes", "name:lookup", "--store", recorded).out


def test_a_review_of_nothing_says_so(mlotel, recorded):
    """And how to flag something."""
    assert "nothing is flagged: `mlotel flag" in mlotel("review", "--store", recorded).out
    validator("review").validate(mlotel("review", "--store", recorded, "--format", "json").json)


def test_a_time_range_leaves_flags_out_and_says_so(mlotel, recorded):
    """As everywhere, --since and --until."""
    mlotel("flag", "name:scores-2-0", "--store", recorded)

    answer = mlotel("review", "--until", "2020-01-01", "--store", recorded)

    assert (answer.code, "1 flag left out" in answer.out) == (0, True)
    assert mlotel("review", "--since", "2020-01-01", "--until", "2019-01-01").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["flag", "nothing"], 1, "no run or artifact answers to 'nothing'"),
        (["flag"], 2, "WHAT"),
        (["flag", "record:nobody"], 1, "no prediction for the record 'nobody'"),
        (["unflag", "lookup"], 1, "'lookup' has no flag of its own"),
        (["notes", "nothing"], 1, "no run or artifact answers"),
        (["notes", "lookup", " "], 2, "a note needs a text"),
        (["flag", "lookup", "--why", "x" * 10_001], 2, "at most 10,000 characters"),
        (["flag", "lookup", "--author", "a\nb"], 2, "an author"),
    ],
)
def test_what_cannot_be_done_says_why(mlotel, recorded, arguments, code, says):
    """1 where nothing answers, 2 for what makes no sense; nothing on standard output."""
    answer = mlotel(*arguments, "--store", recorded)

    assert (answer.code, answer.out) == (code, "")
    assert says in answer.err


def test_where_nothing_was_recorded_there_is_nothing_to_flag(mlotel):
    """No store is made."""
    for command in (["flag", "a"], ["notes", "a"], ["review"], ["labels"], ["label", "a", "b"]):
        answer = mlotel(*command)
        assert (answer.code, answer.out) == (1, "")
        assert "no runs in" in answer.err


def test_a_hostile_text_reaches_no_terminal(mlotel, book, store, tmp_path, recorded):
    """What was said is shown without what a terminal may obey, and kept as it is."""
    text = "\x1b]0;owned\x07\x1b[31mred\u202e\nnext \x9b1m"
    mlotel("flag", "name:lookup", "--why", text, "--store", recorded)

    for command in (["review"], ["show", "name:lookup"]):
        out = mlotel(*command, "--store", recorded).out
        assert not set(out) & set("\x1b\x07\u202e\x9b")
    assert mlotel("review", "--store", recorded, "--format", "json").json["flags"][0]["text"] == text


def test_a_collectors_file_is_not_written_to(mlotel, book, store):
    """It can be reviewed, but not flagged."""
    book.run("train", [], [Io("model")])
    path = store()

    assert mlotel("flag", "model", "--store", path).code == 2
    assert mlotel("review", "--store", path).code == 0


def test_the_tables_fit_their_terminal(mlotel, recorded, monkeypatch):
    """At 40, 80 and 200 columns no line is longer."""
    mlotel("flag", "name:scores-2-0", "--why", "many words " * 20, "--author", "somebody", "--store", recorded)
    for width in (40, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = mlotel("review", "--store", recorded).out.splitlines()
        assert max(len(line) for line in lines if "store:" not in line) <= width


def test_the_installed_command_does_it_too(recorded, tmp_path):
    """In processes of their own, one after the other."""

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "mlotel", *arguments, "--store", str(recorded)],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        return done.stdout

    run("flag", "name:scores-2-0", "--why", "bad")
    run("notes", "name:scores-2-0", "a note")

    document = json.loads(run("review", "--format", "json"))
    assert [each["text"] for each in document["flags"]] == ["bad"]
    assert document["runs"][-1]["component"] == "shared"
