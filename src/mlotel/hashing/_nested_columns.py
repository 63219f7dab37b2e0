"""Nodes of types that hold other values: lists, maps, structs, unions; and of encodings, which are decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from mlotel.hashing._algorithms import NewHasher
from mlotel.hashing._node import Node
from mlotel.hashing._streams import BLOCK_ROWS, octets, valid_bits

__all__ = ["DecodedNode", "ListNode", "MapNode", "StructNode", "UnionNode"]

_BLOCK_BYTES = 8 << 20


class DecodedNode(Node):
    """Dictionary and run-end encoded values and extension types: the node of the values that they stand for."""

    __slots__ = ("_decode", "_inner")

    def __init__(self, kind: Any, inner: Node, new: NewHasher) -> None:
        super().__init__(new)
        self._inner = inner
        if isinstance(kind, pa.BaseExtensionType):
            self._decode = _storage
        else:
            self._decode = _undictionary if types.is_dictionary(kind) else pc.run_end_decode

    def update(self, array: Any) -> None:
        count = len(array)
        step = _decoded_rows(array, count)
        for start in range(0, count, step):
            self._inner.update(self._decode(array if step >= count else array.slice(start, step)))
        self.rows, self.nulls = self._inner.rows, self._inner.nulls

    def digest(self) -> bytes:
        return self._inner.digest()


def _storage(array: Any) -> Any:
    return array.storage


def _undictionary(array: Any) -> Any:
    try:
        return array.dictionary_decode()
    except pa.ArrowNotImplementedError:
        # Views, which polars has in its categoricals, cannot be taken from.
        wide = pa.large_binary() if types.is_binary_view(array.dictionary.type) else pa.large_string()
        return pa.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(wide)).dictionary_decode()


def _decoded_rows(array: Any, count: int) -> int:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return max(count, 1)
    values = array.dictionary if types.is_dictionary(kind) else array.values
    largest = max((values.nbytes // max(len(values), 1)) * 2, 16)
    return max(1, min(BLOCK_ROWS, _BLOCK_BYTES // largest))


class ListNode(Node):
    """Lists of any layout: lengths, and one child with the elements of all lists; nothing for a null."""

    __slots__ = ("_child",)

    def __init__(self, child: Node, new: NewHasher) -> None:
        super().__init__(new)
        self._child = child

    def _children(self) -> list[Node]:
        return [self._child]

    def _add(self, array: Any, count: int, nulls: int) -> None:
        lengths = pc.list_value_length(array)
        if nulls:
            lengths = lengths.fill_null(0)
        if count:
            self._feed_lengths(lengths.to_numpy(zero_copy_only=False))
        self._child.update(array.flatten())


class MapNode(Node):
    """Maps: lengths, and two children with all keys and all values, in the order they are stored."""

    __slots__ = ("_items", "_keys")

    def __init__(self, keys: Node, items: Node, new: NewHasher) -> None:
        super().__init__(new)
        self._keys = keys
        self._items = items

    def _children(self) -> list[Node]:
        return [self._keys, self._items]

    def _add(self, array: Any, count: int, nulls: int) -> None:
        if count == 0:
            return
        full = array.drop_null() if nulls else array
        offsets = (
            np.frombuffer(full.buffers()[1], "<i4", len(full) + 1, full.offset * 4) if len(full) else np.zeros(1, "<i4")
        )
        lengths = np.diff(offsets)
        if nulls:
            spread = np.zeros(count, lengths.dtype)
            spread[valid_bits(array, count).view(bool)] = lengths
        else:
            spread = lengths
        self._feed_lengths(spread)
        start, length = int(offsets[0]), int(offsets[-1] - offsets[0])
        self._keys.update(full.keys.slice(start, length))
        self._items.update(full.items.slice(start, length))


class StructNode(Node):
    """Structs: one child a field, in order; a field of a null struct is null."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[Node], new: NewHasher) -> None:
        super().__init__(new)
        self._fields = fields

    def _children(self) -> list[Node]:
        return self._fields

    def _add(self, array: Any, count: int, nulls: int) -> None:
        for node, child in zip(self._fields, array.flatten(), strict=True):
            node.update(child)


class UnionNode(Node):
    """Unions of either mode: the position of each row's field (a byte), and a child a field with its rows alone."""

    __slots__ = ("_codes", "_fields", "_sparse")

    def __init__(self, kind: Any, fields: list[Node], new: NewHasher) -> None:
        super().__init__(new)
        self._fields = fields
        self._codes = list(kind.type_codes)
        self._sparse = kind.mode == "sparse"

    def _children(self) -> list[Node]:
        return self._fields

    def _block(self, array: Any) -> None:
        count = len(array)
        if count == 0:
            return
        codes = np.frombuffer(array.buffers()[1], np.int8, count, array.offset)
        places = np.zeros(256, np.uint8)
        for place, code in enumerate(self._codes):
            places[code] = place
        position = places[codes.view(np.uint8)]
        self._feed(octets(position))
        rows = np.arange(count) if self._sparse else np.frombuffer(array.buffers()[2], "<i4", count, array.offset * 4)
        for place, node in enumerate(self._fields):
            node.update(_taken(array.field(place), rows[position == place]))
        self.rows += count
        self.nulls = sum(node.nulls for node in self._fields)


def _taken(array: Any, rows: NDArray[Any]) -> Any:
    try:
        return array.take(pa.array(rows))
    except pa.ArrowNotImplementedError:
        # Views and a few others cannot be taken from, but joined.
        pieces = [array.slice(row, 1) for row in rows.tolist()]
        return pa.concat_arrays(pieces) if pieces else array.slice(0, 0)
