"""The one door for tables: what it recognises, how it reads, what it leaves untouched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from mlotel import columnar
from mlotel.columnar import is_table, open_path, open_table
from mlotel.errors import ArtifactError
from mlotel.hashing import fingerprint

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})


class Protocol:
    """A frame of a library nobody knows, which speaks the Arrow protocol."""

    columns = ("a", "b")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return TABLE.__arrow_c_stream__(requested_schema)


class ArrayProtocol:
    """A batch of a library nobody knows."""

    schema = TABLE.schema

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return TABLE.combine_chunks().to_batches()[0].__arrow_c_array__(requested_schema)


class Column:
    """A column of a library nobody knows."""

    name = "b"

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return TABLE.column("b").__arrow_c_stream__(requested_schema)


class SomethingReader:
    """A stream of a library nobody knows."""

    def __init__(self) -> None:
        self.read = 0

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        self.read += 1
        return TABLE.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TABLE,
        lambda: TABLE.combine_chunks().to_batches()[0],
        lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
        lambda: pl.from_arrow(TABLE),
        lambda: duckdb.from_arrow(TABLE),
        Protocol,
        ArrayProtocol,
    ],
)
def test_every_kind_of_table_gives_the_same_rows(make: Any) -> None:
    """Tables, batches, frames, relations and foreign objects of either protocol are read as their rows."""
    obj = make()
    assert is_table(obj)
    source = open_table(obj)
    assert not source.one_shot
    for _ in range(2):
        rows = [row for batch in source.batches() for row in batch.to_pylist()]
        assert rows == TABLE.to_pylist()
    assert source.num_rows in (3, None)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: TABLE.column("b"), ""),
        (lambda: TABLE.column("b").combine_chunks(), ""),
        (lambda: pd.Series(["x", None, "z"], name="b", dtype="string[pyarrow]"), "b"),
        (lambda: pl.Series("b", ["x", None, "z"]), "b"),
        (Column, "b"),
    ],
)
def test_a_single_column_is_a_table_of_one_column(make: Any, name: str) -> None:
    """Series and arrays are tables with one column of their name."""
    source = open_table(make())
    assert (source.schema.names, source.num_rows) == ([name], 3)
    assert fingerprint(make()).digest == fingerprint(TABLE.select(["b"]).rename_columns([name])).digest


def reader_of_duckdb() -> pa.RecordBatchReader:
    relation = duckdb.from_arrow(TABLE)
    # The second name is that of versions before 2.0.
    return relation.to_arrow_reader() if hasattr(type(relation), "to_arrow_reader") else relation.fetch_arrow_reader()


@pytest.mark.parametrize("make", [lambda: TABLE.to_reader(), reader_of_duckdb])
def test_a_stream_is_not_consumed(make: Any) -> None:
    """A reader gets no digest and a note, and its rows are still there."""
    reader = make()
    assert open_table(reader).one_shot
    found = fingerprint(reader)
    assert (found.digest, found.type) == (None, "dataset")
    assert found.note == "no digest: reading this stream for one would consume it"
    assert reader.read_all().num_rows == 3


def test_a_foreign_stream_is_not_even_opened() -> None:
    """A stream of an unknown library, known by its name, is left alone."""
    reader = SomethingReader()
    assert fingerprint(reader).digest is None
    assert reader.read == 0


def test_a_duckdb_relation_can_be_used_after_its_digest() -> None:
    """A relation's query is run again for the digest; the relation itself stays as it was."""
    with duckdb.connect() as connection:
        relation = connection.sql("select * from range(5) t(i)")
        expected = fingerprint(pa.table({"i": pa.array(range(5), pa.int64())}))
        assert fingerprint(relation).digest == expected.digest
        assert [row[0] for row in relation.fetchall()] == list(range(5))


def test_polars_categoricals_count_as_their_text() -> None:
    """Categoricals and enums of polars are text."""
    values = ["u", "v", None, "u"]
    kinds = (pl.String, pl.Categorical, pl.Enum(["v", "u"]))
    digests = {fingerprint(pl.DataFrame({"c": pl.Series(values, dtype=kind)})).digest for kind in kinds}
    assert digests == {fingerprint(pa.table({"c": values})).digest}


def test_polars_text_comes_as_views_only_on_demand() -> None:
    """What is to be written must be readable by all: views are given only where they are asked for."""
    frame = pl.DataFrame({"a": ["x"]})
    assert open_table(frame).schema.types == [pa.large_string()]
    rows = [batch.to_pylist() for batch in open_table(frame, views=True).batches()]
    assert rows == [[{"a": "x"}]]


