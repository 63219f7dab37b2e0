"""The table digest against a second implementation of docs/digests.md that works on single values."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest
from arrow_strategies import LEAVES, arrays, garbled, padded, rechunked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference_digest import Reference, framed, hash_function, reference_table

from mlotel.hashing import fingerprint
from mlotel.hashing._streams import bounded, length_bytes

CUTS = st.lists(st.integers(0, 40), max_size=4)


@settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
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


@settings(deadline=None, max_examples=60)
@given(columns=st.lists(st.tuples(st.text(max_size=4), arrays(max_size=0)), max_size=5))
def test_tables_without_rows_have_the_documented_digest(columns: list[tuple[str, pa.Array]]) -> None:
    """A table of no rows is identified by its columns, names twice and no columns at all included."""
    table = pa.Table.from_arrays([a for _, a in columns], names=[n for n, _ in columns])
    found = fingerprint(table)
    assert (found.digest, found.empty, found.rows) == (reference_table(table), True, 0)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=12))
def test_unions_have_the_documented_digest(rows: list[tuple[bool, int]]) -> None:
    """Unions of both modes have the documented digest."""
    # Without nulls: for a null, pyarrow's scalar names the first field whichever it is of.
    codes = pa.array([4 if text else 7 for text, _ in rows], pa.int8())
    numbers = pa.array([v for _, v in rows], pa.int64())
    texts = pa.array([f"{v}" for _, v in rows], pa.string())
    sparse = pa.UnionArray.from_sparse(codes, [texts, numbers], ["t", "n"], [4, 7])
    dense = pa.UnionArray.from_dense(
        codes, pa.array(range(len(rows)), pa.int32()), [texts, numbers], ["t", "n"], [4, 7]
    )
    digests = {fingerprint(pa.table({"c": union})).digest for union in (sparse, dense)}
    assert digests == {reference_table(pa.table({"c": sparse}))}


def test_lengths_beyond_32_bits_are_escaped() -> None:
    """A length that four bytes cannot hold follows four bytes of ones."""
    lengths = np.array([0, 5, 2**32 - 2, 2**32 - 1, 2**40], np.int64)
    expected = struct.pack("<IIIIQIQ", 0, 5, 2**32 - 2, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**40)
    assert bytes(length_bytes(lengths)) == expected


@given(sizes=st.lists(st.integers(-3, 30), max_size=40))
def test_pieces_cover_all_rows_and_hold_the_bound(sizes: list[int]) -> None:
    """What must be copied is cut into neighbouring pieces within the bound, single rows excepted."""
    pieces = list(bounded(np.array(sizes, np.int64), 50))
    assert [row for start, stop in pieces for row in range(start, stop)] == list(range(len(sizes)))
    assert all(stop - start == 1 or sum(max(n, 0) for n in sizes[start:stop]) <= 50 for start, stop in pieces)


def test_a_first_null_after_a_million_rows_has_the_documented_digest() -> None:
    """Streams that begin late are made up for: validity with the first null, rests with the first fraction."""
    count = 1_100_000
    moments = np.arange(count + 2) * 1000
    moments[-2] += 7
    column = pa.array(moments, mask=np.arange(count + 2) == count + 1).view(pa.timestamp("ns"))
    whole = np.append(moments[:-1] // 1000, 0).astype("<i8").tobytes()
    rests = bytes(4 * count) + struct.pack("<ii", 7, 0)
    reference = Reference(hash_function("blake3"))
    node = reference.combine([True] * (count + 1) + [False], rests, whole)
    content = (
        b"mlotel.table.v1\0" + struct.pack("<QQ", count + 2, 1) + framed(b"c") + framed(b"timestamp(naive)") + node
    )
    assert fingerprint(pa.table({"c": column})).digest == f"blake3:{reference.hash(content).hex()}"
