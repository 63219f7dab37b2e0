"""Digests that must never change: committed vectors, checked against both implementations."""

from __future__ import annotations

import datetime
import decimal
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from reference_digest import reference_table

from mlotel.hashing import digest_manifest, fingerprint

GOLDEN = Path(__file__).with_name("golden.json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "digests.md"
MOMENT = datetime.datetime(2026, 2, 28, 12, 30, 15, 123456)

TABLES: dict[str, Callable[[], pa.Table]] = {
    "no columns": lambda: pa.table({}),
    "no rows": lambda: pa.table({"a": pa.array([], pa.int64())}),
    "integers": lambda: pa.table({"a": pa.array([1, -2, None], pa.int64()), "b": pa.array([255, 0, None], pa.uint8())}),
    "floats": lambda: pa.table(
        {
            "d": pa.array([0.0, -0.0, float("nan"), float("inf"), None]),
            "f": pa.array([1.5, None, 0, 0, 0], pa.float32()),
        }
    ),
    "booleans": lambda: pa.table({"a": [True, False, None] * 5}),
    "text": lambda: pa.table({"a": ["", "a", "ä", None], "b": pa.array([b"", b"\0", None, b"xyz"])}),
    "nulls": lambda: pa.table({"a": pa.nulls(3)}),
    "decimals": lambda: pa.table(
        {
            "a": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-0.01")], pa.decimal128(10, 2)),
            "b": pa.array([decimal.Decimal(1), None, decimal.Decimal(-1)], pa.decimal256(50, 3)),
        }
    ),
    "times": lambda: pa.table(
        {
            "day": pa.array([MOMENT.date(), None], pa.date32()),
            "clock": pa.array([MOMENT.time(), None], pa.time64("us")),
            "naive": pa.array([MOMENT, None], pa.timestamp("us")),
            "aware": pa.array([MOMENT, None], pa.timestamp("ms", "Europe/Helsinki")),
            "span": pa.array([1_500_000_001, None], pa.duration("ns")),
            "calendar": pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
        }
    ),
    "nested": lambda: pa.table(
        {
            "list": pa.array([[1, None], None, []], pa.list_(pa.int32())),
            "struct": pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}]),
            "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
            "deep": pa.array([[[b"a"], []], None, [None]], pa.list_(pa.list_(pa.binary(1)))),
        }
    ),
    "names": lambda: pa.Table.from_arrays([pa.array([1])] * 3, names=["", "a", "a"]),
}


def found() -> dict[str, str | None]:
    """All digests as this version computes them."""
    digests: dict[str, str | None] = {
        "bytes": fingerprint(b"mlotel").digest,
        "bytes, sha256": fingerprint(b"mlotel", algorithm="sha256").digest,
        "manifest": digest_manifest([("b", "blake3:00"), ("a", "sha256:11")]),
        "array": fingerprint(np.arange(6, dtype="f4").reshape(2, 3)).digest,
    }
    for name, make in TABLES.items():
        table = make()
        digests[f"table, {name}"] = fingerprint(table).digest
        digests[f"table, {name}, sha256"] = fingerprint(table, algorithm="sha256").digest
        digests[f"schema, {name}"] = fingerprint(table).schema_digest
    return digests


def test_digests_are_those_of_every_version_before() -> None:
    """No release changes a digest: the committed vectors are found again."""
    assert found() == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", TABLES)
def test_the_documented_encoding_gives_the_golden_vectors(name: str) -> None:
    """The second implementation finds the committed vectors too."""
    golden = json.loads(GOLDEN.read_text())
    assert reference_table(TABLES[name]()) == golden[f"table, {name}"]
    assert reference_table(TABLES[name](), "sha256") == golden[f"table, {name}, sha256"]


def test_the_vectors_in_the_documentation_are_golden() -> None:
    """Each digest printed in docs/digests.md is a committed vector, and its example computes it."""
    rows = re.findall(r"^\| `(pa\..*)` \| `(blake3:\w{64})` \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) == 5
    for example, digest in rows:
        assert fingerprint(eval(example, {"pa": pa})).digest == digest
        assert digest in json.loads(GOLDEN.read_text()).values()
