"""Profiles made by a local Spark are those of one machine."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlotel
from mlotel.errors import ArtifactError
from mlotel.profiling import Profile
from mlotel.spark import profile

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

# Spark warns of the newest pandas, which it loads and none of this uses.
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
spark_only = pytest.mark.spark
ROWS = 20_000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(1)
    start = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
    return pa.table(
        {
            "delay": pa.array(random.gamma(2.0, size=ROWS) - 1, mask=random.random(ROWS) < 0.03),
            "hour": random.integers(0, 24, ROWS),
            "origin": [("JFK", "EWR", "LGA")[index % 3] for index in range(ROWS)],
            "when": [start + dt.timedelta(minutes=7 * index) for index in range(ROWS)],
            "late": random.random(ROWS) < 0.2,
            "stops": [[1] * (index % 4) for index in range(ROWS)],
        }
    )


def counts(found: Profile) -> list[dict[str, Any]]:
    """What is exact: all but moments, and sketches of many values."""
    names = ("column", "kind", "null", "nan", "min", "max", "zero", "negative", "infinite", "true", "empty")
    return [{name: column[name] for name in names} for column in found.document()["columns"]]


def moments(found: Profile) -> list[float]:
    """The moments of all columns that have some."""
    columns = [column.moments or column.lengths for column in found]
    return [getattr(each, name) for each in columns if each for name in ("mean", "std", "skewness", "kurtosis")]


@spark_only
def test_a_data_frame_has_the_profile_of_its_table(spark: SparkSession, table: pa.Table, tmp_path: Path) -> None:
    """Counts, extremes, distinct and frequent values are equal, moments to 1e-9, ranks within their error."""
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2_000)
    df = spark.read.parquet(f"{tmp_path / 't.parquet'}").repartition(7)
    found, alone = profile(df, frequent="all"), mlotel.profile(table, frequent="all")

    assert found.rows == ROWS
    assert [column.name for column in found] == table.column_names
    assert counts(found) == counts(alone)
    assert moments(found) == pytest.approx(moments(alone), rel=1e-9, abs=1e-9, nan_ok=True)
    for name in ("hour", "origin", "late"):
        assert found[name].distinct == alone[name].distinct
        assert found[name].frequent(24) == alone[name].frequent(24)
    delays = table["delay"].drop_null().to_numpy()
    error = found["delay"].rank_error
    assert error is not None
    for rank, value in zip((0.05, 0.5, 0.95), found["delay"].quantiles([0.05, 0.5, 0.95]), strict=True):
        assert (delays <= value).mean() == pytest.approx(rank, abs=1.5 * error)


@spark_only
def test_groups_are_those_of_one_machine(spark: SparkSession, table: pa.Table, tmp_path: Path) -> None:
    """Whatever partition their rows lie in."""
    pq.write_table(table.select(["hour", "origin"]), tmp_path / "t.parquet")
    df = spark.read.parquet(f"{tmp_path / 't.parquet'}").repartition(5)
    found = profile(df, by="origin")
    alone = mlotel.profile(table.select(["hour", "origin"]), by="origin")

    assert {each.key: counts(each.profile) for each in found.groups} == {
        each.key: counts(each.profile) for each in alone.groups
    }


@spark_only
def test_a_data_frame_without_rows_has_columns(spark: SparkSession) -> None:
    """Of no type yet, so that they merge with those of any other."""
    found = profile(spark.createDataFrame([], "x double, s string"))
    assert [(column.name, column.rows) for column in found] == [("x", 0), ("s", 0)]
    assert found.merge(mlotel.profile(pa.table({"x": [1.5], "s": ["a"]})))["x"].mean == 1.5


@spark_only
def test_bad_options_are_refused_before_anything_runs(spark: SparkSession) -> None:
    """By the driver, with the words of `mlotel.profile`."""
    df = spark.createDataFrame([], "x double, l array<int>")
    with pytest.raises(ArtifactError, match="no column 'y' to group by"):
        profile(df, by="y")
    with pytest.raises(ArtifactError, match="group by one of plain values"):
        profile(df, by="l")


def test_other_tables_are_refused() -> None:
    """They need no Spark."""
    with pytest.raises(
        ArtifactError, match=r"pyarrow\.lib\.Table is no Spark DataFrame: mlotel\.profile takes other tables"
    ):
        profile(pa.table({"x": [1]}))  # type: ignore[arg-type]
