"""`mlotel label`, `unlabel`, `labels`, `retract` and `restore`, on a store that a real pipeline wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from test_cli_schemas import validator

PIPELINE = """
import mlotel
with mlotel.component("ingest") as run:
    run.log_input(b"raw", "raw", labels=["customer-17"])
    run.log_output(b"clean", "clean")
with mlotel.component("train") as run:
    run.log_input(b"clean", "clean")
    run.log_output(b"weights", "model", type="model")
with mlotel.component("score") as run:
    run.log_input(b"weights", "model", type="model")
    run.log_predictions([0.1, 0.2, 0.3], model="delays")
    run.log_output(b"scores", "scores", type="predictions")
with mlotel.component("other") as run:
    run.log_output(b"unrelated", "unrelated")
"""


@pytest.fixture
def recorded(script, tmp_path):
    """The path of a store in which a raw file bears a label."""
    script(PIPELINE)
    return tmp_path / "store"


def test_what_something_bears_is_listed_with_where_it_comes_from(mlotel, recorded):
    """Its own labels first."""
    assert (
        mlotel("label", "name:scores", "checked", "--why", "by hand", "--author", "ann", "--store", recorded).code == 0
    )

    found = mlotel("labels", "name:scores", "--store", recorded, "--format", "json").json

    assert [(each["label"], each["inherited"], each["source"]["name"]) for each in found] == [
        ("checked", False, "scores"),
        ("customer-17", True, "raw"),
    ]
    validator("labels").validate(found)
    table = mlotel("labels", "name:scores", "--store", recorded).out
    assert "itself" in table
    assert "raw (blake3:" in table
    assert "no labels" in mlotel("labels", "name:unrelated", "--store", recorded).out


def test_all_labels_are_listed(mlotel, recorded):
    """With how many things were given each, and whether it is retracted."""
    mlotel("label", "name:clean", "a", "--store", recorded)
    mlotel("label", "name:scores", "a", "--store", recorded)
    mlotel("retract", "a", "--why", "gone", "--deadline", "never", "--store", recorded)

    found = mlotel("labels", "--store", recorded, "--format", "json").json

    assert [(each["label"], each["given"]) for each in found] == [("a", 2), ("customer-17", 1)]
    assert (found[0]["retracted"]["text"], found[1]["retracted"]) == ("gone", None)
    validator("labels").validate(found)
    assert "no deadline: gone" in mlotel("labels", "--store", recorded).out


def test_a_retraction_lists_everything_downstream(mlotel, recorded):
    """Artifacts, models, runs and predictions; nothing that has nothing to do with it."""
    answer = mlotel("retract", "customer-17", "--why", "consent withdrawn", "--store", recorded)
    found = mlotel("retract", "customer-17", "--deadline", "12h", "--store", recorded, "--format", "json").json

    assert [each["name"] for each in found["bearers"]] == ["raw"]
    assert [each["name"] for each in found["artifacts"]] == ["clean", "model", "scores"]
    assert found["models"] == [found["artifacts"][1]["id"]]
    assert [each["component"] for each in found["runs"]] == ["ingest", "train", "score"]
    assert (found["predictions"], found["partial"]) == (3, False)
    validator("touched").validate(found)
    assert "3 artifacts, 1 model among them, 3 runs, 3 predictions" in answer.out
    assert "unrelated" not in answer.out


@pytest.mark.parametrize(
    ("deadline", "days"), [([], 30), (["--deadline", "2d"], 2), (["--deadline", "0d"], 0), (["--deadline", "36h"], 1.5)]
)
def test_a_deadline_counts_from_now(mlotel, recorded, deadline, days):
    """30 days if it is not said."""
    before = datetime.now(UTC)
    found = mlotel("retract", "customer-17", *deadline, "--store", recorded, "--format", "json").json
    after = datetime.now(UTC)

    told = datetime.fromisoformat(found["retracted"]["deadline"]) - timedelta(days=days)
    assert before - timedelta(seconds=1) <= told <= after


def test_a_deadline_may_be_a_time_or_none(mlotel, recorded):
    """RFC 3339, or never."""
    time = mlotel("retract", "customer-17", "--deadline", "2031-05-01", "--store", recorded, "--format", "json").json
    never = mlotel("retract", "customer-17", "--deadline", "never", "--store", recorded, "--format", "json").json

    assert time["retracted"]["deadline"] == "2031-05-01T00:00:00.000000Z"
    assert never["retracted"]["deadline"] is None
    validator("touched").validate(never)


def test_a_label_can_be_restored_and_taken_away(mlotel, recorded):
    """And nothing bears it any more."""
    mlotel("retract", "customer-17", "--store", recorded)
    restored = mlotel("restore", "customer-17", "--why", "by mistake", "--store", recorded, "--format", "json").json
    assert (restored["retracted"], len(restored["artifacts"])) == (None, 3)
    validator("touched").validate(restored)

    taken = mlotel("unlabel", "name:raw", "customer-17", "--store", recorded, "--format", "json").json
    assert [(each["kind"], each["label"]) for each in taken] == [("unlabel", "customer-17")]
    validator("annotations").validate(taken)
    assert mlotel("labels", "--store", recorded, "--format", "json").json == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["retract", "costumer-17"], 1, "did you mean 'customer-17'?"),
        (["retract", "customer-17", "--deadline", "soon"], 2, "'soon' is no deadline"),
        (["restore", "customer-17"], 1, "is not retracted"),
        (["label", "name:raw", ""], 2, "a label must have 1 to 255 characters"),
        (["label", "name:raw", "a\x1b[0m"], 2, "control character"),
        (["label", "nothing", "a"], 1, "no run or artifact answers"),
        (["unlabel", "name:clean", "customer-17"], 1, "was not given the label"),
        (["labels", "nothing"], 1, "no run or artifact answers"),
    ],
)
def test_what_cannot_be_done_says_why(mlotel, recorded, arguments, code, says):
    """1 where nothing answers, 2 for what makes no sense; nothing on standard output."""
    answer = mlotel(*arguments, "--store", recorded)

    assert (answer.code, answer.out) == (code, "")
    assert says in answer.err


def test_long_lists_are_cut_and_say_so(mlotel, script, tmp_path):
    """--format json has all of it."""
    script(
        """
        import mlotel
        with mlotel.component("split") as run:
            run.log_input(b"raw", "raw", labels=["a"])
            for number in range(30):
                run.log_output(f"part {number}".encode(), f"part {number}")
        """
    )

    out = mlotel("retract", "a", "--store", tmp_path / "store").out

    assert "… and 10 earlier ones: --format json lists all" in out
    assert "30 artifacts, 0 models among them, 1 run, 0 predictions" in out


def test_exec_refuses_an_input_where_it_is_asked(mlotel, tmp_path, monkeypatch):
    """Its command does not run, and the run has failed of it; unasked it warns."""
    monkeypatch.setenv("MLOTEL_STORE", str(tmp_path / "kept"))
    data, made = tmp_path / "data.csv", tmp_path / "made"
    data.write_text("a,b\n1,2\n")
    step = ["exec", "--component", "copy", "--input", data]
    assert mlotel(*step, "--", "touch", made).code == 0
    made.unlink()
    mlotel("label", data, "a")
    mlotel("retract", "a", "--deadline", "0d")

    refused = mlotel(*step, "--on-retracted", "block", "--", "touch", made)

    assert (refused.code, refused.out, made.exists()) == (2, "", False)
    assert "'data.csv'" in refused.err
    assert mlotel("runs", "--format", "json").json[0]["state"] == "failed"
    assert mlotel(*step, "--", "touch", made).code == 0
    assert made.exists()
