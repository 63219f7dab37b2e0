"""Nodes of types whose values hold no other values: numbers, truth values, times, decimals, text and bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import types

from mlotel.hashing._algorithms import NewHasher
from mlotel.hashing._node import Node
from mlotel.hashing._streams import ABSENT, BitStream, SparseStream, bounded, octets, one_nan, unpacked, valid_bits

__all__ = ["BoolNode", "BytesNode", "DecimalNode", "FixedNode", "FloatNode", "NullNode", "TemporalNode"]

_CACHED_BYTES = 512 << 10
_SCANNED_BYTES = 512 << 10
_UNSIGNED: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}


class FixedNode(Node):
    """Values of a fixed number of bytes: as they are in memory, zeros where there is a null."""

    __slots__ = ("_width",)

    def __init__(self, width: int, new: NewHasher) -> None:
        super().__init__(new)
        self._width = width
        # What is copied to zero it under nulls must still be in the processor's cache when it is hashed.
        self._step = max(8, _CACHED_BYTES // max(width, 1) // 8 * 8)

    def update(self, array: Any) -> None:
        if array.null_count or len(array) == 0:
            super().update(array)
        else:
            # Nothing to copy: whole, however long.
            self._block(array)

    def _add(self, array: Any, count: int, nulls: int) -> None:
        if self._width == 0:
            return
        if nulls:
            self._feed(octets(_zeroed(array, count, self._width)))
        else:
            start = array.offset * self._width
            self._feed(memoryview(array.buffers()[1]).cast("B")[start : start + count * self._width])


def _values(array: Any, count: int, width: int) -> NDArray[Any]:
    """The values as unsigned integers, or as rows of bytes where there is no integer of their width."""
    buffer = array.buffers()[1]
    dtype = _UNSIGNED.get(width)
    if dtype is not None:
        return np.frombuffer(buffer, dtype, count, array.offset * width)
    return np.frombuffer(buffer, np.uint8, count * width, array.offset * width).reshape(count, width)


def _zeroed(array: Any, count: int, width: int) -> NDArray[Any]:
    """A copy of the values with zeros under nulls."""
    values = _values(array, count, width)
    # Multiplying by 0 or 1 is the fastest way found: 0.6 of the hashing's time, against 1.3 for Arrow's fill_null.
    valid = valid_bits(array, count)
    product: NDArray[Any]
    if values.ndim > 1:
        product = values * valid[:, None]
    else:
        product = valid.astype(values.dtype)
        product *= values
    return product


class FloatNode(FixedNode):
    """Floating-point values: every NaN is written as the quiet NaN without payload, -0.0 stays apart from 0.0."""

    __slots__ = ()

    def _add(self, array: Any, count: int, nulls: int) -> None:
        width = self._width
        bits = _zeroed(array, count, width) if nulls else _values(array, count, width)
        step = _SCANNED_BYTES // width
        if count <= step:
            self._feed(octets(one_nan(bits)))
            return
        values = bits.view(f"<f{width}")
        largest = np.maximum.reduce
        data = self._new() if self._data is None else self._data
        for start in range(0, count, step):
            piece = bits[start : start + step]
            # Hashed before it is looked through for NaN, because it then lies in the processor's cache: reading it
            # twice from memory costs a sixth more. Only NaN that must be rewritten lead back.
            before = data.copy()
            data.update(octets(piece))
            found = largest(values[start : start + step])
            if found != found:
                rewritten = one_nan(piece)
                if rewritten is not piece:
                    data = before
                    data.update(octets(rewritten))
        self._data = data


class BoolNode(Node):
    """Truth values, as bits; zero where there is a null."""

    __slots__ = ("_bits",)

    def __init__(self, new: NewHasher) -> None:
        super().__init__(new)
        self._bits = BitStream(new)

    def _add(self, array: Any, count: int, nulls: int) -> None:
        buffer = array.buffers()[1]
        if nulls:
            self._bits.append(unpacked(buffer, array.offset, count) & valid_bits(array, count))
        elif count:
            self._bits.packed(buffer, array.offset, count)

    def _data_digest(self) -> bytes:
        return self._bits.digest() if self.rows else ABSENT


class NullNode(Node):
    """A column that can only hold nulls: its row count is all there is."""

    __slots__ = ()

    def _block(self, array: Any) -> None:
        self.rows += len(array)
        self.nulls += len(array)


class TemporalNode(Node):
    """Points and spans of time, whatever their unit: whole microseconds (days for dates), and what is left over."""

    __slots__ = ("_rest", "_scale", "_split", "_width")

    def __init__(self, kind: Any, new: NewHasher) -> None:
        super().__init__(new)
        self._width = kind.bit_width // 8
        self._step = _CACHED_BYTES // 8
        self._rest = SparseStream(new, "<i4")
        if types.is_date(kind):
            self._scale, self._split = 1, (86_400_000 if self._width == 8 else 1)
        else:
            self._scale = {"s": 1_000_000, "ms": 1_000}.get(kind.unit, 1)
            self._split = 1000 if kind.unit == "ns" else 1

    def update(self, array: Any) -> None:
        if array.null_count or self._width < 8 or self._scale > 1 or self._split > 1:
            super().update(array)
        elif len(array):
            # Microseconds already: nothing to compute, whole.
            self._block(array)

    def _add(self, array: Any, count: int, nulls: int) -> None:
        unsigned = _zeroed(array, count, self._width) if nulls else _values(array, count, self._width)
        values = unsigned.view(f"<i{self._width}")
        if self._split > 1:
            values, rest = np.divmod(values, self._split)
            self._rest.append(rest)
        elif self._scale > 1:
            values = self._scaled(values.astype("<i8"))
        else:
            self._rest.zeros(count)
        self._feed(octets(values.astype("<i8", copy=False)))

    def _scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        limit = (2**63 - 1) // self._scale
        if -limit <= int(values.min()) and int(values.max()) <= limit:
            self._rest.zeros(len(values))
        else:
            # Beyond the year 294,247: what does not fit into 64 bits goes where fractions go, in thousands.
            exact = [value * self._scale for value in values.tolist()]
            wrapped = [(value + 2**63) % 2**64 - 2**63 for value in exact]
            self._rest.append(np.array([(e - w) // 2**64 * 1000 for e, w in zip(exact, wrapped, strict=True)]))
        return values * self._scale

    def _lengths_digest(self) -> bytes:
        return self._rest.digest()


class DecimalNode(Node):
    """Decimals as whole numbers of their last place: 16 bytes up to 38 digits, else 32, whatever width they came in."""

    __slots__ = ("_out", "_words")

    def __init__(self, kind: Any, new: NewHasher) -> None:
        super().__init__(new)
        self._words = kind.bit_width // 32
        self._step = _CACHED_BYTES // 16
        self._out = 4 if kind.precision <= 38 else 8

    def _add(self, array: Any, count: int, nulls: int) -> None:
        width = self._words * 4
        values = np.ascontiguousarray(_zeroed(array, count, width) if nulls else _values(array, count, width))
        if self._words == self._out:
            self._feed(octets(values))
            return
        words = values.view("<i4").reshape(count, self._words)
        out = np.empty((count, self._out), "<i4")
        kept = min(self._words, self._out)
        out[:, :kept] = words[:, :kept]
        out[:, kept:] = words[:, kept - 1 : kept] >> 31
        if self._words > self._out and (words[:, self._out :] != words[:, self._out - 1 : self._out] >> 31).any():
            raise ValueError("a decimal has more digits than its type's precision")
        self._feed(octets(out))


class BytesNode(Node):
    """Text or bytes of any layout: lengths, and the bytes one after the other; nothing for a null."""

    __slots__ = ("_cast", "_offset")

    def __init__(self, kind: Any, new: NewHasher) -> None:
        super().__init__(new)
        name = f"{kind}"
        self._offset = np.dtype("<i8" if name.startswith("large") else "<i4")
        self._cast = name.endswith("view")
        self._step = _CACHED_BYTES // 8

    def _block(self, array: Any) -> None:
        if not self._cast:
            super()._block(array)
            return
        # The first four bytes of each view are its length; under nulls they may be anything.
        count = len(array)
        lengths = np.frombuffer(array.buffers()[1], "<i4", count * 4, array.offset * 16)[::4]
        plain = pa.binary() if types.is_binary_view(array.type) else pa.string()
        for start, stop in bounded(lengths):
            super()._block(_plain(array.slice(start, stop - start), plain))

    def _add(self, array: Any, count: int, nulls: int) -> None:
        offsets = self._offsets(array, count)
        lengths = offsets[1:] - offsets[:-1]
        if nulls:
            kept = lengths * valid_bits(array, count)
            if not np.array_equal(kept, lengths):
                # Bytes lie under the nulls: Arrow allows it, they are no content.
                for start, stop in bounded(lengths):
                    full = array.slice(start, stop - start).drop_null()
                    if len(full):
                        self._feed_bytes(full, self._offsets(full, len(full)))
                self._feed_lengths(kept)
                return
        self._feed_bytes(array, offsets)
        self._feed_lengths(lengths)

    def _offsets(self, array: Any, count: int) -> NDArray[Any]:
        return np.frombuffer(array.buffers()[1], self._offset, count + 1, array.offset * self._offset.itemsize)

    def _feed_bytes(self, array: Any, offsets: NDArray[Any]) -> None:
        start, end = int(offsets[0]), int(offsets[-1])
        if end > start:
            self._feed(memoryview(array.buffers()[2]).cast("B")[start:end])


def _plain(views: Any, kind: Any) -> Any:
    try:
        return views.cast(kind)
    except pa.ArrowNotImplementedError:
        # pyarrow had views before it could cast them.
        return pa.array(views.to_pylist(), kind)
