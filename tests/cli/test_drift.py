"""`mlotel drift` and `mlotel reference`: answers, formats, exit codes."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from mlotel.drift import Reference, compare
from mlotel.drift_documents import drift_document

if TYPE_CHECKING:
    from conftest import Mlotel


def table(rows: int, seed: int, shift: float = 0.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "age": pa.array(rng.gamma(4.0, 10.0, rows), mask=rng.random(rows) < 0.02),
            "score": rng.normal(shift, 1, rows),
            "city": rng.choice(["Rome", "Oslo"], rows),
            "hour": rng.integers(0, 24, rows),
        }
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Tables in files: a reference, one like it, and one that changed."""
    pq.write_table(table(5_000, 1), tmp_path / "then.parquet")
    pyarrow.csv.write_csv(table(3_000, 2), tmp_path / "like.csv")
    (tmp_path / "changed").mkdir()
    pyarrow.feather.write_feather(table(3_000, 3, 1.0), tmp_path / "changed" / "part.feather")
    return tmp_path


def validate(document: Any, name: str) -> None:
    schema = json.loads((files("mlotel") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)


def test_exit_codes(mlotel: Mlotel, data: Path) -> None:
    """0 where nothing changed, 3 where something did, 2 where it cannot be told."""
    assert mlotel("drift", data / "then.parquet", data / "like.csv").code == 0
    assert mlotel("drift", data / "then.parquet", data / "changed").code == 3
    for answer in (
        mlotel("drift", data / "then.parquet", data / "none.csv"),
        mlotel("drift", data / "none.json", data / "like.csv"),
        mlotel("drift", data / "then.parquet", data / "like.csv", "--kind", "hour"),
        mlotel("drift", data / "then.parquet", data / "like.csv", "--kind", "city=numeric"),
        mlotel("drift", data / "then.parquet", data / "like.csv", "--feature", "aeg"),
        mlotel("drift", data / "then.parquet"),
    ):
        assert (answer.code, answer.out) == (2, "")
        assert answer.err


def test_json_is_what_python_finds(mlotel: Mlotel, data: Path) -> None:
    """The document is that of `compare`, as the schema describes it."""
    for current in ("like.csv", "changed"):
        answer = mlotel("drift", data / "then.parquet", data / current, "--format", "json")
        validate(answer.json, "drift")
        expected = drift_document(compare(data / "then.parquet", data / current, moments=True))
        assert answer.json == json.loads(json.dumps(expected))
        assert (answer.code == 3) == answer.json["alarm"]
    assert [each["feature"] for each in answer.json["features"] if each["alarm"]] == ["score"]


def test_strange_data_keeps_to_the_schema(mlotel: Mlotel, tmp_path: Path) -> None:
    """Columns that lack, came, changed their type, are empty or infinite, and windows of no rows."""
    pq.write_table(
        table(2_000, 1).append_column("gone", pa.array([1.0] * 2_000)).append_column("odd", pa.array([np.inf] * 2_000)),
        tmp_path / "then.parquet",
    )
    now = table(2_000, 2).append_column("odd", pa.array(["a"] * 2_000)).append_column("new", pa.nulls(2_000))
    for rows in (2_000, 10, 0):
        pq.write_table(now.slice(0, rows), tmp_path / "now.parquet")
        answer = mlotel("drift", tmp_path / "then.parquet", tmp_path / "now.parquet", "--format", "json")
        validate(answer.json, "drift")
        alarmed = {each["feature"]: each["reasons"] for each in answer.json["features"] if each["alarm"]}
        assert (answer.code, alarmed) == (3, {"gone": ["column_missing"], "odd": ["type_changed"]})


def test_the_table_has_alarms_first(mlotel: Mlotel, data: Path) -> None:
    """A line for each feature, those that alarm above, and the number of alarms and rows below."""
    lines = mlotel("drift", data / "then.parquet", data / "changed").out.splitlines()
    assert lines[0].split()[:2] == ["FEATURE", "VERDICT"]
    assert lines[1].startswith("score")
    assert "alarm: distribution" in lines[1]
    assert sorted(line.split()[0] for line in lines[2:5]) == ["age", "city", "hour"]
    assert lines[-1] == "1 alarm in 4 features · 3,000 rows against 5,000 of the reference"


def test_a_saved_reference_answers_as_its_table(mlotel: Mlotel, data: Path) -> None:
    """Fitting once and comparing often is the same as comparing with the table."""
    saved = mlotel("reference", data / "then.parquet", "-o", data / "reference.json", "--format", "json")
    validate(saved.json, "reference")
    assert Reference.load(data / "reference.json").document() == saved.json
    assert (
        mlotel("drift", data / "reference.json", data / "changed", "--format", "json").json
        == mlotel("drift", data / "then.parquet", data / "changed", "--format", "json").json
    )


def test_what_a_reference_holds_is_shown(mlotel: Mlotel, data: Path) -> None:
    """A line for each feature, with its kind; below, the digest, rows and segments."""
    options = "--kind hour=categorical --window 100 --segments city --model delay --model-version 7 --bins 10"
    made = mlotel(
        "reference", data / "then.parquet", "--output", data / "r.json", *options.split(), "--categories", "30"
    )
    assert made.code == 0
    lines = made.out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["age", "numeric"],
        ["score", "numeric"],
        ["hour", "categorical"],
    ]
    assert lines[4].endswith("· 3 features of 5,000 rows, 2 segments")
    assert mlotel("reference", data / "r.json").out == made.out
    kept = Reference.load(data / "r.json")
    assert (kept.model, kept.model_version, kept.window) == ("delay", "7", 100)
    assert mlotel("drift", data / "r.json", data / "like.csv", "--segment", "Rome").code == 0
    assert "no segment 'Roma': did you mean 'Rome'" in mlotel("drift", data / "r.json", data, "--segment", "Roma").err


def test_what_is_tolerated_can_be_said(mlotel: Mlotel, data: Path) -> None:
    """With a δ of 2 the change is none."""
    answer = mlotel(
        "drift", data / "then.parquet", data / "changed", "--delta", "2", "--feature", "score", "--format", "json"
    )
    assert [each["feature"] for each in answer.json["features"]] == ["score"]
    assert "distribution" not in answer.json["features"][0]["reasons"]


def test_a_file_that_cannot_be_written(mlotel: Mlotel, data: Path) -> None:
    """The answer is one line, and nothing is left behind."""
    answer = mlotel("reference", data / "then.parquet", "-o", data / "no" / "such" / "folder.json")
    assert (answer.code, answer.out) == (2, "")
    assert "could not be read or written" in answer.err
