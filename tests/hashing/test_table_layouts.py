"""What must not change a table's digest: encodings, layouts, units, libraries and file formats."""

from __future__ import annotations

import datetime
import decimal
import io
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from arrow_strategies import arrays, kinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlotel.hashing import fingerprint
from mlotel.model import Fingerprint

ZONED = pa.timestamp("us", "UTC")


def digest(obj: object, **options: object) -> str:
    found = fingerprint(obj, **options)  # type: ignore[arg-type]
    assert found.digest is not None, found.note
    return found.digest


@pytest.fixture
def mixed() -> pa.Table:
    """Columns that every library holds without changing their types, nulls and NaN included."""
    day = datetime.date(2026, 2, 28)
    moment = datetime.datetime(2026, 2, 28, 12, 30, 15, 123456)
    return pa.table(
        {
            "integer": pa.array([1, None, -3], pa.int64()),
            "small": pa.array([1, 2, None], pa.int8()),
            "double": pa.array([1.5, float("nan"), None], pa.float64()),
            "single": pa.array([-0.0, 0.0, None], pa.float32()),
            "text": pa.array(["a", None, "läng" * 20]),
            "bytes": pa.array([b"\x00", None, b""], pa.binary()),
            "flag": pa.array([True, False, None]),
            "day": pa.array([day, None, day]),
            "moment": pa.array([moment, None, moment], pa.timestamp("us")),
            "zoned": pa.array([moment, None, moment], ZONED),
            "price": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")], pa.decimal128(10, 2)),
            "list": pa.array([[1, None], None, []], pa.list_(pa.int64())),
            "struct": pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}]),
            "span": pa.array([datetime.timedelta(seconds=1), None, datetime.timedelta(0)], pa.duration("us")),
        }
    )


def written_to(table: pa.Table, path: Path, how: str) -> Path:
    if how == "parquet":
        pq.write_table(table, path / "t.parquet", row_group_size=2, compression="zstd")
    elif how == "parquet without the Arrow schema":
        pq.write_table(table, path / "t.parquet", store_schema=False)
    elif how == "feather":
        pyarrow.feather.write_feather(table, path / "t.feather", chunksize=2)
    elif how == "ipc file":
        with pa.OSFile(f"{path / 't.arrow'}", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    else:
        with pa.OSFile(f"{path / 't.ipc'}", "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return next(path.iterdir())


@pytest.mark.parametrize("how", ["parquet", "feather", "ipc file", "ipc stream"])
def test_a_table_on_disk_has_the_digest_of_the_table_in_memory(mixed: pa.Table, tmp_path: Path, how: str) -> None:
    """Parquet, Feather and both IPC forms give the table's digest, and the same schema digest."""
    expected, found = fingerprint(mixed), fingerprint(written_to(mixed, tmp_path, how))
    assert (found.digest, found.schema_digest, found.missing) == (
        expected.digest,
        expected.schema_digest,
        expected.missing,
    )


def test_parquet_without_the_arrow_schema_keeps_the_digest(mixed: pa.Table, tmp_path: Path) -> None:
    """A Parquet file from a writer that knows no Arrow has the same digest for the types that Parquet has."""
    table = mixed.drop(["span"]).append_column("large", pa.array(["a", None, "c"], pa.large_string()))
    path = written_to(table, tmp_path, "parquet without the Arrow schema")
    assert digest(path) == digest(table)


def test_pandas_with_arrow_types_polars_and_duckdb_agree(mixed: pa.Table) -> None:
    """The same table held by four libraries has one digest."""
    frames: dict[str, object] = {
        "pandas": mixed.to_pandas(types_mapper=pd.ArrowDtype),
        "polars": pl.from_arrow(mixed),
        "batch": mixed.to_batches()[0],
        "dataframe of pandas in chunks": pa.Table.from_batches(mixed.to_batches(max_chunksize=1)).to_pandas(
            types_mapper=pd.ArrowDtype
        ),
    }
    assert {name: digest(frame) for name, frame in frames.items()} == dict.fromkeys(frames, digest(mixed))
    # DuckDB has no durations: it makes them intervals.
    rest = mixed.drop(["span"])
    assert digest(duckdb.from_arrow(rest)) == digest(rest)


def test_numpy_backed_pandas_agrees_where_nothing_is_missing() -> None:
    """A pandas frame of NumPy columns has the digest of the Arrow table with the same columns."""
    columns = {"a": np.arange(5), "b": np.linspace(0, 1, 5), "c": np.array([True, False, True, True, False])}
    frame = pd.DataFrame(columns).assign(d=list("vwxyz"))
    assert digest(frame) == digest(pa.table({**columns, "d": list("vwxyz")}))


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(array=arrays(kinds()))
def test_an_ipc_stream_keeps_the_digest_of_any_type(array: pa.Array) -> None:
    """Every Arrow type keeps its digest through serialisation, which rewrites offsets and bitmaps."""
    table = pa.table({"c": array})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert digest(pa.ipc.open_stream(sink.getvalue()).read_all()) == digest(table)


@settings(deadline=None, max_examples=80)
@given(values=st.lists(st.one_of(st.none(), st.text(max_size=15)), max_size=30))
def test_all_layouts_of_text_have_one_digest(values: list[str | None]) -> None:
    """String, large string, view, dictionary of either and run-end encoding are one type to the digest."""
    text = pa.array(values, pa.string())
    layouts = [
        text,
        text.cast(pa.large_string()),
        pa.array(values, pa.string_view()),
        text.dictionary_encode(),
        text.cast(pa.large_string()).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.large_string())),
        pa.chunked_array([text.slice(0, 3).dictionary_encode(), text.slice(3).dictionary_encode()]),
        pc.run_end_encode(text),
        pc.run_end_encode(pa.concat_arrays([pa.array(["x"]), text]), run_end_type=pa.int16()).slice(1),
    ]
    assert len({digest(pa.table({"c": layout})) for layout in layouts}) == 1


