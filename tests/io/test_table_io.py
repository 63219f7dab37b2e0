"""`mlotel.io`: tables whose files tell the next reader who wrote them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlotel
from mlotel import hashing
from mlotel.carriers import arrow
from mlotel.errors import ArtifactError
from mlotel.testing import CapturedRuns, capture

TABLE = pa.table({"x": [1, 2, 3], "y": ["a", None, "c"]})
SUFFIXES = ["parquet", "feather", "arrow", "ipc", "PARQUET"]


def write(path: Path, table: Any = TABLE, **options: Any) -> Any:
    """Write in a capture of its own, so that no store knows the digest; return the write's artifact."""
    with capture() as captured, mlotel.component("writer"):
        mlotel.io.write_table(table, path, **options)
    return captured.runs[0].outputs[0]


def read(path: Path, **options: Any) -> tuple[pa.Table, Any]:
    with capture() as captured, mlotel.component("reader"):
        table = mlotel.io.read_table(path, **options)
    return table, captured.runs[0].inputs[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_reader_is_linked_to_the_writer_by_the_file_alone(tmp_path: Path, suffix: str) -> None:
    """Another process with another store finds the producer in the file's own metadata."""
    path = tmp_path / f"t.{suffix}"
    written = write(path)
    table, found = read(path)
    assert table.equals(TABLE, check_metadata=True)
    assert found.link is not None
    assert (found.link.span_id, found.link.resolved_by) == (written.span_id, "embedded")
    assert found.digest == written.digest == hashing.fingerprint(TABLE).digest == hashing.fingerprint(path).digest
    assert found.size == written.size == path.stat().st_size
    assert (found.name, found.rows, found.columns, found.uri) == (path.name, 3, 2, path.as_uri())


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_log_input_of_such_a_file_finds_the_writer_as_well(tmp_path: Path, suffix: str) -> None:
    """Whoever reads it by other means logs its path."""
    path = tmp_path / f"t.{suffix}"
    written = write(path)
    with capture() as captured, mlotel.component("reader") as run:
        run.log_input(path)
        run.log_input(pq.read_table(path) if suffix == "parquet" else feather.read_table(path), "table")
        run.log_input(path, "by its bytes", scope="bytes")
    links = [None if a.link is None else (a.link.span_id, a.link.resolved_by) for a in captured.runs[0].inputs]
    assert links == [(written.span_id, "embedded"), (written.span_id, "embedded"), None]


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        TABLE.to_batches()[0],
        TABLE.to_pandas(),
        pl.from_arrow(TABLE),
        pa.table({"empty": pa.array([], pa.int64())}),
        pa.table({"d": pa.array(["x", "y"]).dictionary_encode(), "n": [[1], None], "s": [{"k": 1}, None]}),
    ],
    ids=lambda value: type(value).__module__,
)
@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_tables_of_every_library_are_written(tmp_path: Path, table: Any, suffix: str) -> None:
    """What is read back has the digest that was written."""
    path = tmp_path / f"t.{suffix}"
    written = write(path, table)
    _, found = read(path)
    assert found.digest == written.digest is not None
    assert found.rows == written.rows == len(pd.read_parquet(path) if suffix == "parquet" else pd.read_feather(path))


