"""References: what they hold, their JSON form, segments, windows, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from mlotel.drift import Reference
from mlotel.errors import ArtifactError, ConfigurationError, InvalidReferenceError
from mlotel.profiling.moments import Moments

if TYPE_CHECKING:
    from conftest import TableOf

VALUES = st.lists(st.none() | st.floats(), min_size=1, max_size=15)


def test_it_is_the_same_after_a_round_trip(table_of: TableOf, tmp_path: Path) -> None:
    """What is loaded equals what was saved, segments and all."""
    table = table_of(3_000, shop=pa.array(np.arange(3_000) % 3))
    saved = Reference.fit(table, window=100, segments="shop", model="churn", version="7")
    saved.save(tmp_path / "reference.json")

    assert Reference.load(tmp_path / "reference.json") == saved
    assert [each.name for each in tmp_path.iterdir()] == ["reference.json"]


@given(values=VALUES, texts=st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=15))
@settings(max_examples=30)
def test_any_column_makes_json(values: list[float | None], texts: list[str | None]) -> None:
    """Infinite, huge and missing values, and any text, make JSON without NaN that reads as what it was."""
    rows = min(len(values), len(texts))
    table = pa.table({"x": pa.array(values[:rows], pa.float64()), "c": pa.array(texts[:rows], pa.string())})
    fitted = Reference.fit(table)
    text = json.dumps(fitted.document(), allow_nan=False)
    assert Reference.from_json(text).document() == fitted.document()


def test_its_digest_is_that_of_the_content(table_of: TableOf) -> None:
    """Any program can compute it: BLAKE3 of the document without the digest, keys in order, no blanks, UTF-8."""
    document = Reference.fit(table_of(1_000)).document()
    digest = document.pop("digest")
    content = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest == "blake3:" + blake3(content.encode()).hexdigest()


def test_layout_makes_no_other_reference(table_of: TableOf, tmp_path: Path) -> None:
    """Chunks, a Parquet file, polars, DuckDB and a stream that is read once give the same digest."""
    table = table_of(2_000)
    pq.write_table(table, tmp_path / "table.parquet", row_group_size=300)
    layouts: list[Any] = [
        pa.concat_tables([table.slice(0, 7), table.slice(7)]),
        tmp_path / "table.parquet",
        duckdb.from_arrow(table),
        table.to_reader(max_chunksize=100),
    ]
    digest = Reference.fit(table).digest
    assert [Reference.fit(each).digest for each in layouts] == [digest] * len(layouts)
    # polars has text of another Arrow type, which the reference tells
    of_polars = Reference.fit(pl.from_arrow(table))
    assert [each.counts for each in of_polars.features] == [each.counts for each in Reference.fit(table).features]


def test_moments_are_of_the_finite_values() -> None:
    """They are those of `Moments`, with null, NaN and infinity left out."""
    values = [1.0, None, 2.5, math.nan, math.inf, 7.0, -math.inf]
    feature = Reference.fit(pa.table({"x": pa.array(values, pa.float64())})).feature("x")
    assert feature.moments == Moments.of([1.0, 2.5, 7.0])
    assert feature.counts[0] == 1  # −inf
    assert feature.counts[-2] == 1  # inf
    assert feature.counts[-1] == 2


def test_kinds_are_inferred_and_can_be_declared(table_of: TableOf) -> None:
    """Numbers are numeric, texts and booleans categorical; dates, lists and bytes are left out unless asked for."""
    table = table_of(
        1_000,
        hour=pa.array(np.arange(1_000) % 24),
        seen=pa.array(np.arange(1_000), pa.timestamp("s")),
        tags=pa.array([["a"]] * 1_000),
        raw=pa.array([b"a"] * 1_000),
    )
    inferred = Reference.fit(table)
    assert {each.name: each.kind for each in inferred.features} == {
        "age": "numeric",
        "score": "numeric",
        "city": "categorical",
        "member": "categorical",
        "hour": "numeric",
    }
    assert inferred.left_out == {"seen": "timestamp[s]", "tags": "list<item: string>", "raw": "binary"}
    declared = Reference.fit(table, kinds={"hour": "categorical", "seen": "numeric"})
    assert declared.feature("hour").kind == "categorical"
    assert len(declared.feature("hour").bins.categories) == 24
    assert declared.feature("seen").kind == "numeric"
    assert [each.name for each in Reference.fit(table, features=["hour", "age"]).features] == ["hour", "age"]


def test_the_most_frequent_categories_have_bins() -> None:
    """In order of their frequency, ties by name; identifiers, which occur once each, have none."""
    texts = ["b"] * 3 + ["a"] * 3 + ["c"] * 5 + [f"id-{number}" for number in range(100)] + [None]
    feature = Reference.fit(pa.table({"c": texts}), categories=50).feature("c")
    assert feature.bins.categories == ("c", "a", "b")
    assert feature.counts == (5, 3, 3, 100, 1)


def test_categories_beyond_all_measure_are_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column with more distinct values than are held while it is read has the counts of all its rows."""
    monkeypatch.setattr("mlotel.drift._fitting._MOST_CATEGORIES_HELD", 1_000)
    texts = [f"id-{number}" if number % 3 else "often" for number in range(9_000)]
    reader = pa.table({"c": texts}).to_batches(max_chunksize=500)
    source = duckdb.from_arrow(pa.Table.from_batches(reader))
    feature = Reference.fit(source).feature("c")
    assert feature.bins.categories == ("often",)
    assert feature.counts == (3_000, 6_000, 0)


