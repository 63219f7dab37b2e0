"""Bad input: a clear answer each, and never a NaN."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest

from mlotel.drift import DriftResult, Monitor, Reference, compare
from mlotel.drift_documents import drift_document
from mlotel.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import TableOf


def told(result: DriftResult) -> dict[str, tuple[bool, tuple[str, ...]]]:
    json.dumps(drift_document(result), allow_nan=False)
    return {each.feature: (each.alarm, each.reasons) for each in result.features}


def test_an_empty_window(table_of: TableOf) -> None:
    """No rows are no verdict; no columns are lacking columns."""
    reference = Reference.fit(table_of(1_000))
    result = compare(reference, table_of(0))
    assert set(told(result).values()) == {(False, ())}
    assert (result.rows, result.verdict) == (0, False)
    assert set(told(compare(reference, pa.table({}))).values()) == {(True, ("column_missing",))}


@pytest.mark.parametrize("rows", [1, 2, 499])
def test_few_rows_on_either_side(rows: int, table_of: TableOf) -> None:
    """A reference of one row, or a window of one, alarms about nothing."""
    assert not any(alarm for alarm, _ in told(compare(table_of(rows), table_of(5_000))).values())
    assert not any(alarm for alarm, _ in told(compare(table_of(5_000), table_of(rows))).values())


STRANGE: dict[str, Any] = {
    "constant": pa.array([1.0] * 2_000),
    "null": pa.nulls(2_000),
    "all null": pa.nulls(2_000, pa.float64()),
    "no text": pa.nulls(2_000, pa.string()),
    "nan": pa.array([float("nan")] * 2_000),
    "infinite": pa.array([float("inf"), float("-inf")] * 1_000),
    "half infinite": pa.array([float("inf"), 1.0] * 1_000),
    "huge": pa.array([1.7e308, -1.7e308] * 1_000),
    "tiny": pa.array([5e-324, 0.0] * 1_000),
    "empty text": pa.array([""] * 2_000),
    "long text": pa.array(["x" * 5_000, "y"] * 1_000),
    "identifiers": pa.array([f"id-{number}" for number in range(2_000)]),
    "same identifier": pa.array(["a"] * 2_000),
    "integers": pa.array([2**63 - 1, -(2**63)] * 1_000),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_columns_are_like_themselves(name: str) -> None:
    """A column of one value, none, infinite or extreme ones does not alarm beside itself, and makes proper JSON."""
    table = pa.table({"x": STRANGE[name]})
    reference = Reference.from_json(json.dumps(Reference.fit(table).document(), allow_nan=False))
    assert told(compare(reference, table, moments=True)) == {"x": (False, ())}


@pytest.mark.parametrize("then", STRANGE)
def test_strange_columns_beside_others(then: str) -> None:
    """Any of them beside any other gives an answer, without a NaN."""
    reference = Reference.fit(pa.table({"x": STRANGE[then]}))
    for now in STRANGE.values():
        assert set(told(compare(reference, pa.table({"x": now}), moments=True))) == {"x"}


def test_a_column_that_became_all_null(table_of: TableOf) -> None:
    """It is not another type, even where the library calls it null: its values are missing."""
    reference = Reference.fit(table_of(2_000))
    for type_ in (pa.null(), pa.float64()):
        assert (
            "missing_values" in told(compare(reference, table_of(2_000, 2, score=pa.nulls(2_000, type_))))["score"][1]
        )
    assert "missing_values" in told(compare(reference, table_of(2_000, 2, city=pa.nulls(2_000))))["city"][1]


def test_mixed_types(table_of: TableOf, tmp_path: Path) -> None:
    """Numbers among which texts have come are texts in a file, and in pandas a clear refusal that quotes no cell."""
    reference = Reference.fit(table_of(2_000))
    path = tmp_path / "mixed.csv"
    path.write_text("age,score,city,member\n" + "1,2,Rome,true\n" * 999 + "1,n/k,Rome,true\n")
    assert told(compare(reference, path))["score"] == (True, ("type_changed",))
    frame = pd.DataFrame({"score": [1, 2.5, "secret"] * 500})
    with pytest.raises(ArtifactError, match="score") as caught:
        compare(reference, frame)
    assert "secret" not in str(caught.value)


def test_columns_that_are_missing_or_added(table_of: TableOf) -> None:
    """A lacking column alarms; one more is said, and does not."""
    now = table_of(2_000, 2).drop_columns("city").append_column("extra", pa.array(range(2_000)))
    result = compare(table_of(2_000), now)
    assert told(result)["city"] == (True, ("column_missing",))
    assert (result.added, result.notes) == (("extra",), ("the reference does not know 'extra'",))
    assert [each.feature for each in result.alarmed] == ["city"]


def test_thousands_of_unseen_categories(table_of: TableOf) -> None:
    """They are one alarm, with a few of them as examples."""
    now = table_of(5_000, 2, city=pa.array([f"town-{number}" for number in range(5_000)]))
    result = compare(table_of(5_000), now)
    assert told(result)["city"] == (True, ("distribution", "unseen_categories"))
    found = next(each for each in result.features if each.feature == "city")
    assert found.notes[-1].startswith("unseen: 'town-")
    assert len(found.notes[-1]) < 200


def test_columns_of_no_use(table_of: TableOf) -> None:
    """Where a number was and a list, bytes or a struct is now, the type has changed."""
    for value in ([[1]] * 1_000, [b"x"] * 1_000, [{"a": 1}] * 1_000):
        assert told(compare(table_of(1_000), table_of(1_000, 2, score=pa.array(value))))["score"] == (
            True,
            ("type_changed",),
        )


def test_two_columns_of_one_name(table_of: TableOf) -> None:
    """It is told that they need names of their own."""
    now = table_of(1_000).append_column("age", pa.array(range(1_000)))
    with pytest.raises(ArtifactError, match="2 columns are named 'age'"):
        compare(Reference.fit(table_of(1_000)), now)


def test_counts_of_another_reference(table_of: TableOf) -> None:
    """Counts in other bins, or of other rows than they say, are refused, in one window and over many."""
    reference = Reference.fit(table_of(5_000))
    counts = Reference.fit(table_of(5_000), bins=10).counts(table_of(1_000))
    fewer = replace(reference.counts(table_of(1_000)), rows=999)
    for each in (counts, fewer):
        with pytest.raises(ArtifactError, match="count with the reference"):
            compare(reference, each)
        with pytest.raises(ArtifactError, match="count with the reference"):
            Monitor(reference).observe(each)
    with pytest.raises(ArtifactError, match="cannot be added up"):
        counts.merge(fewer)


def test_files_that_are_none(tmp_path: Path, table_of: TableOf) -> None:
    """What is not there, no table, damaged or an empty folder is told with its path and what would do."""
    reference = Reference.fit(table_of(1_000))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\nsecret\n")
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "folder").mkdir()
    for name, said in [
        ("none.parquet", "no such file"),
        ("notes.txt", "not a table"),
        ("damaged.parquet", "cannot be read"),
        ("ragged.csv", "cannot be read as CSV"),
        ("nothing.csv", "cannot be read as CSV"),
        ("folder", "no tables in this folder"),
    ]:
        with pytest.raises(ArtifactError, match=said) as caught:
            compare(reference, tmp_path / name)
        assert name in str(caught.value)
        assert "secret" not in str(caught.value)


def test_files_of_a_folder_that_are_not_one_table(tmp_path: Path, table_of: TableOf) -> None:
    """A column that is a number in one file and a text in another is refused; one that a file lacks is missing."""
    import pyarrow.parquet as pq

    pq.write_table(table_of(1_000), tmp_path / "a.parquet")
    pq.write_table(table_of(1_000).drop_columns("score"), tmp_path / "b.parquet")
    reference = Reference.fit(table_of(1_000))
    assert "missing_values" in told(compare(reference, tmp_path))["score"][1]
    pq.write_table(pa.table({"age": ["x"]}), tmp_path / "c.parquet")
    with pytest.raises(ArtifactError, match="not one table"):
        compare(reference, tmp_path)
