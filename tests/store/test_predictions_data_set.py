"""The data set of keyed predictions, beside what DuckDB and Arrow read of the same files."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_rows import DAY, T0, find, parts, rows

import mlotel
from mlotel.model import Prediction
from mlotel.sdk import _runtime
from mlotel.sdk._settings import Settings
from mlotel.store.predictions.keys import RecordKeys, hashes, key_text, make_secret_of_store
from mlotel.store.predictions.writer import PredictionLog

LARGE = 20_000
SECRET = "a secret of some length"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store that runs of this test go to."""
    monkeypatch.setattr(_runtime, "_settings", Settings(environment={}))
    root = tmp_path / "store"
    mlotel.configure(store=root)
    yield root
    mlotel.shutdown()


@pytest.mark.parametrize("number", [1, 3, LARGE])
def test_a_prediction_is_found_by_its_key(root: Path, number: int) -> None:
    """What one call logged with keys, be it one or many, comes back by the key, with all that was said of it."""
    mlotel.configure(record_key_secret=False)
    keys = [f"order-{each}" for each in range(number)]
    likely = np.linspace(0.1, 0.9, number)
    with mlotel.component("score") as run:
        run.log_predictions(
            np.arange(number) * 0.5, keys=keys, probabilities=likely, variant="b", model="delay", version="7"
        )

    (found,) = find(root, f"order-{number - 1}")

    assert found == Prediction(
        key=f"order-{number - 1}",
        key_hash=hashes(f"order-{number - 1}")[0],
        value=(number - 1) * 0.5,
        time_ns=found.time_ns,
        trace_id=run.trace_id,
        span_id=run.span_id,
        probability=likely[-1],
        variant="b",
        model="delay",
        model_version="7",
    )
    assert find(root, "order-x") == find(root, "") == ()


def test_the_latest_prediction_comes_first_and_a_time_range_narrows(root: Path) -> None:
    """Predictions of one key come latest first, from files and from the journal alike, within the range asked for."""
    log = PredictionLog(root)
    with mlotel.component("a"):
        pass
    for number in range(4):
        size = LARGE if number % 2 else 1
        log.add(rows(size, values=pa.array([float(number)] * size), time_ns=T0 + number * DAY))

    assert [each.value for each in find(root, "key-0")] == [3.0, 2.0, 1.0, 0.0]
    assert [each.value for each in find(root, "key-0", since_ns=T0 + DAY)] == [3.0, 2.0, 1.0]
    assert [each.value for each in find(root, "key-0", since_ns=T0 + 1, until_ns=T0 + 2 * DAY)] == [2.0, 1.0]
    assert find(root, "key-0", until_ns=T0 - 1) == ()


@pytest.mark.parametrize("number", [2, LARGE])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25, None], [0.25, None]),
        (np.array([1.5, np.nan]), [1.5, None]),
        ([float("inf"), float("-inf")], ["inf", "-inf"]),
        (np.array([0.5, 2.5], dtype="float16"), [0.5, 2.5]),
        ([2**53 + 1, -7], [2**53 + 1, -7]),
        ([Decimal("0.25"), None], [0.25, None]),
        ([True, None], ["True", None]),
        (["on-time", "x" * 1000], ["on-time", "x" * 255]),
        (pd.Series(["late", None], dtype="category"), ["late", None]),
        ([datetime(2026, 1, 1, tzinfo=UTC), None], ["2026-01-01 00:00:00+00:00", None]),
        ([None, None], [None, None]),
    ],
)
def test_values_of_every_kind(root: Path, values: Any, expected: list[Any], number: int) -> None:
    """Numbers stay numbers, whole ones exactly; labels are text; missing ones are None: in files and in the journal."""
    column = pa.array(values, from_pandas=True)
    column = pa.concat_arrays([column] * (number // 2))
    with mlotel.component("score") as run:
        run.log_predictions(column, keys=[f"k-{each}" for each in range(number)])

    found = [find(root, "k-0")[0].value, find(root, "k-1")[0].value]

    assert found == expected
    assert [type(each) for each in found] == [type(each) for each in expected]


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ([17, 18], "17"),
        (np.array([17, 18]), "17"),
        (pd.Series([17, 18], index=[5, 6]), "17"),
        (pd.Series([17.0, None]), "17"),
        (pl.Series(["a b", "ä"]), "a b"),
        (pa.chunked_array([["x"], ["y"]]), "x"),
        (pd.DataFrame({"id": ["x", "y"]}), "x"),
        (("tuple", None), "tuple"),
        ([17, "mixed"], "17"),
        (np.array([17, "mixed"], dtype=object), "17"),
        ([b"bytes", b"\xff"], "bytes"),
        (["\ud800half", "b"], "\\ud800half"),
        (["k" * 5000, "k" * 4999], "k" * 5000),
    ],
)
def test_keys_of_every_kind(root: Path, keys: Any, asked: str) -> None:
    """A key is found by the text that a person would type for it, whatever held it; what is missing has no record."""
    with mlotel.component("score") as run:
        run.log_predictions([1.0, 2.0], keys=keys)

    assert [each.value for each in find(root, asked)] == [1.0]