# -- windows and segments


def test_independent_rows_have_no_overdispersion() -> None:
    """Of windows of independent rows φ is near 1 and no excess is found; PSI/s(K−1) has that mean."""
    table = pa.table({"x": np.random.default_rng(1).normal(size=60_000)})
    feature = Reference.fit(table, window=1_000).feature("x")
    assert feature.windows == 60
    assert 1.0 <= feature.overdispersion < 1.15
    assert feature.excess == 0


def test_rows_in_clusters_have_it() -> None:
    """Each value ten times in a row: there are a tenth of the rows, so that φ is near ten."""
    values = np.repeat(np.random.default_rng(2).normal(size=6_000), 10)
    feature = Reference.fit(pa.table({"x": values}), window=1_000).feature("x")
    assert 8 < feature.overdispersion < 12
    shuffled = np.random.default_rng(3).permutation(values)
    assert Reference.fit(pa.table({"x": shuffled}), window=1_000).feature("x").overdispersion < 1.2


def test_levels_that_change_raise_what_is_tolerated() -> None:
    """Windows whose mean wanders leave an excess: the largest PSI that one had."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=60_000) + np.repeat(rng.normal(0, 0.3, 60), 1_000)
    assert Reference.fit(pa.table({"x": values}), window=1_000).feature("x").excess > 0.1


def test_too_few_windows_are_refused(table_of: TableOf) -> None:
    """The message says how large a window may be."""
    with pytest.raises(ConfigurationError, match="at most 33 rows"):
        Reference.fit(table_of(1_000), window=100)


def test_segments_have_references_of_their_own(table_of: TableOf) -> None:
    """A segment's reference is the one that its rows alone make; the column of the segments is no feature."""
    shops = np.arange(4_000) % 3
    table = table_of(4_000, shop=pa.array(shops))
    whole = Reference.fit(table, segments="shop")
    assert list(whole.segments) == ["0", "1", "2"]
    assert "shop" not in {each.name for each in whole.features}
    alone = Reference.fit(table.filter(pa.array(shops == 1)).drop_columns("shop"))
    assert whole.segment(1).features == alone.features
    with pytest.raises(ConfigurationError, match="no segment 'paris'"):
        whole.segment("paris")


# -- merging


def test_parts_merge_exactly(table_of: TableOf) -> None:
    """Counted in the same bins, the parts' counts are the whole's, and moments within rounding."""
    parts = [table_of(rows, seed) for seed, rows in enumerate((3_000, 1_000, 2_500))]
    first = Reference.fit(parts[0])
    merged = first
    for part in parts[1:]:
        merged = merged.merge(first.recounted(part))
    whole = first.recounted(pa.concat_tables(parts))
    assert merged.rows == whole.rows
    for name in ("age", "score", "city", "member"):
        one, other = merged.feature(name), whole.feature(name)
        assert one.counts == other.counts
        if one.moments is not None and other.moments is not None:
            assert one.moments.m4 == pytest.approx(other.moments.m4, rel=1e-9)


