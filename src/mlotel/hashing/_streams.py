"""The byte streams that a column's digest is made of, each independent of how the rows come in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mlotel.hashing._algorithms import Hasher, NewHasher

__all__ = [
    "ABSENT",
    "BLOCK_ROWS",
    "BitStream",
    "SparseStream",
    "bounded",
    "length_bytes",
    "octets",
    "one_nan",
    "unpacked",
    "valid_bits",
]

ABSENT = bytes(32)
"""What stands for the digest of a stream that was never begun."""
BLOCK_ROWS = 131_072
_LONG = 0xFFFFFFFF
_FLOATS: dict[int, tuple[np.dtype[Any], int]] = {
    2: (np.dtype("<f2"), 0x7E00),
    4: (np.dtype("<f4"), 0x7FC00000),
    8: (np.dtype("<f8"), 0x7FF8000000000000),
}


class BitStream:
    """Bits, eight to a byte, the first in the lowest bit; the last byte is filled with zeros."""

    __slots__ = ("_hasher", "_tail")

    def __init__(self, new: NewHasher) -> None:
        self._hasher: Hasher = new()
        self._tail: NDArray[np.uint8] | None = None

    def ones(self, count: int) -> None:
        """Append `count` set bits."""
        while count > 0:
            step = min(count, 1 << 20)
            self.append(np.ones(step, np.uint8))
            count -= step

    def packed(self, buffer: Any, offset: int, count: int) -> None:
        """Append `count` bits of a packed Arrow buffer, from bit `offset` on."""
        if self._tail is None and offset % 8 == 0:
            whole = count // 8
            start = offset // 8
            if whole:
                self._hasher.update(memoryview(buffer).cast("B")[start : start + whole])
            if count % 8:
                last = np.frombuffer(buffer, np.uint8, 1, start + whole)
                self._tail = np.unpackbits(last, count=count % 8, bitorder="little")
            return
        self.append(unpacked(buffer, offset, count))

    def append(self, bits: NDArray[np.uint8]) -> None:
        """Append bits given as one byte each, 0 or 1."""
        if self._tail is not None:
            bits = np.concatenate([self._tail, bits])
        whole = len(bits) // 8 * 8
        if whole:
            self._hasher.update(octets(np.packbits(bits[:whole], bitorder="little")))
        self._tail = bits[whole:] if len(bits) > whole else None

    def digest(self) -> bytes:
        """The digest; nothing may be appended after it."""
        if self._tail is not None:
            self._hasher.update(octets(np.packbits(self._tail, bitorder="little")))
            self._tail = None
        return self._hasher.digest()


def octets(array: NDArray[Any]) -> memoryview:
    """Return a contiguous array's bytes, not copied."""
    # NumPy's arrays are buffers; their types say so from Python 3.12 on.
    return memoryview(cast("bytes", array)).cast("B")


def valid_bits(array: Any, count: int) -> NDArray[np.uint8]:
    """Return which rows of an Arrow array with nulls are not null: 1, or 0 for a null."""
    return unpacked(array.buffers()[0], array.offset, count)


def unpacked(buffer: Any, offset: int, count: int) -> NDArray[np.uint8]:
    """Return `count` bits of a packed Arrow buffer, from bit `offset` on, as one byte each."""
    start, skip = divmod(offset, 8)
    packed = np.frombuffer(buffer, np.uint8, (skip + count + 7) // 8, start)
    return np.unpackbits(packed, count=skip + count, bitorder="little")[skip:]


class SparseStream:
    """One fixed-width integer a row, not begun before a row needs one that is not zero; absent if none does."""

    __slots__ = ("_dtype", "_hasher", "_new", "_rows")

    def __init__(self, new: NewHasher, dtype: str) -> None:
        self._new = new
        self._dtype = np.dtype(dtype)
        self._hasher: Hasher | None = None
        self._rows = 0

    def zeros(self, count: int) -> None:
        """Append `count` rows that need nothing."""
        self._rows += count
        if self._hasher is not None:
            self._feed(self._hasher, count)

    def append(self, values: NDArray[Any]) -> None:
        """Append a value for each row."""
        if self._hasher is None:
            if not values.any():
                self._rows += len(values)
                return
            self._hasher = self._new()
            self._feed(self._hasher, self._rows)
        self._rows += len(values)
        self._hasher.update(octets(values.astype(self._dtype, copy=False)))

    def _feed(self, hasher: Hasher, count: int) -> None:
        block = bytes(min(count, BLOCK_ROWS) * self._dtype.itemsize)
        while count > 0:
            step = min(count, BLOCK_ROWS)
            hasher.update(block[: step * self._dtype.itemsize])
            count -= step

    def digest(self) -> bytes:
        """The digest, or 32 zero bytes if the stream was never begun."""
        return ABSENT if self._hasher is None else self._hasher.digest()


def length_bytes(lengths: NDArray[Any]) -> memoryview:
    """Return lengths as 4 bytes each, little-endian; from 2³² - 1 on as 4 bytes of ones and then 8 bytes."""
    if lengths.dtype.itemsize > 4 and len(lengths) and int(lengths.max()) >= _LONG:
        return memoryview(
            b"".join(
                n.to_bytes(4, "little") if n < _LONG else b"\xff\xff\xff\xff" + n.to_bytes(8, "little")
                for n in lengths.tolist()
            )
        )
    return octets(lengths.astype("<u4", copy=False))


def bounded(sizes: NDArray[Any], limit: int = 8 << 20) -> Iterator[tuple[int, int]]:
    """Cut rows into pieces of at most `limit` bytes (or one row), for what must be copied: yields start and stop.

    Args:
        sizes: bytes of each row; rubbish under nulls does no harm.
        limit: bytes of a piece.
    """
    ends = np.cumsum(np.maximum(sizes, 0), dtype=np.int64)
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + limit, "right")), start + 1)
        yield start, stop
        start = stop


def one_nan(bits: NDArray[Any]) -> NDArray[Any]:
    """Return floating-point values, given as unsigned integers, with every NaN as the quiet one without payload."""
    dtype, canonical = _FLOATS[bits.dtype.itemsize]
    values = bits.view(dtype)
    # The maximum is NaN if any value is: one pass, and no array of flags for the usual case.
    largest = np.maximum.reduce(values)
    # Equal to itself: no NaN. `np.isnan` would say the same, more slowly.
    if largest == largest:
        return bits
    missing = np.isnan(values)
    # Counting first: most NaN are the canonical one already, and comparing is three times faster than copying.
    if np.count_nonzero(bits == canonical) == np.count_nonzero(missing):
        return bits
    return np.where(missing, bits.dtype.type(canonical), bits)