def test_probabilities_of_classes(root: Path) -> None:
    """Of n × classes probabilities the largest of each row is kept; NaN is none."""
    with mlotel.component("score") as run:
        run.log_predictions(
            ["a", "b", "c"], keys=[1, 2, 3], probabilities=[[0.1, 0.9], [0.75, 0.25], [float("nan"), 0.5]]
        )

    assert [find(root, key)[0].probability for key in "123"] == [0.9, 0.75, None]


def test_other_tools_read_the_files(root: Path) -> None:
    """DuckDB and Arrow read the folder as one Hive-partitioned data set, the journal left out."""
    mlotel.configure(record_key_secret=False)
    with mlotel.component("score") as run:
        run.log_predictions(np.arange(LARGE) * 1.0, keys=np.arange(LARGE), model="a/b ü", version="7")
        run.log_predictions(["late"] * LARGE, keys=np.arange(LARGE))
        run.log_predictions([0.5], keys=["in the journal"])

    query = f"""
        SELECT NULLIF(model, '__HIVE_DEFAULT_PARTITION__') AS known, -- before 1.3 the folder's name was read as text
               count(*), sum(value), count(DISTINCT key), any_value(value_text), min(hex(trace_id))
        FROM read_parquet('{root}/predictions/*/*/*.parquet', hive_partitioning = true)
        GROUP BY known ORDER BY known NULLS LAST
    """
    trace_id = run.trace_id.upper()
    assert duckdb.sql(query).fetchall() == [
        ("a/b ü", LARGE, LARGE * (LARGE - 1) / 2, LARGE, None, trace_id),
        (None, LARGE, None, LARGE, "late", trace_id),
    ]
    assert ds.dataset(root / "predictions", format="parquet", partitioning="hive").count_rows() == 2 * LARGE


def test_files_are_laid_out_for_a_look_up(root: Path) -> None:
    """A file is sorted by key hash, in row groups of 16,384 at most, with statistics and a page index, zstd, 0600."""
    with mlotel.component("score") as run:
        run.log_predictions(np.arange(LARGE), keys=np.arange(LARGE))

    (path,) = parts(root)
    with pq.ParquetFile(path) as file:
        column = file.schema_arrow.names.index("key_hash")
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        found = file.read().column("key_hash").to_numpy()
    assert [group.num_rows for group in groups] == [16_384, LARGE - 16_384]
    assert (np.sort(found) == found).all()
    chunks = [group.column(column) for group in groups]
    assert [(chunk.statistics.min, chunk.statistics.max) for chunk in chunks] == [
        (found[0], found[16_383]),
        (found[16_384], found[-1]),
    ]
    assert all(chunk.compression == "ZSTD" and chunk.has_column_index and chunk.has_offset_index for chunk in chunks)


