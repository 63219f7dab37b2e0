"""Hypothesis strategies for Arrow columns of every type, and other layouts of the same logical values."""

from __future__ import annotations

import datetime
import decimal
import itertools
import random
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

__all__ = ["LEAVES", "arrays", "garbled", "kinds", "padded", "rechunked", "values_of"]

LEAVES: tuple[pa.DataType, ...] = (
    pa.null(),
    pa.bool_(),
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64()),
    *(pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()),
    *(pa.binary(3), pa.binary(16)),
    *(pa.decimal128(5, 2), pa.decimal128(38, 0), pa.decimal256(10, 3), pa.decimal256(60, 4)),
    *(pa.date32(), pa.date64()),
    *(pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    *(pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns")),
    *(pa.timestamp("ns", "Europe/Helsinki"), pa.timestamp("us", "UTC")),
    *(pa.duration("s"), pa.duration("ms"), pa.duration("us"), pa.duration("ns")),
    pa.month_day_nano_interval(),
    *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.uint32(), pa.int64())),
)


def kinds() -> st.SearchStrategy[pa.DataType]:
    """Every type, nested ones included."""
    return st.recursive(st.sampled_from(LEAVES), _nested, max_leaves=4)


def _nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    keys = st.sampled_from([pa.string(), pa.int32(), pa.date32()])
    names = st.sampled_from(["a", "b", "ä", ""])
    return st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(pa.list_view),
        inner.map(pa.large_list_view),
        inner.map(lambda kind: pa.list_(kind, 2)),
        st.lists(st.tuples(names, inner), max_size=3).map(lambda fields: pa.struct([pa.field(*f) for f in fields])),
        st.tuples(keys, inner).map(lambda pair: pa.map_(*pair)),
    )


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Python values of a type, None (null) among them."""
    if pa.types.is_null(kind):
        return st.none()
    return st.one_of(st.none(), _present(kind))


def _present(kind: Any) -> st.SearchStrategy[Any]:
    text = f"{kind}"
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_integer(kind):
        unsigned = text.startswith("u")
        top = 2 ** (kind.bit_width - (not unsigned)) - 1
        return st.one_of(st.integers(0 if unsigned else -top - 1, top), st.integers(0, 3))
    if pa.types.is_floating(kind):
        return st.one_of(st.floats(width=kind.bit_width), st.sampled_from([0.0, -0.0, float("nan"), float("inf")])).map(
            np.float16 if kind.bit_width == 16 else float
        )
    if pa.types.is_decimal(kind):
        top = 10**kind.precision - 1
        return st.integers(-top, top).map(lambda n: decimal.Decimal(n).scaleb(-kind.scale, decimal.Context(prec=80)))
    if pa.types.is_date32(kind):
        return st.dates()
    if pa.types.is_date64(kind):
        return st.dates(min_value=datetime.date(1000, 1, 1))
    if pa.types.is_time(kind):
        return st.integers(0, 86_399).map(lambda n: n * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit])
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return st.one_of(st.integers(-(2**62), 2**62), st.integers(-10, 10))
    if text == "month_day_nano_interval":
        return st.tuples(st.integers(-99, 99), st.integers(-99, 99), st.integers(-(2**40), 2**40))
    if pa.types.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if "binary" in text and not pa.types.is_nested(kind):
        return st.binary(max_size=20)
    if pa.types.is_dictionary(kind):
        return st.integers(0, 5) if pa.types.is_integer(kind.value_type) else st.text("ab", max_size=3)
    if pa.types.is_map(kind):
        return st.lists(st.tuples(_present(kind.key_type), values_of(kind.item_type)), max_size=3)
    if pa.types.is_struct(kind):
        # As a tuple: two fields may have the same name.
        return st.tuples(*[values_of(kind.field(i).type) for i in range(kind.num_fields)])
    if pa.types.is_fixed_size_list(kind):
        return st.lists(values_of(kind.value_type), min_size=2, max_size=2)
    if hasattr(kind, "value_field"):
        return st.lists(values_of(kind.value_type), max_size=3)
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def build(values: list[Any], kind: Any) -> pa.Array:
    """An array of Python values; like `pa.array`, but for the types that it cannot build."""
    text = f"{kind}"
    if pa.types.is_struct(kind):
        mask = pa.array([v is None for v in values], pa.bool_())
        columns = [
            build([None if v is None else v[i] for v in values], kind.field(i).type) for i in range(kind.num_fields)
        ]
        if not columns:
            return pa.array([None if v is None else {} for v in values], kind)
        return pa.StructArray.from_arrays(columns, fields=list(kind), mask=mask)
    if pa.types.is_map(kind):
        offsets = _offsets(values)
        pairs = [pair for v in values if v for pair in v]
        keys, items = build([p[0] for p in pairs], kind.key_type), build([p[1] for p in pairs], kind.item_type)
        return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items, type=kind)
    if pa.types.is_fixed_size_list(kind):
        flat = [x for v in values for x in (v if v is not None else [None, None])]
        mask = pa.array([v is None for v in values], pa.bool_())
        return pa.FixedSizeListArray.from_arrays(build(flat, kind.value_type), type=kind, mask=mask)
    if "list_view" in text.partition("<")[0]:
        wide = pa.types.is_large_list_view(kind)
        cls = pa.LargeListViewArray if wide else pa.ListViewArray
        child = build([x for v in values if v for x in v], kind.value_type)
        sizes = [len(v or ()) for v in values]
        starts = [o or 0 for o in _starts(values)]
        number = pa.int64() if wide else pa.int32()
        mask = pa.array([v is None for v in values], pa.bool_())
        return cls.from_arrays(pa.array(starts, number), pa.array(sizes, number), child, type=kind, mask=mask)
    if hasattr(kind, "value_field"):
        wide = pa.types.is_large_list(kind)
        child = build([x for v in values if v for x in v], kind.value_type)
        offsets = pa.array(_offsets(values), pa.int64() if wide else pa.int32())
        return (pa.LargeListArray if wide else pa.ListArray).from_arrays(offsets, child, type=kind)
    if pa.types.is_temporal(kind) and not text.startswith(("date", "month")):
        return pa.array(values, pa.int64() if kind.bit_width == 64 else pa.int32()).view(kind)
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def _starts(values: list[Any]) -> list[int]:
    starts, total = [], 0
    for value in values:
        starts.append(total)
        total += len(value or ())
    return starts


def _offsets(values: list[Any]) -> list[int | None]:
    # A null offset makes its list null: https://arrow.apache.org/docs/python/generated/pyarrow.ListArray.html
    offsets: list[int | None] = [None if v is None else s for v, s in zip(values, _starts(values), strict=True)]
    return [*offsets, sum(len(v or ()) for v in values)]


@st.composite
def arrays(draw: st.DrawFn, kind: st.SearchStrategy[pa.DataType] | None = None, max_size: int = 20) -> pa.Array:
    """Arrays of any type."""
    chosen = draw(kinds() if kind is None else kind)
    return build(draw(st.lists(values_of(chosen), max_size=max_size)), chosen)


def rechunked(array: pa.Array, cuts: list[int]) -> pa.ChunkedArray:
    """The same rows in chunks, empty ones included."""
    places = [0, *sorted(cut % (len(array) + 1) for cut in cuts), len(array)]
    chunks = [array.slice(a, b - a) for a, b in itertools.pairwise(places)]
    return pa.chunked_array(chunks, array.type)


def padded(array: pa.Array, before: int, after: int) -> pa.Array:
    """The same rows as a slice from the middle of a longer array, so that offsets are not zero."""
    if len(array) == 0:
        return array
    first = array.slice(0, 1)
    return pa.concat_arrays([first] * before + [array] + [first] * after).slice(before, len(array))


def garbled(array: pa.Array, seed: int) -> pa.Array:
    """The same rows with an explicit bitmap whose padding bits are set and with rubbish under the nulls."""
    kind, count = array.type, len(array)
    buffers = array.buffers()
    if count == 0 or pa.types.is_null(kind) or (buffers[0] is None and array.null_count):
        return array
    chance = random.Random(seed)
    valid = array.is_valid().to_pylist()
    bitmap = _bitmap(valid)
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        if kind.bit_width < 8 or array.offset:
            return array
        width = kind.bit_width // 8
        content = bytearray(buffers[1].to_pybytes()[: count * width])
        for row, ok in enumerate(valid):
            if not ok:
                content[row * width : (row + 1) * width] = chance.randbytes(width)
        return pa.Array.from_buffers(kind, count, [bitmap, pa.py_buffer(bytes(content))])
    if kind in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
        pieces = [v.as_buffer().to_pybytes() if ok else b"rubbish" for v, ok in zip(array, valid, strict=True)]
        offsets = np.cumsum([3, *map(len, pieces)]).astype("i8" if f"{kind}".startswith("large") else "i4")
        return pa.Array.from_buffers(
            kind, count, [bitmap, pa.py_buffer(offsets), pa.py_buffer(b"pad" + b"".join(pieces) + b"pad")]
        )
    if pa.types.is_list(kind) and not array.offset:
        child = array.values
        pieces = [v.values if ok else child.slice(0, 1) for v, ok in zip(array, valid, strict=True)]
        offsets = np.cumsum([0, *map(len, pieces)]).astype("i4")
        flat = pa.concat_arrays(pieces)
        return pa.Array.from_buffers(kind, count, [bitmap, pa.py_buffer(offsets)], children=[flat])
    return array


def _bitmap(valid: list[bool]) -> pa.Buffer:
    bits = np.ones(len(valid) + 64 - len(valid) % 64, np.uint8)
    bits[: len(valid)] = valid
    return pa.py_buffer(np.packbits(bits, bitorder="little"))
