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
from mlotel.hashing._streams import BLOCK_ROWS, bounded, octets, valid_bits

__all__ = ["DecodedNode", "ListNode", "MapNode", "StructNode", "UnionNode", "decoded_type"]

_BLOCK_BYTES = 8 << 20


class DecodedNode(Node):
    """Dictionary and run-end encoded values and extension types: the node of the values that they stand for."""

    __slots__ = ("_inner", "_kind")

    def __init__(self, kind: Any, inner: Node, new: NewHasher) -> None:
        super().__init__(new)
        self._kind = kind
        self._inner = inner

    def update(self, array: Any) -> None:
        if isinstance(self._kind, pa.BaseExtensionType):
            self._inner.update(array.storage)
        elif types.is_dictionary(self._kind):
            self._dictionary(array)
        else:
            step = max(1, min(BLOCK_ROWS, _BLOCK_BYTES // int(max(_sizes(array.values), default=1) or 1)))
            for start in range(0, len(array), step):
                self._inner.update(pc.run_end_decode(array.slice(start, step)))

    @property
    def missing(self) -> int:
        return self._inner.missing

    def _dictionary(self, array: Any) -> None:
        values = decoded_type(self._kind)
        if array.dictionary.type != values:
            array = pa.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(values))
        sizes = _sizes(array.dictionary)
        fits = max(int(sizes.max()), 1) * BLOCK_ROWS <= _BLOCK_BYTES if len(sizes) else True
        for start in range(0, len(array), BLOCK_ROWS):
            block = array.slice(start, BLOCK_ROWS)
            if fits:
                self._inner.update(block.dictionary_decode())
                continue
            places = block.indices.fill_null(0).to_numpy(zero_copy_only=False)
            for first, last in bounded(sizes[places]):
                self._inner.update(block.slice(first, last - first).dictionary_decode())

    def digest(self) -> bytes:
        return self._inner.digest()


def decoded_type(kind: Any) -> Any:
    """Return the type that a dictionary or run-end encoding is decoded to."""
    values = kind.value_type
    if types.is_dictionary(kind) and f"{values}".endswith("_view"):
        # Polars' categoricals: pyarrow takes nothing from views.
        return pa.large_binary() if types.is_binary_view(values) else pa.large_string()
    return values


def _sizes(values: Any) -> NDArray[Any]:
    """Bytes of each value: exact for text and bytes, the mean for others."""
    count = len(values)
    kind = values.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        lengths: NDArray[Any] = pc.binary_length(values).fill_null(0).to_numpy(zero_copy_only=False)
        return lengths
    return np.full(count, _mean_bytes(values))


def _mean_bytes(values: Any) -> int:
    try:
        return int(values.nbytes) // max(len(values), 1) + 1
    except (NotImplementedError, ValueError, TypeError):
        return 64


class _OffsetNode(Node):
    """What lists and maps share: offsets, of 4 or 8 bytes, into their elements."""

    __slots__ = ("_offset",)

    def __init__(self, offset: str | None, new: NewHasher) -> None:
        super().__init__(new)
        self._offset = None if offset is None else np.dtype(offset)

    def _add(self, array: Any, count: int, nulls: int) -> None:
        if self._offset is None:
            self._copied(array, count, nulls)
            return
        offsets = np.frombuffer(array.buffers()[1], self._offset, count + 1, array.offset * self._offset.itemsize)
        lengths = offsets[1:] - offsets[:-1]
        if nulls and not np.array_equal(lengths * valid_bits(array, count), lengths):
            # Elements lie under the nulls: Arrow allows it, they are no content.
            self._copied(array, count, nulls)
            return
        self._feed_lengths(lengths)
        self._elements(array, int(offsets[0]), int(offsets[-1] - offsets[0]))

    def _elements(self, array: Any, start: int, count: int) -> None:
        """Append elements as they lie in memory."""
        raise NotImplementedError

    def _copied(self, array: Any, count: int, nulls: int) -> None:
        """Append lengths and elements of lists that do not lie one behind the other."""
        raise NotImplementedError


class ListNode(_OffsetNode):
    """Lists of any layout: lengths, and one child with the elements of all lists; nothing for a null."""

    __slots__ = ("_child",)

    def __init__(self, kind: Any, child: Node, new: NewHasher) -> None:
        super().__init__("<i4" if types.is_list(kind) else "<i8" if types.is_large_list(kind) else None, new)
        self._child = child

    def _children(self) -> list[Node]:
        return [self._child]

    def _elements(self, array: Any, start: int, count: int) -> None:
        self._child.update(array.values.slice(start, count))

    def _copied(self, array: Any, count: int, nulls: int) -> None:
        if types.is_fixed_size_list(array.type):
            sizes = np.full(count, array.type.list_size, np.int64)
        elif self._offset is not None:
            sizes = np.diff(
                np.frombuffer(array.buffers()[1], self._offset, count + 1, array.offset * self._offset.itemsize)
            )
        else:
            wide = array.type.id == pa.large_list_view(pa.null()).id
            dtype = np.dtype("<i8" if wide else "<i4")
            sizes = np.frombuffer(array.buffers()[2], dtype, count, array.offset * dtype.itemsize)
        if nulls:
            sizes = sizes * valid_bits(array, count)
        sizes = sizes.astype(np.int64)
        self._feed_lengths(sizes)
        for start, stop in bounded(sizes * _mean_bytes(array.values)):
            self._child.update(array.slice(start, stop - start).flatten())


class MapNode(_OffsetNode):
    """Maps: lengths, and two children with all keys and all values, in the order they are stored."""

    __slots__ = ("_items", "_keys")

    def __init__(self, keys: Node, items: Node, new: NewHasher) -> None:
        super().__init__("<i4", new)
        self._keys = keys
        self._items = items

    def _children(self) -> list[Node]:
        return [self._keys, self._items]

    def _elements(self, array: Any, start: int, count: int) -> None:
        self._keys.update(array.keys.slice(start, count))
        self._items.update(array.items.slice(start, count))

    def _copied(self, array: Any, count: int, nulls: int) -> None:
        full = array.drop_null()
        lengths = np.zeros(count, np.int32)
        start = end = 0
        if len(full):
            offsets = np.frombuffer(full.buffers()[1], "<i4", len(full) + 1, full.offset * 4)
            lengths[valid_bits(array, count).view(bool)] = offsets[1:] - offsets[:-1]
            start, end = int(offsets[0]), int(offsets[-1])
        self._feed_lengths(lengths)
        self._elements(full, start, end - start)


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

    @property
    def missing(self) -> int:
        return sum(node.missing for node in self._fields)


def _taken(array: Any, rows: NDArray[Any]) -> Any:
    try:
        return array.take(pa.array(rows))
    except pa.ArrowNotImplementedError:
        # Views and a few others cannot be taken from, but joined.
        pieces = [array.slice(row, 1) for row in rows.tolist()]
        return pa.concat_arrays(pieces) if pieces else array.slice(0, 0)
