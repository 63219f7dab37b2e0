"""Whatever holds a table, and groups of its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlotel import profile
from mlotel.errors import ArtifactError

TABLE = pa.table({"x": [1.0, 2.5, None, 4.0], "s": ["a", "b", "a", None], "g": [1, 1, 2, 2]})


def of_parquet(folder: Path) -> Any:
    pq.write_table(TABLE, folder / "t.parquet", row_group_size=2)
    return folder / "t.parquet"


def of_feather(folder: Path) -> Any:
    feather.write_feather(TABLE, folder / "t.feather")
    return f"{folder / 't.feather'}"


def of_folder(folder: Path) -> Any:
    (folder / "data" / "deeper").mkdir(parents=True)
    pq.write_table(TABLE.slice(0, 1), folder / "data" / "a.parquet")
    pq.write_table(TABLE.slice(1), folder / "data" / "deeper" / "b.parquet")
    (folder / "data" / "_SUCCESS").write_text("")
    (folder / "data" / ".hidden.parquet").write_text("no Parquet")
    (folder / "data" / "notes.txt").write_text("no table")
    return folder / "data"


def of_duckdb(folder: Path) -> Any:
    import duckdb

    return duckdb.from_arrow(TABLE)


SOURCES: dict[str, Callable[[Path], Any]] = {
    "pyarrow": lambda _: TABLE,
    "stream": lambda _: TABLE.to_reader(max_chunksize=1),
    "polars": lambda _: pl.from_arrow(TABLE),
    "pandas": lambda _: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "duckdb": of_duckdb,
    "parquet": of_parquet,
    "feather": of_feather,
    "folder": of_folder,
    "dataset": lambda folder: ds.dataset(of_parquet(folder)),
    "dataset in memory": lambda _: ds.dataset(TABLE),
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_source_of_a_table_does_not_show(source: str, tmp_path: Path) -> None:
    """One profile, whatever holds the table."""
    assert profile(SOURCES[source](tmp_path)).document() == profile(TABLE).document()


def test_files_of_a_folder_need_not_have_the_same_columns(tmp_path: Path) -> None:
    """What a file lacks is null, of two types the wider counts, and folders can stand for a column."""
    (tmp_path / "year=2013").mkdir()
    (tmp_path / "year=2014").mkdir()
    pq.write_table(pa.table({"x": pa.array([1, 2], pa.int32())}), tmp_path / "year=2013" / "a.parquet")
    pq.write_table(pa.table({"x": pa.array([3], pa.int64()), "y": ["new"]}), tmp_path / "year=2014" / "b.parquet")
    found = profile(tmp_path)
    assert [(each.name, each.rows, each.null) for each in found] == [("x", 3, 0), ("y", 3, 2), ("year", 3, 0)]
    assert (found["x"].type, found["x"].mean, found["year"].min) == ("int64", 2.0, 2013)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    """With a word on what it is."""
    (tmp_path / "t.csv").write_text("x\n1\n")
    (tmp_path / "broken.parquet").write_text("no Parquet")
    for given_, message in (
        (3, "builtins.int is not a table"),
        (tmp_path / "t.csv", "not a table file"),
        (tmp_path / "missing.parquet", "cannot be read as a table"),
        (tmp_path / "broken.parquet", "cannot be read as a table"),
        (tmp_path, "cannot be read as one table"),
        (pd.DataFrame({"x": [1, "one"]}), "cannot be read as an Arrow table"),
        (pa.table([[1], [2]], names=["x", "x"]), "two columns are called 'x': rename one of them"),
    ):
        with pytest.raises(ArtifactError, match=message):
            profile(given_)
    (tmp_path / "broken.parquet").unlink()
    with pytest.raises(ArtifactError, match="no table files in this folder"):
        profile(tmp_path)
    feather.write_feather(TABLE, tmp_path / "t.feather")
    pq.write_table(TABLE, tmp_path / "t.parquet")
    with pytest.raises(ArtifactError, match="Parquet and Arrow files side by side"):
        profile(tmp_path)


def test_columns_are_found_by_name() -> None:
    """A slip is told what there is."""
    found = profile(TABLE)
    assert [each.name for each in found] == ["x", "s", "g"]
    assert found["g"].max == 2
    with pytest.raises(KeyError, match="no column 'X': did you mean"):
        profile(pa.table({"Xx": [1]}))["X"]
    with pytest.raises(KeyError, match="there are"):
        found["nothing"]


def test_groups_are_profiles_of_their_rows() -> None:
    """Each as if its rows were a table of their own, the largest first; the whole is there as well."""
    random = np.random.default_rng(3)
    table = pa.table({"x": random.standard_normal(5_000), "g": random.integers(0, 4, 5_000) ** 2})
    found = profile(table, by="g")
    sizes = [each.profile.rows for each in found.groups]
    assert sizes == sorted(sizes, reverse=True)
    assert (found.by, found.other, sum(sizes)) == (("g",), None, 5_000)
    for each in found.groups:
        (value,) = each.key
        alone = profile(table.filter(pa.compute.equal(table["g"], value)))
        assert each.profile["x"].min == alone["x"].min
        assert each.profile["x"].mean == pytest.approx(alone["x"].mean, rel=1e-9)
        assert found.group(value).rows == alone.rows
    assert found["x"].mean == pytest.approx(profile(table)["x"].mean, rel=1e-9)


def test_groups_by_several_columns_have_several_values() -> None:
    """Null and NaN are the same group: missing."""
    table = pa.table(
        {
            "a": ["x", "x", None, "y", None],
            "b": pa.array([1.0, 1.0, float("nan"), None, None], pa.float64()),
            "n": [1, 2, 3, 4, 5],
        }
    )
    found = profile(table, by=["a", "b"])
    assert {each.key: each.profile["n"].moments.count for each in found.groups if each.profile["n"].moments} == {
        ("x", 1.0): 2,
        (None, None): 2,
        ("y", None): 1,
    }
    with pytest.raises(KeyError, match=r"no group \('z',\) among the 3"):
        found.group("z")


KEYS = st.lists(st.sampled_from("abcdefg"), max_size=60)


@settings(max_examples=60)
@given(keys=KEYS, cut=st.integers(0, 60), most=st.integers(0, 4))
def test_each_group_that_is_told_has_all_its_rows(keys: list[str], cut: int, most: int) -> None:
    """However many there are and wherever the table is cut; all other rows are in `other`."""
    parts = [
        profile(pa.table({"g": pa.array(part, pa.string())}), by="g", most_groups=most)
        for part in (keys[:cut], keys[cut:])
    ]
    for found in (
        profile(pa.table({"g": pa.array(keys, pa.string())}), by="g", most_groups=most),
        parts[0].merge(parts[1]),
    ):
        assert len(found.groups) <= most
        assert all(each.profile.rows == keys.count(str(each.key[0])) for each in found.groups)
        others = 0 if found.other is None else found.other.rows
        assert found.rows == len(keys) == sum(each.profile.rows for each in found.groups) + others
    assert most < len(set(keys)) or profile(pa.table({"g": pa.array(keys, pa.string())}), by="g").other is None


def test_thousands_of_groups_are_one_profile_but_for_the_first() -> None:
    """In a piece that holds each of them once."""
    found = profile(pa.table({"g": [f"{index}" for index in range(60_000)]}), by="g", most_groups=3)
    assert [(each.key, each.profile.rows) for each in found.groups] == [(("0",), 1), (("1",), 1), (("2",), 1)]
    assert found.other is not None
    assert found.other.rows == 59_997


def test_bad_groups_are_refused() -> None:
    """A column that is not there, one of lists, a number that is none."""
    with pytest.raises(ArtifactError, match="no column 'hour' to group by"):
        profile(TABLE, by="hour")
    with pytest.raises(ArtifactError, match="group by one of plain values"):
        profile(pa.table({"x": [[1]]}), by="x")
    with pytest.raises(ValueError, match="most_groups=-1"):
        profile(TABLE, by="g", most_groups=-1)


def test_small_batches_make_the_same_profile() -> None:
    """Also where they cannot be joined, as dictionaries within structs that differ."""
    first, second = (pa.array([text]).dictionary_encode() for text in "ab")
    batches = [
        pa.RecordBatch.from_arrays([pa.StructArray.from_arrays([each], ["d"])], ["s"]) for each in (first, second)
    ]
    found = profile(pa.Table.from_batches(batches))
    assert (found.rows, found["s"].rows) == (2, 2)
    grouped = profile(TABLE.to_reader(max_chunksize=1), by="g")
    assert [(each.key, each.profile.rows) for each in grouped.groups] == [((1,), 2), ((2,), 2)]
