"""OTLP's AnyValue as JSON, both ways: Python values to ready-made bytes, what was decoded to Python values."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.json import encode

from mlotel.store.otlp import AnyValue, KeyValue

__all__ = ["decode_attributes", "decode_value", "encode_attributes", "encode_text", "encode_value"]

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def encode_text(text: str) -> bytes:
    """`text` as a JSON string; a lone surrogate, which UTF-8 cannot carry, becomes U+FFFD."""
    try:
        return encode(str(text))
    except UnicodeEncodeError:
        return encode(str(text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def encode_value(value: Any, depth: int = 16) -> bytes:
    """`value` as an AnyValue object.

    An integer beyond 64 bits becomes a string of its digits; NaN and the infinities become the strings that OTLP/JSON
    has for them; an object of no OTLP type, and what lies `depth` levels deep, becomes the name of its type, never its
    text, which may hold data.
    """
    if value is None:
        return b"{}"
    if isinstance(value, bool):
        return b'{"boolValue":true}' if value else b'{"boolValue":false}'
    if isinstance(value, str):
        return b'{"stringValue":%b}' % encode_text(value)
    if isinstance(value, int):
        if _INT64_MIN <= value <= _INT64_MAX:
            return b'{"intValue":"%d"}' % value
        return b'{"stringValue":%b}' % encode_text(_digits(value))
    if isinstance(value, float):
        return b'{"doubleValue":%b}' % _double(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b'{"bytesValue":"%b"}' % b64encode(value)
    if isinstance(value, Mapping) and depth:
        return b'{"kvlistValue":{"values":[%b]}}' % encode_attributes(value, depth - 1)
    if isinstance(value, Sequence) and depth:
        return b'{"arrayValue":{"values":[%b]}}' % b",".join([encode_value(item, depth - 1) for item in value])
    kind = type(value)
    return b'{"stringValue":%b}' % encode_text(f"{kind.__module__}.{kind.__qualname__}")


def encode_attributes(attributes: Mapping[str, Any], depth: int = 16) -> bytes:
    """The key-value objects of `attributes`, joined by commas."""
    return b",".join(
        [b'{"key":%b,"value":%b}' % (encode_text(key), encode_value(value, depth)) for key, value in attributes.items()]
    )


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to write decimal numbers of thousands of digits
        return hex(value)


def _double(value: float) -> bytes:
    if value - value == 0.0:
        return encode(float(value))
    if value != value:
        return b'"NaN"'
    return b'"Infinity"' if value > 0 else b'"-Infinity"'


def decode_value(value: AnyValue) -> object:
    """The Python value of an AnyValue: tuples for arrays, dictionaries for key-value lists, None if it is empty.

    Integers may be written as strings or numbers, doubles as numbers or strings, as protobuf's JSON form allows.
    Raises ValueError or OverflowError where it is none of these.
    """
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return int(value.int_value)
    if value.double_value is not None:
        return float(value.double_value)
    if value.bool_value is not None:
        return value.bool_value
    if value.array_value is not None:
        return tuple([decode_value(item) for item in value.array_value.values or ()])
    if value.bytes_value is not None:
        return b64decode(value.bytes_value)
    if value.kvlist_value is not None:
        return decode_attributes(value.kvlist_value.values)
    return None


def decode_attributes(attributes: Iterable[KeyValue] | None) -> dict[str, Any]:
    """Key-value objects as a dictionary; of a key that comes twice the last value counts."""
    decoded: dict[str, Any] = {}
    for attribute in attributes or ():
        value = attribute.value
        # Nearly all are texts: a call for each would take twice as long.
        text = value.string_value if value is not None else None
        decoded[attribute.key] = text if text is not None or value is None else decode_value(value)
    return decoded
