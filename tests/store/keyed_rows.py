"""Keyed predictions made up for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from mlotel.model import Prediction
from mlotel.store.files import FileStore
from mlotel.store.predictions.keys import RecordKeys
from mlotel.store.predictions.rows import KeyedRows

T0 = 1_700_000_000_000_000_000
DAY = 86_400 * 10**9


def rows(number: int, *, first: int = 0, **changes: Any) -> KeyedRows:
    """Predictions of the keys key-0, key-1, …, each with its number as value."""
    keys = [f"key-{each}" for each in range(first, first + number)]
    values: dict[str, Any] = {
        "hashes": [RecordKeys().hash(key) for key in keys],
        "keys": keys,
        "values": pa.array([float(each) for each in range(first, first + number)]),
        "texts": None,
        "probabilities": None,
        "variant": None,
        "model": "delay",
        "model_version": "7",
        "model_digest": None,
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
        "time_ns": T0,
    }
    return KeyedRows(**{**values, **changes})


def find(root: Path, key: str, **options: Any) -> tuple[Prediction, ...]:
    """What the store at `root` answers."""
    with FileStore(root) as store:
        return tuple(store.predictions(key, **options))


def parts(root: Path) -> list[Path]:
    """The Parquet files of the store at `root`."""
    return sorted((root / "predictions").rglob("part-*.parquet"))


def tails(root: Path) -> list[Path]:
    """The journal files of the store at `root`."""
    return sorted((root / "predictions" / "_journal" / "segments").glob("*.jsonl"))