UNITS = ("s", "ms", "us", "ns")
TEXT, BYTES = (pa.string(), pa.large_string()), (pa.binary(), pa.large_binary(), pa.binary(2))
NUMBERS = (pa.int8(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float32())
COLUMNS: list[tuple[pa.DataType, list[Any]]] = [
    *((pa.timestamp(unit, zone), [None, 1]) for unit in UNITS for zone in (None, "Europe/Berlin")),
    *((pa.duration(unit), [None, 1]) for unit in UNITS),
    *((kind, [None, 1]) for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.date32())),
    *((kind, [None, 1]) for kind in NUMBERS),
    *((kind, [None, "ab"]) for kind in (*TEXT, pa.dictionary(pa.int8(), pa.string()))),
    *((kind, [None, b"ab"]) for kind in BYTES),
    *((kind, [None, Decimal("1.50")]) for kind in (pa.decimal128(5, 2), pa.decimal256(50, 2))),
    *((kind, [None, [1, 2]]) for kind in (pa.list_(pa.int8()), pa.large_list(pa.int8()))),
    (pa.list_(pa.int8(), 2), [[1, 2], [3, 4]]),
    (pa.map_(pa.string(), pa.int32()), [None, [("k", 1)]]),
    (pa.struct([("a", pa.list_(pa.struct([("b", pa.large_string())])))]), [None, {"a": [{"b": "x"}]}]),
    (pa.float16(), [None, np.float16(1.5)]),
    (pa.bool_(), [None, True]),
    (pa.null(), [None, None]),
]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
@pytest.mark.parametrize(("kind", "values"), COLUMNS, ids=str)
def test_columns_of_every_type_keep_their_digest_on_disk(
    tmp_path: Path, kind: pa.DataType, values: list[Any], suffix: str
) -> None:
    """What a format makes of a type does not make the file another artifact: its producer is believed."""
    path = tmp_path / f"t.{suffix}"
    written = write(path, pa.table({"c": pa.array(values, kind)}))
    _, found = read(path)
    assert found.link is not None
    assert (found.digest, found.link.span_id) == (written.digest, written.span_id)


def test_pandas_gets_back_what_it_gave(tmp_path: Path) -> None:
    """Index, categories, zones and nullable integers pass through."""
    frame = pd.DataFrame(
        {
            "c": pd.Categorical(["a", "b", "a"]),
            "t": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"),
            "n": pd.array([1, None, 3], dtype="Int64"),
            "f": [0.5, np.nan, 1.5],
        },
        index=pd.Index(["x", "y", "z"], name="key"),
    )
    write(tmp_path / "t.parquet", frame)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)


def test_metadata_of_the_users_own_stays(tmp_path: Path) -> None:
    """Only mlotel's keys are taken out of what is read."""
    path = tmp_path / "t.parquet"
    write(path, TABLE.replace_schema_metadata({"team": "data"}))
    table, _ = read(path)
    assert table.schema.metadata == {b"team": b"data"}
    assert set(pq.read_schema(path).metadata) >= {b"team", b"mlotel.traceparent", b"mlotel.digest"}


def test_options_reach_the_writer(tmp_path: Path) -> None:
    """Compression and all else that pyarrow takes."""
    write(tmp_path / "t.parquet", compression="gzip")
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).column(0).compression == "GZIP"


# -- what is not believed


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_inherited_metadata_is_not_believed(tmp_path: Path, suffix: str) -> None:
    """A filtered table takes its schema's metadata along: the new file is not the old producer's."""
    old, new = tmp_path / f"old.{suffix}", tmp_path / f"new.{suffix}"
    write(old)
    table = pq.read_table(old) if suffix == "parquet" else feather.read_table(old)
    filtered = table.filter(pa.array([True, False, True]))
    assert b"mlotel.traceparent" in filtered.schema.metadata
    (pq.write_table if suffix == "parquet" else feather.write_feather)(filtered, new)
    with capture() as captured, mlotel.component("reader") as run:
        run.log_input(new)
        run.log_input(filtered, "table")
        mlotel.io.read_table(new)
    assert [a.link for a in captured.runs[0].inputs] == [None] * 3
    assert all("embedded context is of other content" in str(a.note) for a in captured.runs[0].inputs)


def test_what_is_written_on_names_its_own_writer(tmp_path: Path) -> None:
    """`write_table` puts its run's context in the place of one that the table inherited."""
    write(tmp_path / "old.parquet")
    inherited = pq.read_table(tmp_path / "old.parquet").slice(1)
    written = write(tmp_path / "new.parquet", inherited)
    _, found = read(tmp_path / "new.parquet")
    assert found.link.span_id == written.span_id