def test_pandas_without_the_protocol_is_known_by_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older pandas, whose frames do not speak Arrow's protocol, are converted by pyarrow."""
    frame = pd.DataFrame({"a": [1, 2, 3]})
    expected = fingerprint(frame).digest
    monkeypatch.delattr(pd.DataFrame, "__arrow_c_stream__")
    assert is_table(frame)
    assert fingerprint(frame).digest == expected
    monkeypatch.delitem(sys.modules, "pandas")
    assert not is_table(frame)


def test_a_pandas_index_is_a_column_unless_it_is_a_range() -> None:
    """Filtering a pandas frame leaves an index that pyarrow keeps: the digest is another one, as documented."""
    frame = pd.DataFrame({"a": [1, 2, 3, 4]})
    filtered = frame[frame["a"] != 2]
    assert open_table(filtered).schema.names == ["a", "__index_level_0__"]
    reset = filtered.reset_index(drop=True)
    assert fingerprint(reset).digest == fingerprint(pa.table({"a": [1, 3, 4]})).digest


def test_what_arrow_cannot_hold_gets_a_note() -> None:
    """A pandas column of mixed objects has no digest; the note says which column, and quotes no value."""
    found = fingerprint(pd.DataFrame({"a": ["secret", 1]}))
    assert (found.digest, found.type) == (None, "dataset")
    assert f"{found.note}".startswith("no digest: pandas.")
    assert f"{found.note}".endswith("Conversion failed for column a with type object")
    assert "secret" not in f"{found.note}"


@pytest.mark.parametrize("obj", [1, "text", [1], {"a": [1]}, np.zeros(3), None, TABLE.schema, pa.int8(), pa.scalar(1)])
def test_what_is_no_table_is_refused(obj: object) -> None:
    """Lists, dictionaries, arrays and schemas are no tables."""
    assert not is_table(obj)
    with pytest.raises(ArtifactError, match="is not a table"):
        open_table(obj)


def test_batches_are_bounded() -> None:
    """No batch has more than 131,072 rows, from memory and from disk; a table of no rows gives its columns."""
    table = pa.table({"a": np.arange(300_000)})
    assert [batch.num_rows for batch in open_table(table).batches()] == [131_072, 131_072, 37_856]
    one = pa.Table.from_batches([table.combine_chunks().to_batches()[0]])
    assert max(batch.num_rows for batch in open_table(one).batches()) == 131_072
    assert fingerprint(table.slice(0, 0)).columns == 1


def test_wide_rows_are_read_in_small_batches(tmp_path: Path) -> None:
    """Parquet files of wide rows are read a few rows at a time."""
    table = pa.table({"a": [bytes([i % 256]) * 100_000 for i in range(300)]})
    pq.write_table(table, tmp_path / "t.parquet", use_dictionary=False, compression=None)
    sizes = [batch.num_rows for batch in open_path(tmp_path / "t.parquet").batches()]
    assert (sum(sizes), max(sizes) <= 100) == (300, True)


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".ARROW", ".ipc"])
def test_table_files_are_read(tmp_path: Path, suffix: str, rows: int) -> None:
    """Parquet, Feather and IPC files, of no rows too, are opened by suffix in any case."""
    path = tmp_path / f"t{suffix}"
    table = TABLE.slice(0, rows)
    if suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pyarrow.feather.write_feather(table, path)
    source = open_path(path)
    assert source.schema.names == ["a", "b"]
    assert [row for batch in source.batches() for row in batch.to_pylist()] == table.to_pylist()
    assert fingerprint(path).digest == fingerprint(table).digest


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Another suffix, a missing file and a damaged one are errors with the path in them."""
    (tmp_path / "bad.parquet").write_bytes(b"PAR1nonsense")
    for name, words in (
        ("t.csv", "not a table file"),
        ("t.parquet", "cannot be read"),
        ("bad.parquet", "cannot be read"),
    ):
        with pytest.raises(ArtifactError, match=f"{name}: {words}"):
            open_path(tmp_path / name)


def test_the_public_names() -> None:
    """The module offers exactly these names."""
    assert columnar.__all__ == [
        "TABLE_SUFFIXES",
        "TableSource",
        "is_dataset",
        "is_table",
        "open_dataset",
        "open_folder",
        "open_path",
        "open_table",
        "table_suffix",
    ]