def test_a_dictionary_with_null_and_doubled_values_counts_as_its_values() -> None:
    """Nulls may stand in a dictionary's indices or in its values; doubled values do no harm."""
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None], pa.int8()), pa.array(["a", None, "a"]))
    plain = pa.array(["a", None, "a", None])
    found = fingerprint(pa.table({"c": encoded}))
    assert (found.digest, found.missing) == (digest(pa.table({"c": plain})), 2)


@settings(deadline=None, max_examples=80)
@given(values=st.lists(st.one_of(st.none(), st.lists(st.integers(-9, 9), min_size=2, max_size=2)), max_size=20))
def test_all_layouts_of_lists_have_one_digest(values: list[list[int] | None]) -> None:
    """Lists, large lists, views and lists of a fixed size are one type, whatever their child is called."""
    number = pa.int64()
    layouts = [
        pa.array(values, pa.list_(number)),
        pa.array(values, pa.list_(pa.field("element", number, nullable=False))),
        pa.array(values, pa.large_list(number)),
        pa.array(values, pa.list_view(number)),
        pa.array(values, pa.large_list_view(number)),
        pa.array(values, pa.list_(number, 2)),
    ]
    assert len({digest(pa.table({"c": layout})) for layout in layouts}) == 1


def test_list_views_out_of_order_and_overlapping_count_as_their_lists() -> None:
    """Where the lists of a view lie in its child does not count."""
    view = pa.ListViewArray.from_arrays(pa.array([2, 0, 1]), pa.array([1, 2, 2]), pa.array([1, 2, 3]))
    assert digest(pa.table({"c": view})) == digest(pa.table({"c": [[3], [1, 2], [2, 3]]}))


@settings(deadline=None, max_examples=80)
@given(values=st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9)), max_size=20))
def test_units_of_time_do_not_count(values: list[int | None]) -> None:
    """Seconds, milliseconds, microseconds and nanoseconds of the same moments have one digest."""
    for make in (pa.timestamp, lambda unit: pa.timestamp(unit, "UTC"), pa.duration):
        seconds = pa.array(values, pa.int64()).view(make("s"))
        assert len({digest(pa.table({"c": seconds.cast(make(unit))})) for unit in ("s", "ms", "us", "ns")}) == 1
    clock = pa.array([None if v is None else v % 86_400 for v in values], pa.int32()).view(pa.time32("s"))
    others = (pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    assert {digest(pa.table({"c": clock.cast(kind)})) for kind in others} == {digest(pa.table({"c": clock}))}
    days = pa.array([None if v is None else v % 10**6 for v in values], pa.int32()).view(pa.date32())
    assert digest(pa.table({"c": days})) == digest(pa.table({"c": days.cast(pa.date64())}))


def test_zone_aliases_count_in_the_schema_digest_alone() -> None:
    """Two names of zones: one digest, two schema digests; with and without a zone: two digests."""
    moments = pa.array([0, None, 10**15])
    one, other, naive = (
        fingerprint(pa.table({"c": moments.cast(pa.timestamp("us", zone))})) for zone in ("UTC", "Etc/UTC", None)
    )
    assert one.digest == other.digest != naive.digest
    assert len({one.schema_digest, other.schema_digest, naive.schema_digest}) == 3


@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.one_of(st.none(), st.integers(-(10**8), 10**8)), max_size=20))
def test_widths_of_decimals_do_not_count(values: list[int | None]) -> None:
    """Decimals of one precision and scale have one digest in 32, 64, 128 and 256 bits."""
    decimals = [None if v is None else decimal.Decimal(v).scaleb(-2) for v in values]
    # The narrow ones are younger than the oldest pyarrow that mlotel runs with.
    makes = [getattr(pa, f"decimal{bits}") for bits in (32, 64, 128, 256) if hasattr(pa, f"decimal{bits}")]
    assert len({digest(pa.table({"c": pa.array(decimals, make(9, 2))})) for make in makes}) == 1


