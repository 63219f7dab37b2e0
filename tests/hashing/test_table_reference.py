"""The table digest against a second implementation of docs/digests.md that works on single values."""

from __future__ import annotations

import pyarrow as pa
import pytest
from arrow_strategies import LEAVES, arrays, garbled, padded, rechunked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference_digest import reference_table

from mlotel.hashing import fingerprint

CUTS = st.lists(st.integers(0, 40), max_size=4)


@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(array=arrays(), cuts=CUTS, before=st.integers(0, 9), after=st.integers(0, 3), seed=st.integers(0, 99))
def test_any_layout_of_a_column_has_the_documented_digest(
    array: pa.Array, cuts: list[int], before: int, after: int, seed: int
) -> None:
    """A column's digest is the documented one in any chunks, at any offset, with rubbish under its nulls."""
    expected = reference_table(pa.table({"c": array}))
    layouts = {
        "as built": array,
        "rechunked": rechunked(array, cuts),
        "sliced": padded(array, before, after),
        "garbled": garbled(array, seed),
        "garbled and rechunked": rechunked(garbled(array, seed), cuts),
        "sliced and rechunked": rechunked(padded(array, before, after), cuts),
    }
    digests = {name: fingerprint(pa.table({"c": layout})).digest for name, layout in layouts.items()}
    assert digests == dict.fromkeys(layouts, expected)


@pytest.mark.parametrize("kind", LEAVES, ids=str)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_every_type_has_the_documented_digest(kind: pa.DataType, data: st.DataObject) -> None:
    """A column of each type has the documented digest, by SHA-256 too."""
    table = pa.table({"column": data.draw(arrays(st.just(kind)))})
    assert fingerprint(table, algorithm="sha256").digest == reference_table(table, "sha256")


@settings(deadline=None, max_examples=100)
@given(columns=st.lists(st.tuples(st.text(max_size=4), arrays(max_size=0)), max_size=5))
def test_tables_without_rows_have_the_documented_digest(columns: list[tuple[str, pa.Array]]) -> None:
    """A table of no rows is identified by its columns, names twice and no columns at all included."""
    table = pa.Table.from_arrays([a for _, a in columns], names=[n for n, _ in columns])
    found = fingerprint(table)
    assert (found.digest, found.empty, found.rows) == (reference_table(table), True, 0)
