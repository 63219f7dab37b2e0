"""The encoding of docs/digests.md, written a second time: slowly, in plain Python, from single values.

It shares no code with mlotel. Integers, text, decimals and times come from Arrow's scalars, never from buffers.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from blake3 import blake3

__all__ = [
    "Reference",
    "framed",
    "hash_function",
    "reference_array",
    "reference_manifest",
    "reference_table",
    "reference_tree",
]

Hash = Callable[[bytes], bytes]
ABSENT = bytes(32)
TICKS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
NAN = {2: b"\x00\x7e", 4: b"\x00\x00\xc0\x7f", 8: b"\x00\x00\x00\x00\x00\x00\xf8\x7f"}


def hash_function(algorithm: str) -> Hash:
    if algorithm == "sha256":
        return lambda data: hashlib.sha256(data).digest()
    return lambda data: blake3(data).digest()


def framed(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def sized(text: str) -> str:
    return f"{len(text.encode())}:{text}"


def type_name(kind: Any) -> str:
    text = str(kind)
    if text in ("string", "large_string", "string_view"):
        return "utf8"
    if text in ("binary", "large_binary", "binary_view"):
        return "binary"
    if text in ("halffloat", "float", "double"):
        return {"halffloat": "float16", "float": "float32", "double": "float64"}[text]
    if isinstance(kind, pa.BaseExtensionType):
        return f"extension({sized(kind.extension_name)},{type_name(kind.storage_type)})"
    if isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType):
        return type_name(kind.value_type)
    if isinstance(kind, pa.TimestampType):
        return "timestamp(naive)" if kind.tz is None else "timestamp(aware)"
    if isinstance(kind, pa.MapType):
        return f"map({type_name(kind.key_type)},{type_name(kind.item_type)})"
    if isinstance(kind, pa.StructType | pa.UnionType):
        inner = ",".join(f"{sized(kind[i].name)}={type_name(kind[i].type)}" for i in range(kind.num_fields))
        return f"{'struct' if isinstance(kind, pa.StructType) else 'union'}({inner})"
    for prefix in ("date", "time32", "time64", "duration"):
        if text.startswith(prefix):
            return prefix.rstrip("0123456789")
    if text.startswith("decimal"):
        return f"decimal({kind.precision},{kind.scale})"
    if text.startswith("fixed_size_binary"):
        return f"fixed_size_binary({kind.byte_width})"
    if hasattr(kind, "value_field"):
        return f"list({type_name(kind.value_type)})"
    return text


def is_list(kind: Any) -> bool:
    return hasattr(kind, "value_field") and not isinstance(kind, pa.MapType | pa.DictionaryType | pa.RunEndEncodedType)


def pack_bits(bits: Sequence[bool]) -> bytes:
    out = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        out[i // 8] |= bit << (i % 8)
    return bytes(out)


def pack_lengths(lengths: Sequence[int]) -> bytes:
    return b"".join(struct.pack("<I", n) for n in lengths)


class Reference:
    def __init__(self, hash_: Hash) -> None:
        self.hash = hash_

    def stream(self, content: bytes, begun: bool) -> bytes:
        return self.hash(content) if begun else ABSENT

    def combine(
        self, valid: Sequence[bool], lengths: bytes | None, data: bytes | None, children: Sequence[bytes] = ()
    ) -> bytes:
        nulls = len(valid) - sum(valid)
        return self.hash(
            b"mlotel.node.v1\0"
            + struct.pack("<QQ", len(valid), nulls)
            + self.stream(pack_bits(valid), nulls > 0)
            + self.stream(lengths or b"", lengths is not None)
            + self.stream(data or b"", data is not None)
            + struct.pack("<I", len(children))
            + b"".join(children)
        )

    def node(self, kind: Any, cells: list[Any]) -> bytes:
        """The digest of a column's node; `cells` are Arrow scalars, or None for null."""
        if isinstance(kind, pa.BaseExtensionType):
            return self.node(kind.storage_type, [None if c is None else c.value for c in cells])
        if isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType):
            return self.node(kind.value_type, [none_if_null(None if c is None else c.value) for c in cells])
        valid = [cell is not None for cell in cells]
        some = len(cells) > 0
        name = type_name(kind)
        if name == "null":
            # No bits either: that all are null is what the type says.
            return self.hash(
                b"mlotel.node.v1\0" + struct.pack("<QQ", len(cells), len(cells)) + ABSENT * 3 + struct.pack("<I", 0)
            )
        if name in ("utf8", "binary"):
            contents = [b"" if c is None else c.as_buffer().to_pybytes() for c in cells]
            joined = b"".join(contents)
            lengths = pack_lengths([len(c) for c in contents]) if some else None
            return self.combine(valid, lengths, joined or None)
        if isinstance(kind, pa.MapType):
            pairs = [[] if c is None else list(c.values) for c in cells]
            flat = [pair for entries in pairs for pair in entries]
            keys = self.node(kind.key_type, [none_if_null(pair[0]) for pair in flat])
            items = self.node(kind.item_type, [none_if_null(pair[1]) for pair in flat])
            lengths = pack_lengths([len(entries) for entries in pairs]) if some else None
            return self.combine(valid, lengths, None, [keys, items])
        if is_list(kind):
            lists = [[] if c is None else list(c.values) for c in cells]
            child = self.node(kind.value_type, [none_if_null(v) for values in lists for v in values])
            lengths = pack_lengths([len(values) for values in lists]) if some else None
            return self.combine(valid, lengths, None, [child])
        if isinstance(kind, pa.UnionType):
            places = [list(kind.type_codes).index(cell.type_code) for cell in cells]
            fields = [
                self.node(
                    kind[i].type, [none_if_null(c.value) for c, place in zip(cells, places, strict=True) if place == i]
                )
                for i in range(kind.num_fields)
            ]
            return self.combine([True] * len(cells), None, bytes(places) or None, fields)
        if isinstance(kind, pa.StructType):
            fields = [
                self.node(kind[i].type, [None if c is None else none_if_null(c[i]) for c in cells])
                for i in range(kind.num_fields)
            ]
            return self.combine(valid, None, None, fields)
        if name == "bool":
            return self.combine(valid, None, pack_bits([c is not None and c.as_py() for c in cells]) if some else None)
        if name in ("date", "time", "duration") or name.startswith("timestamp"):
            wholes, rests = zip(*[split_time(kind, c) for c in cells], strict=True) if some else ((), ())
            rest = b"".join(struct.pack("<i", r) for r in rests) if any(rests) else None
            return self.combine(valid, rest, b"".join(struct.pack("<q", w) for w in wholes) if some else None)
        data = b"".join(fixed(kind, name, c) for c in cells)
        return self.combine(valid, None, data if some and width_of(kind, name) else None)