def test_nobody_else_reads_it(root: Path) -> None:
    """Files are their owner's alone, and so is the folder that they lie in."""
    before = os.umask(0)
    try:
        with mlotel.component("score") as run:
            run.log_predictions(np.arange(LARGE), keys=np.arange(LARGE))
            run.log_predictions([1.0], keys=["one"])
    finally:
        os.umask(before)

    made = [each for each in (root / "predictions").rglob("*") if each.is_file()]
    assert {stat.S_IMODE(each.stat().st_mode) for each in made} == {0o600}
    assert stat.S_IMODE((root / "predictions").stat().st_mode) == 0o700


names = st.text(min_size=1, max_size=300) | st.sampled_from(
    ["..", ".", "/etc", "a/../../b", "__HIVE_DEFAULT_PARTITION__", "model=x", "%2e%2e", "x" * 255, "ü" * 255, "\x00"]
)


@settings(max_examples=40)
@given(name=names)
def test_no_name_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """A model of any name has a folder of its own below the data set, and comes back by that name."""
    root = tmp_path_factory.mktemp("store")
    (root / "segments").mkdir()
    name = name.encode("utf-8", "replace").decode()
    log = PredictionLog(root, file_rows=1)

    assert log.add(rows(1, model=name))
    (path,) = parts(root)
    folders = path.resolve().relative_to((root / "predictions").resolve()).parts
    assert [folder.partition("=")[0] for folder in folders[:2]] == ["model", "day"]
    assert len(folders) == 3
    assert [each.model for each in find(root, "key-0")] == [name]


def test_with_a_secret_no_key_is_on_disk(root: Path) -> None:
    """With a secret keys are found by it alone, and their text is nowhere in the store."""
    mlotel.configure(record_key_secret=SECRET)
    keys = [f"customer-{each:06}" for each in range(LARGE)]
    with mlotel.component("score") as run:
        run.log_predictions(np.arange(LARGE) * 1.0, keys=keys)
    for key in ("customer-alone", "customer-other"):
        with mlotel.component("serve") as run:
            run.log_predictions([0.5], keys=[key])
            run.log_predictions([0.5, 1.5], keys=[key + "-a", key + "-b"])

    for path in root.rglob("*"):
        assert not path.is_file() or b"customer-" not in path.read_bytes(), path
    for path in parts(root):  # compressed pages hide text from a search of bytes
        assert pq.read_table(path, partitioning=None).column("key").null_count == LARGE
    for key, value in (("customer-000123", 123.0), ("customer-alone", 0.5), ("customer-other-b", 1.5)):
        (found,) = find(root, key, secret=SECRET.encode())
        assert (found.key, found.value) == (None, value)
        assert find(root, key) == find(root, key, secret=b"another") == ()


def test_without_a_secret_the_store_makes_one(root: Path) -> None:
    """No key is on disk by default either; whoever can read the store finds what it was given."""
    keys = [f"customer-{each:06}" for each in range(LARGE)]
    with mlotel.component("score") as run:
        run.log_predictions(np.arange(LARGE) * 1.0, keys=keys)
    with mlotel.component("serve") as run:
        run.log_predictions([0.5], keys=["customer-alone"])

    for path in root.rglob("*"):
        assert not path.is_file() or b"customer-" not in path.read_bytes(), path
    for path in parts(root):
        assert pq.read_table(path, partitioning=None).column("key").null_count == LARGE
    for key, value in (("customer-000123", 123.0), ("customer-alone", 0.5)):
        (found,) = find(root, key)
        assert (found.key, found.value) == (None, value)
        assert found.key_hash not in hashes(key)  # a guess cannot be hashed without the store's secret
        assert found.key_hash in hashes(key, (root / "record.key").read_bytes())


def test_processes_that_begin_at_once_have_one_secret(root: Path) -> None:
    """Whichever makes the store's secret, all hash with it."""
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: make_secret_of_store(root), range(64)))
    assert made == {(root / "record.key").read_bytes()}
    assert len(bytes.fromhex(made.pop().decode())) == 32
    assert sorted(path.name for path in root.iterdir()) == [".gitignore", "record.key"]


