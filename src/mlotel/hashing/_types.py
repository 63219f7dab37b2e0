"""How column types are written into digests: what only differs in layout is written alike."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import types

from mlotel.hashing._algorithms import framed

__all__ = ["field_types", "logical_type"]

_EXTENSION = b"ARROW:extension:name"
_EXTENSION_DETAIL = b"ARROW:extension:metadata"
# By the number of the type: extension types, whose classes may forbid hashing, have one of their own.
_PLAIN_TYPES = {
    pa.null(): "null",
    pa.bool_(): "bool",
    pa.float16(): "float16",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.date32(): "date",
    pa.date64(): "date",
    pa.string(): "utf8",
    pa.large_string(): "utf8",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
    **{kind: f"{kind}" for sign in ("", "u") for kind in (getattr(pa, f"{sign}int{n}")() for n in (8, 16, 32, 64))},
}
_PLAIN = {kind.id: name for kind, name in _PLAIN_TYPES.items()}
_PLAIN_FRAMED = {number: (framed(name.encode()),) * 2 for number, name in _PLAIN.items()}


def field_types(field: pa.Field) -> tuple[bytes, bytes]:
    """Return a field's type as it goes into the logical digest and into the schema digest."""
    plain = _PLAIN_FRAMED.get(field.type.id)
    if plain is not None and field.metadata is None:
        return plain
    texts = (logical_type(field), logical_type(field, exact=True))
    logical, exact = (framed(text.encode(errors="surrogatepass")) for text in texts)
    return logical, exact


def _extension_of(field: pa.Field) -> tuple[str, bytes] | None:
    """Return the name and serialised parameters of a field's extension type, known to pyarrow or not."""
    if isinstance(field.type, pa.BaseExtensionType):
        return field.type.extension_name, _serialized(field.type)
    metadata = field.metadata
    if metadata and _EXTENSION in metadata:
        return metadata[_EXTENSION].decode(errors="replace"), metadata.get(_EXTENSION_DETAIL, b"")
    return None


def _serialized(kind: Any) -> bytes:
    try:
        return bytes(kind.__arrow_ext_serialize__())
    except (AttributeError, NotImplementedError):
        return b""


def logical_type(field: pa.Field, *, exact: bool = False) -> str:
    """Return a field's type as the text that goes into digests.

    Args:
        field: the field; its name and nullability take no part.
        exact: with the units and zones that the logical digest leaves out: the form of the schema digest.
    """
    extension = _extension_of(field)
    if extension is None:
        return _written(field.type, exact)
    name, detail = extension
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    parameters = f";{detail.hex()}" if exact else ""
    return f"extension({_sized(name)}{parameters},{_written(kind, exact)})"


def _sized(name: str) -> str:
    # By its length in bytes first: a name may hold any of the signs used around it.
    return f"{len(name.encode(errors='surrogatepass'))}:{name}"


def _written(kind: pa.DataType, exact: bool) -> str:
    plain = _PLAIN.get(kind.id)
    if plain is not None:
        return plain
    return _temporal(kind, exact) or _nested(kind, exact) or _other(kind)


def _temporal(kind: Any, exact: bool) -> str | None:
    if types.is_timestamp(kind):
        if exact:
            return f"timestamp({kind.unit},{_sized(kind.tz or '')})"
        return f"timestamp({'naive' if kind.tz is None else 'aware'})"
    if types.is_time(kind):
        return f"time({kind.unit})" if exact else "time"
    if types.is_duration(kind):
        return f"duration({kind.unit})" if exact else "duration"
    return None


def _nested(kind: Any, exact: bool) -> str | None:
    if types.is_dictionary(kind):
        return _written(kind.value_type, exact)
    if types.is_run_end_encoded(kind):
        return _written(kind.value_type, exact)
    if types.is_map(kind):
        return f"map({logical_type(kind.key_field, exact=exact)},{logical_type(kind.item_field, exact=exact)})"
    if hasattr(kind, "value_field"):
        return f"list({logical_type(kind.value_field, exact=exact)})"
    if types.is_struct(kind) or types.is_union(kind):
        fields = (kind.field(i) for i in range(kind.num_fields))
        inner = ",".join(f"{_sized(f.name)}={logical_type(f, exact=exact)}" for f in fields)
        return f"{'struct' if types.is_struct(kind) else 'union'}({inner})"
    return None


def _other(kind: Any) -> str:
    if types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if types.is_fixed_size_binary(kind):
        return f"fixed_size_binary({kind.byte_width})"
    if isinstance(kind, pa.BaseExtensionType):
        # Inside a dictionary or a run-end encoding there is no field to ask.
        return f"extension({_sized(kind.extension_name)},{_written(kind.storage_type, False)})"
    name = f"{kind}"
    return {"string_view": "utf8", "binary_view": "binary"}.get(name, name)
