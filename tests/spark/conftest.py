from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local Spark of two executors' threads, whose Python processes see this checkout."""
    from pyspark.sql import SparkSession

    sys.path.insert(0, str(SOURCES.parent / "tools"))
    from mlotel_stack.distribution import JAVA

    JAVA.ensure()
    folder = tmp_path_factory.mktemp("spark")
    python_path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [f"{SOURCES}", python_path]))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.local.dir", f"{folder}")
        .config("spark.sql.warehouse.dir", f"{folder / 'warehouse'}")
        .getOrCreate()
    )
    yield session
    session.stop()
    os.environ.pop("PYSPARK_PYTHON")
    if python_path is None:
        os.environ.pop("PYTHONPATH")
    else:
        os.environ["PYTHONPATH"] = python_path