def none_if_null(scalar: Any) -> Any:
    return None if scalar is None or not scalar.is_valid else scalar


def split_time(kind: Any, cell: Any) -> tuple[int, int]:
    """Whole microseconds (or days) and what is left over."""
    if cell is None:
        return 0, 0
    if type_name(kind) == "date":
        return (cell.value, 0) if str(kind) == "date32[day]" else divmod(cell.value, 86_400_000)
    whole, rest = divmod(cell.value * TICKS[kind.unit], 1000)
    wrapped = (whole + 2**63) % 2**64 - 2**63
    return wrapped, rest + (whole - wrapped) // 2**64 * 1000


def width_of(kind: Any, name: str) -> int:
    if name.startswith("decimal"):
        return 16 if kind.precision <= 38 else 32
    return kind.bit_width // 8


def fixed(kind: Any, name: str, cell: Any) -> bytes:
    width = width_of(kind, name)
    if cell is None:
        return bytes(width)
    if name.startswith("decimal"):
        sign, digits, exponent = cell.as_py().as_tuple()
        number = int("".join(map(str, digits))) * 10 ** (exponent + kind.scale)
        return (-number if sign else number).to_bytes(width, "little", signed=True)
    if name.startswith("float"):
        value = float(cell.as_py())
        return NAN[width] if math.isnan(value) else struct.pack({2: "<e", 4: "<f", 8: "<d"}[width], value)
    if name.startswith("fixed_size_binary"):
        return cell.as_py()
    if name == "month_day_nano_interval":
        months, days, nanoseconds = cell.as_py()
        return struct.pack("<iiq", months, days, nanoseconds)
    return int(cell.as_py()).to_bytes(width, "little", signed=name.startswith("int"))


def reference_table(table: pa.Table, algorithm: str = "blake3") -> str:
    """The logical digest of a table."""
    hash_ = hash_function(algorithm)
    content = b"mlotel.table.v1\0" + struct.pack("<QQ", table.num_rows, table.num_columns)
    for i in range(table.num_columns):
        column = table.column(i)
        # A union's row belongs to a field even if that field's value is null.
        cells = list(column) if isinstance(column.type, pa.UnionType) else [none_if_null(cell) for cell in column]
        content += framed(table.field(i).name.encode()) + framed(type_name(column.type).encode())
        content += Reference(hash_).node(column.type, cells)
    return f"{algorithm}:{hash_(content).hex()}"


def reference_tree(files: dict[str, bytes | None], links: dict[str, str]) -> str:
    """The digest of a folder: files by relative path (None for a folder), links by relative path."""
    hash_ = hash_function("blake3")
    entries = [
        (path.encode(), b"d" if content is None else b"f", b"" if content is None else hash_(content))
        for path, content in files.items()
    ]
    entries += [(path.encode(), b"l", hash_(target.encode())) for path, target in links.items()]
    content = b"mlotel.tree.v1\0" + struct.pack("<Q", len(entries))
    content += b"".join(framed(path) + kind + digest for path, kind, digest in sorted(entries))
    return f"blake3:{hash_(content).hex()}"


def reference_manifest(entries: Sequence[tuple[str, str]]) -> str:
    """The digest of a manifest."""
    content = b"mlotel.manifest.v1\0" + struct.pack("<Q", len(entries))
    content += b"".join(framed(n) + framed(d) for n, d in sorted((n.encode(), d.encode()) for n, d in entries))
    return f"blake3:{blake3(content).hexdigest()}"


def reference_array(dtype: str, shape: Sequence[int], values: bytes) -> str:
    """The digest of a NumPy array whose little-endian C-order bytes are `values`."""
    content = b"mlotel.array.v1\0" + framed(dtype.encode()) + struct.pack("<Q", len(shape))
    content += b"".join(struct.pack("<Q", n) for n in shape) + values
    return f"blake3:{blake3(content).hexdigest()}"
