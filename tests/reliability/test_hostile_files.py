"""Damaged and oversized files: whoever digests, profiles or compares them lives, in memory that is bounded."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import mlotel
from mlotel import hashing
from mlotel.errors import ArtifactError

SEEDS = 60 if os.environ.get("MLOTEL_SOAK") else 1

DAMAGE = """
    import logging, random, sys
    from pathlib import Path

    import mlotel
    from mlotel.errors import MlotelError

    logging.disable()  # one warning a run, each of another text
    good, seed = Path(sys.argv[1]), int(sys.argv[2])
    content, rng = good.read_bytes(), random.Random(int(sys.argv[2]))
    path = good.with_name(f"damaged-{seed}{good.suffix}")
    for number in range(20):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 1, 3, 10, 50])):
            at = rng.randrange(len(damaged))
            damaged[at] = rng.choice([0, 255, rng.randrange(256), damaged[at] ^ (1 << rng.randrange(8))])
        if rng.random() < 0.2:
            damaged = damaged[: rng.randrange(len(damaged))]
        path.write_bytes(damaged)
        print(number, flush=True)
        with mlotel.component("read") as run:
            run.log_input(path, profile=True)
        for use in (mlotel.profile, mlotel.Reference.fit):
            try:
                use(path)
            except MlotelError:
                pass
    """


def every_layout(rows: int = 500) -> pa.Table:
    """A table with a column of each kind that has offsets, indices, or parts."""
    numbers = list(range(rows))
    return pa.table(
        {
            "number": numbers,
            "boolean": [n % 2 == 0 for n in numbers],
            "text": [f"text {n}" for n in numbers],
            "bytes": [f"{n}".encode() for n in numbers],
            "list": [[n, n + 1] for n in numbers],
            "struct": [{"a": n, "b": "x"} for n in numbers],
            "map": pa.array([[("k", n)] for n in numbers], pa.map_(pa.string(), pa.int64())),
            "category": pa.array([f"{n % 7}" for n in numbers]).dictionary_encode(),
        }
    )


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.OSFile(f"{path}", "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def write_views(table: pa.Table, path: Path) -> None:
    views = table.append_column("view", table["text"].cast(pa.large_string()).cast(pa.string_view()))
    with pa.OSFile(f"{path}", "wb") as file, pa.ipc.new_file(file, views.schema) as writer:
        writer.write_table(views)


WRITERS = {
    "plain.arrow": lambda table, path: pa.feather.write_feather(table, path, compression="uncompressed"),
    "packed.feather": lambda table, path: pa.feather.write_feather(table, path, compression="zstd"),
    "stream.arrow": write_stream,
    "views.arrow": write_views,
    "plain.parquet": lambda table, path: pq.write_table(table, path, compression="none", use_dictionary=False),
    "packed.parquet": lambda table, path: pq.write_table(table, path, compression="zstd"),
}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", WRITERS)
def test_damaged_tables_kill_nobody(name: str, seed: int, tmp_path: Path) -> None:
    """With some bytes changed an Arrow file leads outside its own memory: it is looked through before it is read."""
    WRITERS[name](every_layout(), tmp_path / name)
    program = tmp_path / "damage.py"
    program.write_text(textwrap.dedent(DAMAGE))
    environment = {**os.environ, "MLOTEL_STORE": str(tmp_path / "store")}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", program, tmp_path / name, f"{seed}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["19"]), done.stderr[-3000:]


def bomb_of_rows(path: Path) -> None:
    """Twenty million rows in one run of one dictionary page: a few hundred bytes."""
    column = pa.DictionaryArray.from_arrays(pa.nulls(20_000_000, pa.int8()).fill_null(0), ["x"])
    one_page = {"data_page_size": 1 << 40, "row_group_size": 1 << 30}
    try:
        pq.write_table(pa.table({"a": column}), path, max_rows_per_page=1 << 40, **one_page)
    except TypeError:  # older versions count no rows of a page
        pq.write_table(pa.table({"a": column}), path, **one_page)


def bomb_of_bytes(path: Path) -> None:
    """Cells of 2 MB each, all of one letter."""
    pq.write_table(pa.table({"a": ["x" * (2 << 20)] * 5}), path, compression="zstd", use_dictionary=False)


@pytest.mark.parametrize("bomb", [bomb_of_rows, bomb_of_bytes])
def test_parquet_that_holds_more_than_fits_into_it_is_not_unpacked(
    bomb: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is digested by its bytes, with a note; who wants it as a table is told why not."""
    path = tmp_path / "a.parquet"
    bomb(path)  # type: ignore[operator]
    monkeypatch.setattr("mlotel.columnar._MOST_UNPACKED", 1 << 20)  # else making one takes longer than refusing it
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)  # nobody gets that far

    found = hashing.fingerprint(path)
    assert found.scope == "bytes"
    assert found.note is not None
    assert "this is no table" in found.note
    with pytest.raises(ArtifactError, match="this is no table"):
        mlotel.profile(path)


def test_large_tables_of_one_value_are_tables(tmp_path: Path) -> None:
    """What writers make of ten million equal rows is well within what is taken."""
    path = tmp_path / "a.parquet"
    table = pa.table({"a": pa.nulls(10_000_000, pa.int64()), "b": pa.nulls(10_000_000, pa.bool_()).fill_null(True)})
    pq.write_table(table, path)
    assert hashing.fingerprint(path).scope == "logical"


def test_gzipped_csv_is_unpacked_so_far_and_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file a thousand times larger than it seems is refused on the way; a table in a gzipped file is read."""
    monkeypatch.setattr("mlotel.drift._reading._MOST_UNPACKED", 1 << 20)
    with gzip.open(tmp_path / "bomb.csv.gz", "wb") as file:
        file.write(b"a,b\n" + b"1,2\n" * (1 << 20))
    with pytest.raises(ArtifactError, match="too large unpacked"):
        mlotel.Reference.fit(tmp_path / "bomb.csv.gz")
    with gzip.open(tmp_path / "table.csv.gz", "wb") as file:
        file.write(b"a\n" + b"".join(b"%d\n" % number for number in range(100_000)))
    assert mlotel.Reference.fit(tmp_path / "table.csv.gz").rows == 100_000


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\x00garbage", gzip.compress(b"a\n1\n" * 99, mtime=0)[:-9], b""])
def test_what_is_no_gzip_is_told(content: bytes, tmp_path: Path) -> None:
    """Cut off, or something else altogether."""
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(ArtifactError):
        mlotel.Reference.fit(tmp_path / "a.csv.gz")
