"""What must change a table's digest: each value, null, name, type and order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrow_strategies import LEAVES, build, values_of
from hypothesis import given, settings
from hypothesis import strategies as st

from mlotel.hashing import fingerprint


def digest(*columns: pa.Array, names: list[str] | None = None) -> str:
    found = fingerprint(pa.Table.from_arrays(list(columns), names=names or [f"c{i}" for i in range(len(columns))]))
    assert found.digest is not None, found.note
    return found.digest


def comparable(value: Any) -> Any:
    """A value in a form whose equality is the digest's: NaN equals NaN, -0.0 is not 0.0."""
    if isinstance(value, float | np.floating):
        return ("nan",) if math.isnan(value) else (float(value), math.copysign(1.0, value))
    if isinstance(value, list | tuple):
        return tuple(comparable(v) for v in value)
    return value


@pytest.mark.parametrize(
    "kind",
    [
        *LEAVES,
        pa.list_(pa.int8()),
        pa.list_(pa.string()),
        pa.map_(pa.int32(), pa.float32()),
        pa.list_(pa.list_(pa.bool_())),
    ],
    ids=str,
)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_two_columns_have_one_digest_exactly_if_their_values_are_equal(kind: pa.DataType, data: st.DataObject) -> None:
    """Columns of one type and length share a digest if and only if each row is equal."""
    few = st.sampled_from(data.draw(st.lists(values_of(kind), min_size=2, max_size=3)))
    size = data.draw(st.integers(1, 4))
    first = data.draw(st.lists(few, min_size=size, max_size=size))
    second = data.draw(st.lists(few, min_size=size, max_size=size))
    equal = comparable(first) == comparable(second)
    assert (digest(build(first, kind)) == digest(build(second, kind))) is equal


@settings(deadline=None, max_examples=50)
@given(values=st.lists(values_of(pa.int64()), min_size=1, max_size=300), data=st.data())
def test_changing_any_cell_changes_the_digest(values: list[int | None], data: st.DataObject) -> None:
    """One changed cell among many is seen wherever it stands."""
    row = data.draw(st.integers(0, len(values) - 1))
    other = data.draw(values_of(pa.int64()).filter(lambda v: v != values[row]))
    changed = [*values[:row], other, *values[row + 1 :]]
    assert digest(pa.array(values, pa.int64())) != digest(pa.array(changed, pa.int64()))


def test_one_changed_row_in_a_long_table_changes_the_digest() -> None:
    """A change far behind the first block is seen, in plain columns and in columns with nulls and NaN."""
    count = 300_000
    plain = np.arange(count, dtype="f8")
    changed = plain.copy()
    changed[-2] += 1e-9 * changed[-2]
    mask = np.arange(count) % 7 == 0
    for options in ({}, {"mask": mask}):
        assert digest(pa.array(plain, **options)) != digest(pa.array(changed, **options))
    moved = mask.copy()
    moved[-1] = not moved[-1]
    assert digest(pa.array(plain, mask=mask)) != digest(pa.array(plain, mask=moved))