def test_other_bins_do_not_merge(table_of: TableOf) -> None:
    """References that were fitted apart have other edges: adding their counts up would mean nothing."""
    with pytest.raises(InvalidReferenceError, match="recounted"):
        Reference.fit(table_of(1_000, 1)).merge(Reference.fit(table_of(1_000, 2)))


# -- what is refused

DAMAGE: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda d: d.update(version=2), "version 2, of which this mlotel knows 1"),
    (lambda d: d.update(format="else"), "not a reference"),
    (lambda d: d.update(rows=999), "counts that are not those of all rows"),
    (lambda d: d.update(more=1), "has no 'more'"),
    (lambda d: d.pop("features"), "damaged"),
    (lambda d: d.update(features={}), "no list of features"),
    (lambda d: d.update(model=None), "damaged"),
    (lambda d: d.update(window="x"), "no number of rows"),
    (lambda d: d["features"].append(d["features"][0]), "same name"),
    (lambda d: d["features"][0].update(counts=[1.5]), "no natural number"),
    (lambda d: d["features"][0].update(counts=[-1] * 27), "no natural number"),
    (lambda d: d["features"][0]["edges"].reverse(), "do not ascend"),
    (lambda d: d["features"][0].update(edges=[1e999]), "damaged"),
    (lambda d: d["features"][0].update(kind="pickle"), "unknown kind"),
    (lambda d: d["features"][0].update(overdispersion=0.5), "out of range"),
    (lambda d: d["features"][0].update(outer=[99]), "no such bin"),
    (lambda d: d["features"][2].update(categories=["a", "a", "b", "c"]), "twice"),
    (lambda d: d["features"][2]["categories"].__setitem__(0, 7), "no text"),
    (lambda d: d["features"][2]["categories"].__setitem__(0, "Wien"), "its digest"),
    (lambda d: d.update(digest="blake3:" + "0" * 64), "its digest"),
    (lambda d: d.pop("digest"), "its digest"),
    (lambda d: d["segments"].update(references=[{"segment": 1}]), "segment without a name"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_a_damaged_reference_is_refused(damage: Callable[[dict[str, Any]], Any], said: str, table_of: TableOf) -> None:
    """What was changed, or is of another version, is told; nothing of it is used."""
    document = json.loads(json.dumps(Reference.fit(table_of(1_000)).document()))
    damage(document)
    with pytest.raises(InvalidReferenceError, match=said):
        Reference.from_document(document)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\x80\x04K\x01.", b'{"format": "mlotel.reference"}', b"[" * 5000]
)
def test_what_is_no_reference_is_refused(text: bytes, tmp_path: Path) -> None:
    """Neither broken JSON nor a pickle is read as anything; the message names the file."""
    path = tmp_path / "reference.json"
    path.write_bytes(text)
    with pytest.raises(InvalidReferenceError, match=r"reference\.json: "):
        Reference.load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The message says so."""
    with pytest.raises(InvalidReferenceError, match="cannot be read: No such file"):
        Reference.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"features": ["agee"]}, "no column 'agee': did you mean 'age'"),
        ({"kinds": {"agee": "numeric"}}, "no column 'agee'"),
        ({"kinds": {"city": "numeric"}}, "'city' is string, not 'numeric': it can be categorical"),
        ({"kinds": {"age": "number"}}, "it can be numeric or categorical"),
        ({"segments": "shop"}, "no column 'shop' for segments"),
        ({"bins": 1}, "bins is 1: give a number from 2 to 1,000"),
        ({"categories": 0}, "categories is 0"),
        ({"window": 0}, "window is 0"),
    ],
)
def test_what_cannot_be_fitted_is_told(arguments: dict[str, Any], said: str, table_of: TableOf) -> None:
    """The message ends in what can be done."""
    with pytest.raises(ConfigurationError, match=said):
        Reference.fit(table_of(1_000), **arguments)


def test_no_rows_make_no_reference(table_of: TableOf) -> None:
    """An empty table is refused, as is what is no table, and two columns of one name."""
    with pytest.raises(ArtifactError, match="the table has none"):
        Reference.fit(table_of(0))
    with pytest.raises(ArtifactError, match="is not a table"):
        Reference.fit([1, 2])
    with pytest.raises(ArtifactError, match="same name"):
        Reference.fit(pa.table([[1], [2]], names=["a", "a"]))