def test_nan_payloads_and_signs_do_not_count() -> None:
    """Every NaN is one value, in all widths, beside nulls or not; infinities are values like others."""
    for width, patterns in {
        2: (0x7E00, 0xFE01, 0x7C01),
        4: (0x7FC00000, 0xFFC12345, 0x7F800001),
        8: (0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001),
    }.items():
        seen = set()
        for pattern in patterns:
            bits = np.array([0, pattern, 1, pattern], f"<u{width}")
            values = pa.array(bits.view(f"<f{width}"))
            seen.add(digest(pa.table({"c": values, "d": pa.concat_arrays([values, pa.nulls(4, values.type)])[2:6]})))
        assert len(seen) == 1


def test_sparse_and_dense_unions_have_one_digest() -> None:
    """The two modes of unions are layouts, and so are their type codes; slices are cut correctly."""
    codes = [0, 1, 0, 1, 0]
    sparse = pa.UnionArray.from_sparse(
        pa.array(codes, pa.int8()), [pa.array([1, 0, 2, 0, None]), pa.array(list("xaxbx"))]
    )
    dense = pa.UnionArray.from_dense(
        pa.array([c + 5 for c in codes], pa.int8()),
        pa.array([0, 0, 1, 1, 2], pa.int32()),
        [pa.array([1, 2, None]), pa.array(["a", "b"])],
        ["0", "1"],
        [5, 6],
    )
    for start in range(5):
        one, other = (fingerprint(pa.table({"c": union.slice(start)})) for union in (sparse, dense))
        assert (one.digest, one.missing) == (other.digest, other.missing)


class Known(pa.ExtensionType):  # type: ignore[misc]
    """An extension type that this process has a class for."""

    def __arrow_ext_serialize__(self) -> bytes:
        return b"detail"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Known:
        return cls(storage_type, "own.type")


def test_unregistered_extension_types_count_like_registered_ones() -> None:
    """An extension type has one digest whether or not this process has a class for it."""
    storage = pa.array([b"0" * 16, None], pa.binary(16))
    known = pa.table({"c": pa.ExtensionArray.from_storage(Known(pa.binary(16), "own.type"), storage)})
    metadata = {"ARROW:extension:name": "own.type", "ARROW:extension:metadata": "detail"}
    unknown = pa.table([storage], schema=pa.schema([pa.field("c", pa.binary(16), metadata=metadata)]))
    one, other = fingerprint(known), fingerprint(unknown)
    assert one.digest is not None
    assert (one.digest, one.schema_digest) == (other.digest, other.schema_digest)


def test_metadata_and_nullability_do_not_count() -> None:
    """Metadata of the schema and its fields, mlotel's own included, and `nullable` change neither digest."""
    plain = pa.table({"a": [1, 2]})
    schema = pa.schema(
        [pa.field("a", pa.int64(), nullable=False, metadata={"k": "v"})], metadata={"mlotel.traceparent": "x"}
    )
    one, other = fingerprint(plain), fingerprint(plain.cast(schema))
    assert (one.digest, one.schema_digest) == (other.digest, other.schema_digest)


