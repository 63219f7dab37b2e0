"""Comparisons made by a local Spark are those of one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlotel.drift import Reference
from mlotel.drift import compare as on_one_machine
from mlotel.errors import ArtifactError, ConfigurationError
from mlotel.spark import compare

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.filterwarnings("ignore")]
DRAWN = np.random.default_rng(5)


def rows(number: int, shift: float = 0.0) -> pa.Table:
    values = DRAWN.normal(shift, 1, number)
    return pa.table(
        {
            "x": pa.array(values, mask=DRAWN.random(number) < 0.05),
            "y": DRAWN.normal(size=number),
            "colour": DRAWN.choice(["red", "blue", "green"], number),
        }
    )


def test_a_data_frame_is_judged_as_its_table(spark: SparkSession, tmp_path: Path) -> None:
    """Feature by feature: counts, PSI, p-values and the verdict, whatever the partitions."""
    reference, table = Reference.fit(rows(8_000)), rows(6_000, shift=0.5)
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=700)
    df = spark.read.parquet(str(tmp_path / "t.parquet")).repartition(5)

    found, expected = compare(reference, df), on_one_machine(reference, table)
    assert [each.feature for each in found.alarmed] == ["x"]
    assert found.rows == table.num_rows
    for one, other in zip(found.features, expected.features, strict=True):
        assert (one.counts, one.psi, one.p_value, one.alarm) == (other.counts, other.psi, other.p_value, other.alarm)


def test_what_cannot_be_compared_is_told(spark: SparkSession) -> None:
    """Before or instead of a verdict."""
    reference = Reference.fit(rows(1_000))
    with pytest.raises(ArtifactError, match="has no rows"):
        compare(reference, spark.createDataFrame([], "x double, y double, colour string"))
    with pytest.raises(ArtifactError, match="no Spark DataFrame"):
        compare(reference, rows(10))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        compare(reference, spark.range(10).toDF("x"), segment="none")
