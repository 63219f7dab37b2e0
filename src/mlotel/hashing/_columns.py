"""The digest of a column of any Arrow type: a tree of nodes, one for each type in it, fed with arrays in row order.

docs/digests.md specifies what each node hashes. A node's result does not depend on how its rows were cut into arrays.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import types

from mlotel.hashing._algorithms import NewHasher
from mlotel.hashing._flat_columns import (
    BoolNode,
    BytesNode,
    DecimalNode,
    FixedNode,
    FloatNode,
    NullNode,
    TemporalNode,
)
from mlotel.hashing._nested_columns import DecodedNode, ListNode, MapNode, StructNode, UnionNode, decoded_type
from mlotel.hashing._node import Node

__all__ = ["node_for"]


# By the number of the type: most columns are found here, in a tenth of a microsecond.
_INTEGERS = {getattr(pa, f"{sign}int{bits}")().id: bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FLOATS = {pa.float16().id: 2, pa.float32().id: 4, pa.float64().id: 8}


def node_for(kind: Any, new: NewHasher) -> Node:
    """Return an empty node for an Arrow type.

    Raises:
        NotImplementedError: if the type is one that this version does not know.
    """
    number = kind.id
    if number in _INTEGERS:
        return FixedNode(_INTEGERS[number], new)
    if number in _FLOATS:
        return FloatNode(_FLOATS[number], new)
    if isinstance(kind, pa.BaseExtensionType) or types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        inner = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else decoded_type(kind)
        return DecodedNode(kind, node_for(inner, new), new)
    if types.is_temporal(kind) and not types.is_interval(kind):
        return TemporalNode(kind, new)
    if types.is_boolean(kind):
        return BoolNode(new)
    if types.is_null(kind):
        return NullNode(new)
    if types.is_decimal(kind):
        return DecimalNode(kind, new)
    if types.is_fixed_size_binary(kind):
        return FixedNode(kind.byte_width, new)
    if types.is_map(kind):
        return MapNode(node_for(kind.key_type, new), node_for(kind.item_type, new), new)
    if hasattr(kind, "value_field"):
        return ListNode(kind, node_for(kind.value_type, new), new)
    if types.is_struct(kind) or types.is_union(kind):
        fields = [node_for(kind.field(i).type, new) for i in range(kind.num_fields)]
        return StructNode(fields, new) if types.is_struct(kind) else UnionNode(kind, fields, new)
    if f"{kind}" in ("string", "large_string", "binary", "large_binary", "string_view", "binary_view"):
        return BytesNode(kind, new)
    if types.is_interval(kind):
        return FixedNode(kind.bit_width // 8, new)
    raise NotImplementedError(f"columns of the type {kind} have no digest")