DISTINCT: dict[str, list[pa.Array]] = {
    "widths and signs": [pa.array([1, 2], getattr(pa, f"{u}int{n}")()) for u in ("", "u") for n in (8, 16, 32, 64)],
    "floats": [pa.array(np.array([1.5], kind)) for kind in ("f2", "f4", "f8")],
    "kinds": [
        pa.array(["1"]),
        pa.array([b"1"]),
        pa.array([b"1"], pa.binary(1)),
        pa.array([1]),
        pa.array([1.0]),
        pa.array([True]),
    ],
    "zeros, NaN and null": [pa.array([v], pa.float64()) for v in (0.0, -0.0, float("nan"), None)],
    "types of nothing but nulls": [pa.array([None], kind) for kind in (pa.null(), pa.bool_(), pa.int8(), pa.string())],
    "text boundaries": [pa.array(v) for v in (["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"], ["abc", None])],
    "list boundaries": [
        pa.array(v, pa.list_(pa.int8())) for v in ([[1], [2, 3]], [[1, 2], [3]], [[1, 2, 3], []], [[1, 2, 3], None])
    ],
    "empty, null and a list of null": [pa.array([v], pa.list_(pa.int8())) for v in ([], None, [None], [None, None])],
    "decimals": [
        pa.array([decimal], kind)
        for decimal, kind in ((1, pa.decimal128(5, 2)), (1, pa.decimal128(6, 2)), (1, pa.decimal128(5, 1)))
    ],
    "zones": [pa.array([0], pa.timestamp("us")), pa.array([0], pa.timestamp("us", "UTC"))],
    "times": [
        pa.array([0], kind)
        for kind in (pa.timestamp("us"), pa.time64("us"), pa.duration("us"), pa.date32(), pa.int64(), pa.int32())
    ],
    "fractions": [pa.array([v], pa.timestamp("ns")) for v in (1_000, 1_001, 0, -1, -1_000)],
    "struct fields": [
        pa.array([{"a": 1, "b": 2}]),
        pa.array([{"b": 2, "a": 1}], pa.struct([("b", pa.int64()), ("a", pa.int64())])),
        pa.array([{"a": 1, "c": 2}]),
        pa.array([None], pa.struct([("a", pa.int64()), ("b", pa.int64())])),
        pa.array([{"a": None, "b": None}], pa.struct([("a", pa.int64()), ("b", pa.int64())])),
    ],
    "maps": [
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([[{"key": "a", "value": 1}]]),
        pa.array([[]], pa.map_(pa.string(), pa.int64())),
        pa.array([None], pa.map_(pa.string(), pa.int64())),
    ],
    "names in types": [pa.array([{}], pa.struct([(name, pa.int8())])) for name in ("a", "a,b", "1:a", "a=int8,1:b")],
    "beyond 64 bits of microseconds": [
        pa.array([value], pa.int64()).view(pa.timestamp("s"))
        for value in (2**62, 2**62 + 2**58, 2**62 - 2**58, -(2**62), (2**62 * 10**6) % 2**64 // 10**6)
    ],
}


@pytest.mark.parametrize("name", DISTINCT)
def test_columns_that_differ_have_different_digests(name: str) -> None:
    """No two of a group of columns, alike to a careless eye, share a digest."""
    digests = [digest(array) for array in DISTINCT[name]]
    assert len(set(digests)) == len(digests)


def test_names_and_order_of_columns_and_rows_count() -> None:
    """Renaming a column, swapping columns, and swapping rows each change the digest."""
    a, b = pa.array([1, 2]), pa.array([2, 1])
    digests = [
        digest(a, b, names=["a", "b"]),
        digest(b, a, names=["b", "a"]),
        digest(a, b, names=["a", "c"]),
        digest(a, b, names=["a", "a"]),
        digest(b, a, names=["a", "b"]),
        digest(a, names=["a"]),
        digest(a, a, names=["a", "b"]),
        digest(a, b, names=["ab", ""]),
        digest(a, b, names=["", "ab"]),
    ]
    assert len(set(digests)) == len(digests)


def test_repeating_rows_changes_the_digest() -> None:
    """Row counts count, for columns of nothing but nulls and for tables without columns too."""
    for column in (pa.nulls(1), pa.array([None], pa.int8()), pa.array([""]), pa.array([{}], pa.struct([]))):
        assert digest(column) != digest(pa.concat_arrays([column, column]))


class Named(pa.ExtensionType):
    """An extension type of any name."""

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Named:
        raise NotImplementedError


def test_an_extension_type_is_not_its_storage() -> None:
    """The name of an extension type counts."""
    storage = pa.array([b"0" * 16], pa.binary(16))
    digests = [digest(pa.ExtensionArray.from_storage(Named(pa.binary(16), name), storage)) for name in ("a.b", "a.c")]
    assert len({*digests, digest(storage)}) == 3


def test_union_fields_are_told_apart() -> None:
    """Which field a union's row belongs to counts, even where the values are equal."""
    fields = [pa.array([1, 1]), pa.array([1, 1])]
    unions = [pa.UnionArray.from_sparse(pa.array(codes, pa.int8()), fields) for codes in ([0, 0], [0, 1], [1, 0])]
    assert len({digest(union) for union in unions}) == 3
