"""`mlotel profile`: a table's statistics for people and for programs."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_cli_schemas import validator


@pytest.fixture
def flights(tmp_path):
    path = tmp_path / "flights.parquet"
    table = pa.table(
        {
            "delay": pa.array([-5.0, 0.0, 15.0, None, float("nan"), 20.0, float("inf"), 60.0]),
            "origin": ["JFK", "EWR", "JFK", "LGA", "JFK", "EWR", None, "JFK"],
            "tail\x1b[2J": ["N1", "N22", "N1", "N333", "N1", "N1", "N1", "N1"],
        }
    )
    pq.write_table(table, path)
    return path


def test_columns_are_told_in_a_table(mlotel, flights):
    """Share of missing values, extremes, median, mean; texts are not told, and names reach no terminal as commands."""
    answer = mlotel("profile", flights)

    assert answer.code == 0
    head, delay, origin, tail, caption = answer.out.splitlines()
    assert head.split()[:8] == ["COLUMN", "TYPE", "MISSING", "DISTINCT", "MIN", "MEDIAN", "MEAN", "MAX"]
    assert delay.split()[:10] == ["delay", "double", "25.0", "%", "6", "-5", "15", "18", "60", "22.9347"]
    assert origin.split() == ["origin", "string", "12.5", "%", "3", "3"]
    assert tail.split()[0] == "tail[2J"
    assert caption == f"{flights} · 8 rows × 3 columns"
    assert "JFK" not in answer.out


def test_texts_are_told_to_who_asks(mlotel, flights):
    """With how often they occur."""
    assert "JFK (50.0 %), EWR (25.0 %), LGA (12.5 %)" in mlotel("profile", flights, "--texts").out


def test_groups_follow_the_whole(mlotel, flights):
    """One table each, the largest first; null is a group of its own."""
    titles = [
        line for line in mlotel("profile", flights, "--by", "origin").out.splitlines() if line.startswith("origin =")
    ]

    assert titles == [
        "origin = JFK · 4 rows",
        "origin = EWR · 2 rows",
        "origin = LGA · 1 row",
        "origin = missing · 1 row",
    ]


def test_groups_that_are_too_many_are_told(mlotel, tmp_path):
    """Twenty in a table, a hundred as JSON, the rows of all others as one."""
    values = np.repeat(np.arange(130), 2)
    pq.write_table(pa.table({"a": values, "b": values % 1}), tmp_path / "many.parquet")
    answer = mlotel("profile", tmp_path / "many.parquet", "--by", "a", "--by", "b")
    document = mlotel("profile", tmp_path / "many.parquet", "--by", "a", "--by", "b", "--format", "json").json

    assert "a = 0, b = 0 · 2 rows" in answer.out
    assert "80 more groups: --format json tells all" in answer.out
    assert "all other values of a, b · 60 rows" in answer.out
    assert (len(document["groups"]), document["other"]["rows"], document["rows"]) == (100, 60, 260)
    validator("profile").validate(document)


def test_programs_get_what_the_schema_describes(mlotel, flights):
    """The document of the profile, without texts."""
    answer = mlotel("profile", flights, "--by", "origin", "--format", "json")

    validator("profile").validate(answer.json)
    delay = answer.json["columns"][0]
    assert (delay["null"], delay["nan"], delay["infinite"], delay["zero"], delay["negative"]) == (1, 1, 1, 1, 1)
    assert [group["key"] for group in answer.json["groups"]][:2] == [{"origin": "JFK"}, {"origin": "EWR"}]
    assert "N333" not in answer.out


def test_folders_are_one_table(mlotel, flights):
    """All files in them."""
    (flights.parent / "day=1").mkdir()
    flights.rename(flights.parent / "day=1" / "part.parquet")

    assert mlotel("profile", flights.parent, "--format", "json").json["columns"][-1]["column"] == "day"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.parquet"], "nothing.parquet: cannot be read as a table"),
        (["table.csv"], "not a table file (known suffixes"),
        (["flights.parquet", "--by", "orign"], "did you mean 'origin'?"),
    ],
)
def test_bad_questions_end_with_2(mlotel, flights, arguments, said):
    """One line that says what to do."""
    answer = mlotel("profile", *arguments)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_the_extra_is_named_where_it_is_missing(mlotel, flights, monkeypatch):
    """With the command that installs it."""
    from mlotel.profiling._sketches import library

    monkeypatch.setitem(sys.modules, "datasketches", None)
    library.cache_clear()
    answer = mlotel("profile", flights)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "mlotel: datasketches is not installed: pip install 'mlotel[profile]'\n"
