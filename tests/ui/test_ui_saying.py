"""Flags, notes and labels through the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import Io

import mlotel as package
from mlotel.store.files import FileStore

SOURCES = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parent.parent)}


@pytest.fixture
def scored(book, served):
    """Two models, each with two predictions."""
    for version in ("1", "2"):
        train = book.run("train", ["features"], [f"model {version}"], version=version)
        for month in ("a", "b"):
            book.run(
                "predict",
                [Io(f"model {version}", link=train.outputs[0])],
                [Io(f"{month} {version}", type="predictions")],
            )
    return served(book)


def kinds(said):
    return [(each["kind"], each["artifact"], each["label"], each["text"], each["author"]) for each in said]


def test_what_is_written_is_read_back(scored, book):
    """With the run, latest first."""
    train, predict = book.made[0], book.made[1]
    for path, members in (
        ("/api/notes", {"what": f"run:{train.run_id}", "text": "first\nsecond", "author": "ana"}),
        ("/api/label", {"what": "name:model 1", "label": "customer-17"}),
        ("/api/flag", {"what": "name:a 1", "why": "too high", "author": "ben"}),
    ):
        assert scored.post(path, members).status == 200

    assert kinds(scored.get(f"/api/runs/{train.run_id}").json["annotations"]) == [
        ("label", "model 1", "customer-17", "", None),
        ("note", None, None, "first\nsecond", "ana"),
    ]
    assert kinds(scored.get(f"/api/runs/{predict.run_id}").json["annotations"]) == [
        ("flag", "a 1", None, "too high", "ben"),
        ("label", "model 1", "customer-17", "", None),
    ]
    assert kinds(scored.get("/api/notes").json) == [("note", None, None, "first\nsecond", "ana")]
    assert scored.get(f"/api/notes?what={predict.run_id}").json == []


def test_flags_are_reviewed_and_taken_back(scored, book):
    """The run behind both flagged outputs and no other comes first."""
    for name in ("a 2", "b 2"):
        scored.post("/api/flag", {"what": f"name:{name}"})

    review = scored.get("/api/review").json
    assert {flag["artifact"] for flag in review["flags"]} == {"a 2", "b 2"}
    assert (review["flagged"], review["unflagged"]) == (2, 2)
    assert review["runs"][0]["run_id"] == book.made[3].run_id
    assert scored.post("/api/unflag", {"what": "name:a 2"}).status == 200
    assert [flag["artifact"] for flag in scored.get("/api/review").json["flags"]] == ["b 2"]
    assert scored.post("/api/unflag", {"what": "name:a 2"}).status == 404


def test_labels_pass_on_and_are_retracted(scored):
    """Everything that was made from what bears one is told."""
    scored.post("/api/label", {"what": "name:model 1", "label": "customer-17"})
    retracted = scored.post("/api/retract", {"label": "customer-17", "why": "asked to", "deadline": "never"})
    assert kinds(retracted.json) == [("retract", None, "customer-17", "asked to", None)]

    (known,) = scored.get("/api/labels").json
    assert (known["label"], known["given"], known["retracted"]["deadline"]) == ("customer-17", 1, None)
    touched = scored.get("/api/labels/touched?label=customer-17").json
    assert {each["name"] for each in touched["artifacts"]} == {"a 1", "b 1"}
    (borne,) = scored.get("/api/labels/of?what=name:a 1".replace(" ", "%20")).json
    assert (borne["label"], borne["inherited"], borne["source"]["name"]) == ("customer-17", True, "model 1")
    assert scored.post("/api/restore", {"label": "customer-17"}).status == 200
    assert scored.post("/api/unlabel", {"what": "name:model 1", "label": "customer-17"}).status == 200
    assert scored.get("/api/labels").json == []


@pytest.mark.parametrize(
    ("path", "members", "status", "said"),
    [
        ("/api/flag", {"what": "nothing"}, 404, "no run or artifact answers"),
        ("/api/flag", {}, 400, "what is missing"),
        ("/api/notes", {"what": "name:a 1", "text": " "}, 400, "a note needs a text"),
        ("/api/notes", {"what": "name:a 1"}, 400, "text is missing"),
        ("/api/label", {"what": "name:a 1", "label": "a\nb"}, 400, "label"),
        ("/api/unlabel", {"what": "name:a 1", "label": "x"}, 404, "was not given the label"),
        ("/api/retract", {"label": "x"}, 404, "nothing was given the label"),
        ("/api/retract", {"label": "x", "deadline": "soon"}, 400, "is no deadline"),
        ("/api/restore", {"label": "x"}, 404, "is not retracted"),
        ("/api/flag", {"what": "name:a 1", "author": "a\nb"}, 400, "author"),
    ],
)
def test_what_cannot_be_written_says_why(scored, path, members, status, said):
    """With the fix, and nothing is written."""
    answer = scored.post(path, members)

    assert (answer.status, said in answer.json["detail"]) == (status, True), answer.json
    assert scored.get("/api/notes").json == []
    assert scored.get("/api/review").json["flags"] == []


def test_the_command_line_reads_what_the_page_wrote(script, served, tmp_path):
    """And the other way round: both write to the store that is read."""
    script(
        """
        import mlotel

        with mlotel.component("train") as run:
            run.log_output(b"model", "model", type="model")
        """
    )
    root = tmp_path / "store"

    def mlotel(*arguments):
        command = [sys.executable, "-m", "mlotel", *arguments, "--store", str(root), "--format", "json"]
        return json.loads(subprocess.run(command, capture_output=True, check=True, env=SOURCES).stdout)

    with FileStore(root) as store:
        client = served(store)
        assert client.post("/api/flag", {"what": "name:model", "why": "wrong"}).status == 200
        assert mlotel("review") == client.get("/api/review").json
        mlotel("unflag", "name:model")
        assert client.get("/api/review").json["flags"] == []


def test_files_of_another_program_are_not_written_to(book, served, tmp_path):
    """What a collector exports can be read, not annotated."""
    from pipelines import otlp_lines

    book.run("train", [], ["model"])
    path = tmp_path / "runs.jsonl"
    path.write_text(otlp_lines(book))
    with FileStore(path) as store:
        answer = served(store).post("/api/flag", {"what": "name:model"})

    assert (answer.status, "another program" in answer.json["detail"]) == (400, True)
