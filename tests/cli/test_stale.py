"""Stale inputs, as `show` and `lineage` tell them."""

from __future__ import annotations

import pytest
from pipelines import Io
from test_explain import of, validate

DAY = 86_400 * 10**9


@pytest.fixture
def pipeline(book, store):
    """A model that was trained on features of which there were newer ones, and predictions with a newer model since."""
    old = book.run("featurize", writes=["features"])
    book.run("featurize", writes=["features 2"])
    train = book.run("train", [Io("features", link=old.outputs[0])], ["model"])
    book.run("predict", [Io("model", link=train.outputs[0])], ["predictions"])
    book.run("train", ["features 2"], ["model 2"])
    return store()


def test_show_says_why_and_since_when(mlotel, pipeline, book):
    """One sentence for each reason, which begins by saying whether the run could have known."""
    train = next(run.run_id for run in book.made if run.component == "train")
    told = [mlotel("show", each, "--store", pipeline).out for each in (train, of(book, "predict"), of(book, "train"))]
    featurized, trained = (of(book, component)[:8] for component in ("featurize", "train"))

    ran = f"stale when it ran: featurize had a fresher run than the writer of 'features', {featurized} of 2023-11-14"
    since = f"stale since it ran: train has a fresher run than the writer of 'model', {trained} of 2023-11-14"
    assert f"Stale\n  {ran}" in told[0]
    assert f"Stale\n  {since}" in told[1]
    assert "Stale" not in told[2]


def test_an_old_input_is_told_with_its_age(mlotel, book, store, monkeypatch):
    """In days, with the limit that it is past; by now, it is told since when."""
    book.run("make", writes=["data"])
    book.run("patient", ["data"], attributes={"mlotel.component.stale_after": 3600.0 * 24 * 45})
    book.run("careless", ["data"], attributes={"mlotel.component.stale_after": 0.0})
    book.run("strict", ["data"], attributes={"mlotel.component.stale_after": 0.5})
    path = store()
    written = book.made[0].outputs[0].time_ns
    monkeypatch.setattr("mlotel.inspection._staleness.time_ns", lambda: written + 50 * DAY)
    out = {run.component: mlotel("show", run.run_id, "--store", path).out for run in book.made}

    assert "stale since 2023-12-29 22:13:22Z: 'data' is 50 days old, more than 45 days" in out["patient"]
    assert "stale" not in out["careless"]
    assert "stale when it ran: 'data' was 8 seconds old, more than 0.5 seconds" in out["strict"]


def test_the_tree_marks_the_runs(mlotel, pipeline, book):
    """What held when a run began in a sentence, what came to hold later in few words, both ways."""
    back = mlotel("lineage", "predictions", "--store", pipeline).out.splitlines()
    on = mlotel("lineage", "features", "--forward", "--store", pipeline).out.splitlines()

    for lines in (back, on):
        told = [line.lstrip("│├└─ ") for line in lines if "stale" in line]
        assert sorted(line.split(" ", 3)[1] for line in told) == ["since", "when"]
        assert "stale since it ran: 'model'" in told
    assert back.index("stale since it ran: 'model'") == 2


def test_the_table_has_a_column(mlotel, pipeline):
    """Where anything is stale."""
    lines = mlotel("lineage", "predictions", "--format", "table", "--store", pipeline).out.splitlines()
    fresh = mlotel("lineage", "features 2", "--format", "table", "--store", pipeline).out

    assert lines[0].split()[-1] == "STALE"
    assert {line.split()[1]: line.rpartition("  ")[2] for line in lines[1:4]} == {
        "predict": "since: model",
        "train": "when it ran: features",
        "featurize": "features",
    }
    assert "STALE" not in fresh


def test_the_documents_list_the_reasons(mlotel, pipeline, book):
    """`show` and each run of `lineage` alike, by the schema; lists of runs are not judged."""
    document = mlotel("lineage", "predictions", "--format", "json", "--store", pipeline).json
    validate("lineage", document)
    stale = {run["component"]: run["stale"] for run in document["runs"]}
    writer, fresher = (run for run in book.made if run.component == "featurize")
    train = next(run for run in book.made if run.component == "train")

    assert stale["featurize"] == []
    assert [(each["artifact"], each["when"]) for each in stale["predict"]] == [("model", "since")]
    assert stale["train"] == [
        {
            "artifact": "features",
            "reason": "fresher_run",
            "when": "ran",
            "component": "featurize",
            "run_id": writer.run_id,
            "written": "2023-11-14T22:13:22.000000Z",
            "age_s": (train.start_ns - writer.outputs[0].time_ns) / 1e9,
            "stale_after_s": 30 * 86_400.0,
            "fresher_run_id": fresher.run_id,
            "fresher_start": "2023-11-14T22:13:24.000000Z",
        }
    ]
    shown = mlotel("show", train.run_id, "--format", "json", "--store", pipeline).json
    validate("run", shown)
    assert shown["stale"] == stale["train"]
    assert {run["stale"] for run in mlotel("runs", "--format", "json", "--store", pipeline).json} == {None}


def test_a_threshold_that_is_none_does_not_count(mlotel, book, store):
    """What a hostile or a broken writer says is as good as nothing: thirty days."""
    book.run("make", writes=["data"])
    for said in ("soon", -1.0, True, 1e300, [1.0], float("nan")):
        book.run("use", ["data"], attributes={"mlotel.component.stale_after": said})
    path = store()

    for run in book.made[1:]:
        assert mlotel("show", run.run_id, "--format", "json", "--store", path).json["stale"] == []


def test_hostile_names_stay_text(mlotel, book, store):
    """In every sentence."""
    evil = "\x1b[31mred\x07\u202e"
    first = book.run(evil, writes=[Io("1", name=evil)])
    book.run(evil, writes=[Io("2", name=evil)])
    book.run("use", [Io("1", name=evil, link=first.outputs[0])], ["end"])
    path = store()
    for arguments in (["show", of(book, "use")], ["lineage", "end"], ["lineage", "end", "--format", "table"]):
        answer = mlotel(*arguments, "--store", path)
        assert "stale" in answer.out.lower()
        assert not set(answer.out) & set("\x1b\x07\u202e")