def test_keys_in_clear_are_asked_for_by_a_variable_too(script: Any, tmp_path: Path) -> None:
    """Where keys are order numbers, other tools may read them."""
    script(
        """
        import mlotel
        with mlotel.component("score") as run:
            run.log_predictions([0.5], keys=["order-1"])
        """,
        MLOTEL_RECORD_KEY_SECRET="none",
    )

    (found,) = find(tmp_path / "store", "order-1")
    assert found.key == "order-1"
    assert not (tmp_path / "store" / "record.key").exists()


def test_the_secret_of_the_environment(script: Any, tmp_path: Path) -> None:
    """MLOTEL_RECORD_KEY_SECRET is used where configure names no secret."""
    script(
        """
        import mlotel
        with mlotel.component("score") as run:
            run.log_predictions([0.5], keys=["customer-1"])
        """,
        MLOTEL_RECORD_KEY_SECRET=SECRET,
    )

    assert find(tmp_path / "store", "customer-1") == ()
    (found,) = find(tmp_path / "store", "customer-1", secret=SECRET.encode())
    assert (found.key, found.value) == (None, 0.5)


def test_what_was_logged_before_there_was_a_secret_is_found_with_it(root: Path) -> None:
    """Whoever has the secret finds the predictions of a key from before and after it was introduced."""
    for number, secret in enumerate((None, SECRET)):
        mlotel.configure(record_key_secret=secret)
        with mlotel.component("score") as run:
            run.log_predictions([number], keys=["a"])

    assert [each.value for each in find(root, "a", secret=SECRET.encode())] == [1, 0]
    assert [each.value for each in find(root, "a")] == [0]


@pytest.mark.parametrize("secret", ["", b"", 17])
def test_a_secret_that_is_none_is_refused(secret: Any) -> None:
    """An empty secret would hide nothing, and says so."""
    with pytest.raises(mlotel.errors.ConfigurationError, match="record_key_secret must be text or bytes"):
        mlotel.configure(record_key_secret=secret)


def test_the_secret_is_shown_nowhere(root: Path) -> None:
    """No object of mlotel's own shows the secret, or the key made of it, when it is printed."""
    mlotel.configure(record_key_secret=SECRET)
    made = _runtime.runtime()

    assert SECRET not in repr(_runtime._settings) + repr(made)
    assert "bytes" not in repr(made.record_keys)


def test_hashes_stay_what_they_are() -> None:
    """The hash of a key is part of the format: what an earlier version wrote must be found by a later one."""
    assert hashes("customer-17") == ("e593ef4cbee49eb0",)
    assert hashes("customer-17", b"secret") == ("bc212c997ea914e3", "e593ef4cbee49eb0")
    assert hashes("") == ()


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(min_size=1) | st.uuids())
def test_a_key_is_the_text_that_shows_it(key: Any) -> None:
    """The text of a key is what printing it shows, a whole float being printed as an integer."""
    expected = str(int(key)) if isinstance(key, float) and key == int(key) else str(key)
    assert key_text(key) == key_text(expected)


def test_another_key_of_the_same_hash_is_not_it(root: Path) -> None:
    """Where the key is kept in clear, a prediction of another key with the same hash is not given."""
    with mlotel.component("a"):
        pass
    log = PredictionLog(root, file_rows=2)
    same = RecordKeys().hash("a")
    log.add(rows(3, hashes=[same] * 3, keys=["a", "b", "c"]))
    log.add(rows(1, hashes=[same], keys=["b"], values=pa.array([9.0])))

    assert [each.value for each in find(root, "a")] == [0.0]
    assert find(root, "b") == ()


def test_a_data_set_of_two_kinds_of_numbers(root: Path) -> None:
    """Counts by value are those of what was logged, as DuckDB counts them."""
    rng = np.random.default_rng(3)
    labels = rng.choice(["a", "b", "c"], LARGE).tolist()
    with mlotel.component("score") as run:
        run.log_predictions(labels, keys=range(LARGE), model="m")

    query = f"SELECT value_text, count(*) FROM read_parquet('{root}/predictions/*/*/*.parquet') GROUP BY ALL"
    assert dict(duckdb.sql(query).fetchall()) == Counter(labels)
