"""What every node of a column's type tree has: counts, three streams, and the digest made of them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlotel.hashing._algorithms import Hasher, NewHasher
from mlotel.hashing._streams import ABSENT, BLOCK_ROWS, BitStream, length_bytes

__all__ = ["Node"]

_NODE = b"mlotel.node.v1\0"
_COUNTS = struct.Struct("<QQ")


class Node:
    """One type of a column's type tree: its rows and nulls, and three streams (validity, lengths, data)."""

    __slots__ = ("_data", "_lengths", "_new", "_step", "_validity", "nulls", "rows")

    def __init__(self, new: NewHasher) -> None:
        self._new = new
        self._step = BLOCK_ROWS
        self.rows = 0
        self.nulls = 0
        self._validity: BitStream | None = None
        self._lengths: Hasher | None = None
        self._data: Hasher | None = None

    def update(self, array: Any) -> None:
        """Append the array's rows."""
        count = len(array)
        step = self._step
        if count <= step:
            if count:
                self._block(array)
            return
        for start in range(0, count, step):
            self._block(array.slice(start, step))

    def _block(self, array: Any) -> None:
        count = len(array)
        nulls = array.null_count
        if nulls or self._validity is not None:
            self._mark(array, count, nulls)
        self._add(array, count, nulls)
        self.rows += count
        self.nulls += nulls

    def _mark(self, array: Any, count: int, nulls: int) -> None:
        # The stream of validity bits begins with the first null; the rows before it are made up for.
        if self._validity is None:
            self._validity = BitStream(self._new)
            self._validity.ones(self.rows)
        bitmap = array.buffers()[0]
        if nulls and bitmap is not None:
            self._validity.packed(bitmap, array.offset, count)
        else:
            self._validity.append(np.full(count, not nulls, np.uint8))

    def _add(self, array: Any, count: int, nulls: int) -> None:
        raise NotImplementedError

    @property
    def missing(self) -> int:
        """How many rows are null, as a reader of the column sees it."""
        return self.nulls

    def _children(self) -> list[Node]:
        return []

    def _feed(self, data: Any) -> None:
        if self._data is None:
            self._data = self._new()
        self._data.update(data)

    def _feed_lengths(self, lengths: NDArray[Any]) -> None:
        if self._lengths is None:
            self._lengths = self._new()
        self._lengths.update(length_bytes(lengths))

    def _data_digest(self) -> bytes:
        return ABSENT if self._data is None else self._data.digest()

    def _lengths_digest(self) -> bytes:
        return ABSENT if self._lengths is None else self._lengths.digest()

    def digest(self) -> bytes:
        """The node's digest, its children's included; nothing may be appended after it."""
        children = self._children()
        parts = [
            _NODE,
            _COUNTS.pack(self.rows, self.nulls),
            ABSENT if self._validity is None else self._validity.digest(),
            self._lengths_digest(),
            self._data_digest(),
            len(children).to_bytes(4, "little"),
        ]
        parts += [child.digest() for child in children]
        hasher = self._new()
        hasher.update(b"".join(parts))
        return hasher.digest()
