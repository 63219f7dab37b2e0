"""What is an artifact without being asked for one, and that finding out imports nothing."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path, PurePosixPath

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import mlotel.hashing
from mlotel.hashing import is_artifact


@pytest.mark.parametrize(
    "obj",
    [
        Path("x"),
        PurePosixPath("x"),
        pa.table({"a": [1]}),
        pa.record_batch({"a": [1]}),
        pa.array([1]),
        pa.chunked_array([[1]]),
        pa.table({"a": [1]}).to_reader(),
        pd.DataFrame({"a": [1]}),
        pd.Series([1]),
        pl.DataFrame({"a": [1]}),
        pl.Series([1]),
        np.zeros(1),
        np.zeros((2, 2)),
        LinearRegression(),
    ],
    ids=lambda obj: f"{type(obj).__module__}.{type(obj).__name__}",
)
def test_paths_tables_arrays_and_models_are_artifacts(obj: object) -> None:
    """These are recorded when a decorated function takes or returns them."""
    assert is_artifact(obj) is True


def test_a_duckdb_relation_is_an_artifact() -> None:
    """A relation is a table."""
    with duckdb.connect() as connection:
        assert is_artifact(connection.sql("select 1")) is True


@pytest.mark.parametrize(
    "obj",
    [
        *("text", b"bytes", bytearray(b"x"), memoryview(b"x"), 1, 1.5, True, None, 1j),
        *([1], (1,), {"a": 1}, {1}, frozenset()),
        *(np.float64(1), np.array(1), np.dtype("f4"), pa.scalar(1), pa.int8(), pa.schema([]), pa.py_buffer(b"x")),
        *(
            pd.Timestamp(0),
            datetime.date(2026, 1, 1),
            object(),
            print,
            len,
            LinearRegression,
            pd.DataFrame,
            pa.Table,
            Path,
        ),
        *(type("Text", (str,), {"__fspath__": str})("x"), sys),
    ],
    ids=lambda obj: f"{type(obj).__module__}.{type(obj).__name__}",
)
def test_values_containers_and_classes_are_not(obj: object) -> None:
    """Text, bytes, numbers, containers and classes are never artifacts by themselves."""
    assert is_artifact(obj) is False


def test_nothing_heavy_is_imported() -> None:
    """Importing the package and asking about objects imports neither pyarrow nor NumPy nor pandas."""
    code = """
import sys, pathlib
from mlotel.hashing import fingerprint, is_artifact
is_artifact(1), is_artifact(object()), is_artifact(pathlib.Path("x")), fingerprint(b"x"), fingerprint(object())
print([name for name in ("pyarrow", "numpy", "pandas", "polars", "sklearn", "opentelemetry") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names() -> None:
    """The package offers exactly these names."""
    assert mlotel.hashing.__all__ == [
        "Fingerprinter",
        "StatCache",
        "content_digest",
        "digest_manifest",
        "fingerprint",
        "is_artifact",
        "register",
    ]
    assert all(hasattr(mlotel.hashing, name) for name in mlotel.hashing.__all__)
