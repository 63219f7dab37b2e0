"""`mlotel lineage record:KEY` and `mlotel show record:KEY` over a store that real runs wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli_schemas import validator

import mlotel as library
from mlotel.sdk import _runtime
from mlotel.sdk._settings import Settings

SECRET = "a secret of some length"


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model trained on data, and predictions by it: of two keys in a batch, and one of them again while serving."""
    monkeypatch.setattr(_runtime, "_settings", Settings(environment={}))

    def run(**settings: Any) -> Path:
        root = tmp_path / "store"
        library.configure(store=root, **settings)
        model = tmp_path / "delay.bin"
        model.write_bytes(b"weights")
        with library.component("ingest") as ingest:
            ingest.log_output(b"rows", name="flights")
        with library.component("train", version="2.1") as train:
            train.log_input(b"rows", name="flights")
            train.log_output(model, name="delay", type="model")
        with library.component("score") as score:
            score.log_predictions(
                [0.25, 0.75],
                keys=["order-1", "order-2"],
                model=model,
                version="2.1",
                probabilities=np.array([0.9, 0.8]),
            )
        with library.component("serve") as serve:
            serve.log_predictions(["late"], keys=["order-2"], model=model, version="2.1", variant="b")
        library.shutdown()
        return root

    yield run
    library.shutdown()


def test_the_journey_of_a_data_point_is_plain(mlotel: Any, pipeline: Any) -> None:
    """The prediction, its run, the model, the run that trained it and that run's data stand in one answer."""
    answer = mlotel("lineage", "record:order-2", "--store", pipeline())

    assert answer.code == 0
    for said in ("order-2", "late  (variant b)", "(the latest of 2)", "delay.bin 2.1  blake3:", "train 2.1  "):
        assert said in answer.out
    tree = answer.out[answer.out.index("\nserve  ") :]
    places = [tree.index(name) for name in ("serve", "delay", "train", "flights", "ingest")]
    assert places == sorted(places)


def test_the_commit_of_the_code_that_trained_the_model(mlotel: Any, pipeline: Any) -> None:
    """The run that trained the model is named with the commit of its code, as git tells it."""
    import subprocess

    from mlotel import provenance

    root = pipeline()
    commit = provenance.git().commit
    answer = mlotel("lineage", "record:order-1", "--store", root)

    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    if told.returncode == 0 and commit is not None:
        assert commit == told.stdout.strip()
    (line,) = [line for line in answer.out.splitlines() if "trained by" in line]
    assert (commit is None) == ("at commit" not in line)
    assert commit is None or f"at commit {commit[:12]}" in line


def test_the_documents_are_what_the_schemas_describe(mlotel: Any, pipeline: Any) -> None:
    """Both commands print the record beside the run, and no other command's document has one."""
    root = pipeline()
    lineage = mlotel("lineage", "record:order-1", "--store", root, "--format", "json").json
    shown = mlotel("show", "record:order-1", "--store", root, "--format", "json").json

    validator("lineage").validate(lineage)
    validator("run").validate(shown)
    assert lineage["record"] == shown["record"]
    assert (lineage["record"]["value"], lineage["record"]["probability"], lineage["record"]["predictions"]) == (
        0.25,
        0.9,
        1,
    )
    assert lineage["root"] == lineage["record"]["run_id"] == shown["run_id"]
    assert {run["component"] for run in lineage["runs"]} == {"ingest", "train", "score"}
    assert "record" not in mlotel("lineage", shown["run_id"], "--store", root, "--format", "json").json


def test_a_time_says_which_prediction(mlotel: Any, pipeline: Any) -> None:
    """--until takes an earlier prediction, and what lies behind that is followed however old it is."""
    root = pipeline()
    runs = {run["component"]: run for run in mlotel("runs", "--store", root, "--format", "json").json}

    answer = mlotel(
        "lineage", "record:order-2", "--until", runs["serve"]["start"], "--store", root, "--format", "json"
    ).json
    since = mlotel(
        "lineage", "record:order-2", "--since", runs["serve"]["start"], "--store", root, "--format", "json"
    ).json

    assert (answer["record"]["value"], answer["record"]["run_id"]) == (0.75, runs["score"]["run_id"])
    assert (since["record"]["value"], since["record"]["predictions"]) == ("late", 1)
    assert {run["component"] for run in since["runs"]} == {"ingest", "train", "serve"}


def test_a_record_that_is_not_there(mlotel: Any, pipeline: Any) -> None:
    """Exit code 1 and one line that says what would have kept it; nothing of the key is a command to the terminal."""
    for command in ("lineage", "show"):
        answer = mlotel(command, "record:\x1b[2Jnobody", "--store", pipeline())
        assert (answer.code, answer.out) == (1, "")
        assert "no prediction for the record" in answer.err
        assert "keys=" in answer.err
        assert "\x1b" not in answer.err


def test_with_a_secret_the_environment_names_it(mlotel: Any, pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLOTEL_RECORD_KEY_SECRET is what the command line hashes keys with; without it nothing is found."""
    root = pipeline(record_key_secret=SECRET)

    assert mlotel("lineage", "record:order-1", "--store", root).code == 1
    monkeypatch.setenv("MLOTEL_RECORD_KEY_SECRET", SECRET)
    answer = mlotel("lineage", "record:order-1", "--store", root)
    assert answer.code == 0
    assert "0.25  (probability 0.9)" in answer.out


def test_files_that_cannot_be_read_are_told(mlotel: Any, pipeline: Any) -> None:
    """A damaged file of predictions is named on standard error beside the answer."""
    root = pipeline()
    folder = root / "predictions" / "model=delay.bin" / "day=2026-01-01"
    folder.mkdir(parents=True)
    (folder / "part-1.parquet").write_bytes(b"PAR1 is not all")

    answer = mlotel("lineage", "record:order-1", "--store", root)

    assert answer.code == 0
    assert "part-1.parquet cannot be read" in answer.err


def test_hostile_names_stay_text(mlotel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escapes in a label, a variant or a model's name do not reach the terminal."""
    monkeypatch.setattr(_runtime, "_settings", Settings(environment={}))
    library.configure(store=tmp_path / "store")
    with library.component("serve") as run:
        run.log_predictions(["\x1b[31mred"], keys=["\x1b]0;x\x07"], model="\x1b[2J", version="\x9b1", variant="\u202eb")
    library.shutdown()

    answer = mlotel("lineage", "record:\x1b]0;x\x07", "--store", tmp_path / "store")

    assert answer.code == 0
    assert not set("\x1b\x07\x9b\u202e") & set(answer.out)
    assert "red" in answer.out


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_terminal(mlotel: Any, pipeline: Any, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """No line of the prediction is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(width))

    answer = mlotel("show", "record:order-2", "--store", pipeline())

    head = answer.out.partition("What\n")[0]
    assert max(map(len, head.splitlines())) <= width