def test_outside_of_a_run_nothing_is_claimed(tmp_path: Path) -> None:
    """A table that inherited a context is written without it."""
    write(tmp_path / "old.parquet")
    mlotel.io.write_table(pq.read_table(tmp_path / "old.parquet"), tmp_path / "new.parquet")
    assert not any(key.startswith(b"mlotel.") for key in pq.read_schema(tmp_path / "new.parquet").metadata or {})
    assert mlotel.io.read_table(tmp_path / "new.parquet").equals(TABLE)


def test_a_contradicting_sidecar_is_not_believed_and_the_file_is(tmp_path: Path) -> None:
    """What stands in the file goes before what stands beside it."""
    path = tmp_path / "t.parquet"
    write(path, pa.table({"z": [1]}))
    with capture(), mlotel.component("writer") as run:
        run.log_output(path, sidecar=True)
    written = write(path)
    _, found = read(path)
    assert (found.link.span_id, found.link.resolved_by) == (written.span_id, "embedded")


@settings(max_examples=150, deadline=None)
@given(traceparent=st.binary(max_size=80), digest=st.none() | st.binary(max_size=80))
def test_malformed_metadata_never_raises(traceparent: bytes, digest: bytes | None) -> None:
    """Whatever stands under mlotel's keys."""
    metadata = {b"mlotel.traceparent": traceparent, **({} if digest is None else {b"mlotel.digest": digest})}
    table = TABLE.replace_schema_metadata(metadata)
    assert arrow.from_table(table) is None
    with capture() as captured, mlotel.component("reader") as run:
        run.log_input(table)
    assert captured.runs[0].inputs[0].link is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_never_raise(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A file with some bytes changed or cut off holds a context or none."""
    folder = tmp_path_factory.mktemp("damaged")
    for suffix in ("parquet", "feather"):
        path = folder / f"t.{suffix}"
        (pq.write_table if suffix == "parquet" else feather.write_feather)(TABLE, path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        arrow.from_file(str(path))
    assert arrow.from_file(str(folder / "missing.parquet")) is None
    assert arrow.from_file(str(folder)) is None


# -- bad input


@pytest.mark.parametrize("name", ["t.csv", "t", "t.parquet.gz", ".parquet"])
def test_unknown_endings_are_refused_with_the_fix(tmp_path: Path, name: str) -> None:
    """The ending says the format."""
    for act in (lambda: mlotel.io.read_table(tmp_path / name), lambda: mlotel.io.write_table(TABLE, tmp_path / name)):
        with pytest.raises(ArtifactError, match=r"end it in \.parquet, \.feather or \.arrow"):
            act()


def test_uris_are_refused_with_the_fix() -> None:
    """As paths they would be local files; what they hold that is secret is not repeated."""
    uri = "s3://key:secret@bucket/t.parquet"
    for act in (lambda: mlotel.io.read_table(uri), lambda: mlotel.io.write_table(TABLE, uri)):
        with pytest.raises(
            ArtifactError, match=r"^s3://bucket/t\.parquet is no local file: .* log the table with uri="
        ):
            act()


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ArtifactError, match=r"builtins\.dict is not a table"):
        mlotel.io.write_table({"x": [1]}, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_files_that_cannot_be_read_say_why(tmp_path: Path, suffix: str) -> None:
    """Missing files as Python says it, damaged ones as ArtifactError; the run goes on."""
    path = tmp_path / f"t.{suffix}"
    with capture() as captured, mlotel.component("reader"):
        with pytest.raises(FileNotFoundError):
            mlotel.io.read_table(path)
        path.write_bytes(b"not a table at all")
        with pytest.raises(ArtifactError, match="cannot be read as"):
            mlotel.io.read_table(path)
    assert captured.runs[0].state == "ok"


def test_types_that_a_format_lacks_are_told(tmp_path: Path) -> None:
    """As ArtifactError, which names the file and what pyarrow says of it."""
    table = pa.table({"c": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(ArtifactError, match="cannot be written as parquet: Unhandled type"):
        mlotel.io.write_table(table, tmp_path / "t.parquet")


def test_a_write_that_fails_is_no_artifact_for_readers(tmp_path: Path) -> None:
    """The error is the user's to see; the run says nothing of an output that is not there."""
    with capture() as captured, pytest.raises(OSError), mlotel.component("writer"):
        mlotel.io.write_table(TABLE, tmp_path / "no such folder" / "t.parquet")
    (run,) = captured.runs
    assert run.state == "failed"
    assert run.error is not None
    assert "no such folder" in run.error["message"]
    with capture() as later, mlotel.component("reader") as reader:
        reader.log_input(TABLE, "table")
    assert later.runs[0].inputs[0].link is None


def test_some_columns_of_a_file_are_an_input_of_the_whole_file(tmp_path: Path) -> None:
    """What is recorded is the file, what comes back are its columns."""
    path = tmp_path / "t.parquet"
    written = write(path)
    table, found = read(path, columns=["x"])
    assert table.column_names == ["x"]
    assert (found.digest, found.columns, found.link.span_id) == (written.digest, 2, written.span_id)


def test_names_and_types(tmp_path: Path) -> None:
    """As for log_input and log_output."""
    written = write(tmp_path / "t.parquet", name="features", type="features")
    _, found = read(tmp_path / "t.parquet", name="f", type="training")
    assert (written.name, written.type, found.name, found.type) == ("features", "features", "f", "training")


def test_derived_from_names_the_inputs(tmp_path: Path) -> None:
    """A written table says which of the run's inputs it was made of."""
    write(tmp_path / "a.parquet")
    with capture() as captured, mlotel.component("c"):
        a = mlotel.io.read_table(tmp_path / "a.parquet", name="a")
        mlotel.io.write_table(a, tmp_path / "b.parquet", derived_from="a")
    (run,) = captured.runs
    assert run.outputs[0].derived_from == (run.inputs[0].span_id,)


def test_a_file_name_as_text_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a string can only be a path."""
    monkeypatch.chdir(tmp_path)
    mlotel.io.write_table(TABLE, "t.parquet")
    assert mlotel.io.read_table("t.parquet").equals(TABLE)


def test_a_process_with_another_store_finds_the_producer(script: Callable[..., Any], tmp_path: Path) -> None:
    """End to end: two processes, two stores, one file between them."""
    source = """
        import sys, mlotel, pyarrow as pa
        with mlotel.component(sys.argv[1]) as run:
            if sys.argv[1] == "write":
                mlotel.io.write_table(pa.table({"x": [1]}), "t.parquet")
            else:
                mlotel.io.read_table("t.parquet")
        """
    script(source, "write", MLOTEL_STORE=tmp_path / "one")
    script(source, "read", MLOTEL_STORE=tmp_path / "two")
    from mlotel.store.files import FileStore

    with FileStore(tmp_path / "one") as one, FileStore(tmp_path / "two") as two:
        link = two.runs()[0].inputs[0].link
        assert link is not None
        assert (link.trace_id, link.span_id) == (one.runs()[0].trace_id, one.runs()[0].outputs[0].span_id)


def test_ten_thousand_columns_and_no_rows(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """Wide and empty tables are tables."""
    wide = pa.table({f"c{i}": [i] for i in range(10_000)})
    with mlotel.component("a") as run:
        run.log_input(wide, "wide")
        run.log_output(wide.slice(1), "empty")
    (read_back,) = mlotel_runs.runs
    assert (read_back.inputs[0].columns, read_back.inputs[0].rows) == (10_000, 1)
    assert (read_back.outputs[0].columns, read_back.outputs[0].rows) == (10_000, 0)