@pytest.mark.parametrize("count", [131_071, 131_072, 131_073, 400_001])
def test_blocks_do_not_count(count: int) -> None:
    """Long columns have one digest however they are cut, around and across the blocks they are hashed in."""
    random = np.random.default_rng(count)
    mask = random.random(count) < 0.1
    mask[: count // 2] = False
    numbers = random.standard_normal(count)
    columns = {
        "nulls": pa.array(numbers, mask=mask),
        "flags": pa.array(numbers > 0, mask=mask),
        "texts": pa.array(np.array(["", "a", "bb"])[random.integers(0, 3, count)], mask=mask),
        "times": pa.array(random.integers(0, 10**6, count), mask=mask).view(pa.timestamp("ns")),
        "lists": pa.array(numbers, mask=mask).cast(pa.float32()).dictionary_encode(),
    }
    whole = pa.table(columns)
    cuts = sorted(int(n) for n in random.integers(0, count, 20))
    pieces = [whole.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, count], strict=True)]
    assert digest(pa.concat_tables(pieces)) == digest(whole) == digest(whole, threads=2)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("algorithm", ["blake3", "sha256"])
def test_nan_in_long_columns_are_one_value(kind: str, algorithm: str) -> None:
    """Odd NaN in any block of a long column count as plain ones."""
    values = (np.arange(600_000) % 1000).astype(kind)
    values[[5, 300_000, 599_999]] = np.nan
    odd = values.copy()
    odd.view(f"u{odd.itemsize}")[[300_000, 599_999]] += 1
    assert np.isnan(odd[300_000])
    one, other = (fingerprint(pa.table({"c": v}), algorithm=algorithm).digest for v in (values, odd))
    assert one == other


def as_views(column: pa.ChunkedArray) -> pa.Array:
    """The same texts as views; not cast, which the oldest pyarrow cannot."""
    return pa.array(column.to_pylist(), pa.string_view())


def test_many_small_chunks_do_not_count() -> None:
    """Columns in thousands of chunks, which are joined before hashing, keep their digest; dictionaries may differ."""
    values = [None if i % 5 == 0 else i for i in range(2000)]
    columns = {
        "integers": pa.array(values),
        "texts": pa.array([None if v is None else f"{v}" for v in values]),
        "lists": pa.array([None if v is None else [v, None] for v in values]),
    }
    whole = pa.table(columns)
    pieces = [whole.slice(start, 3) for start in range(0, 2000, 3)]
    encoded = [piece.set_column(1, "texts", piece.column(1).dictionary_encode()) for piece in pieces]
    views = [piece.set_column(1, "texts", [as_views(piece.column(1))]) for piece in pieces]
    for parts in (pieces, encoded, views):
        assert digest(pa.concat_tables(parts)) == digest(whole)


@pytest.mark.parametrize("long", [100, 9 << 20])
def test_values_longer_than_a_piece_keep_the_digest(long: int) -> None:
    """Long values, copied piece by piece where an encoding or rubbish under nulls asks for it, keep the digest."""
    texts = ["x" * long, None, "y", "x" * long, ""]
    plain = pa.array(texts)
    rubbish = pa.Array.from_buffers(
        pa.string(),
        5,
        [
            pa.py_buffer(b"\x1d"),
            pa.py_buffer(np.cumsum([0, long, 3, 1, long, 0]).astype("i4")),
            pa.py_buffer(b"x" * long + b"???y" + b"x" * long),
        ],
    )
    layouts = [plain.dictionary_encode(), pa.array(texts, pa.string_view()), rubbish, pc.run_end_encode(plain)]
    assert {digest(pa.table({"c": layout})) for layout in layouts} == {digest(pa.table({"c": plain}))}


def test_threads_change_nothing(mixed: pa.Table) -> None:
    """Hashing columns on several threads gives the same fingerprint."""
    assert fingerprint(mixed, threads=4) == fingerprint(mixed)


def test_a_fingerprint_counts_rows_columns_nulls_and_bytes() -> None:
    """Rows, columns, null cells (NaN is a value) and Arrow bytes are told; SHA-256 says its name."""
    table = pa.table({"a": pa.array([1.0, float("nan"), None]), "b": pa.array([None, None, "x"])})
    found = fingerprint(table, algorithm="sha256")
    assert found == Fingerprint(
        digest=found.digest,
        scope="logical",
        type="dataset",
        size=table.nbytes,
        rows=3,
        columns=2,
        schema_digest=found.schema_digest,
        missing=3,
    )
    assert f"{found.digest}".startswith("sha256:")
    assert f"{found.schema_digest}".startswith("sha256:")


def test_ten_thousand_columns_have_a_digest() -> None:
    """A very wide table is only wide."""
    wide = pa.table({f"c{i}": [i] for i in range(10_000)})
    found = fingerprint(wide)
    assert (found.columns, found.digest) == (10_000, digest(pa.Table.from_batches(wide.to_batches())))
