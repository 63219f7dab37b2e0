"""Rows of the index, and the numbers that stand in them for ids, digests and URIs."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from blake3 import blake3
from msgspec import Struct

__all__ = [
    "ANNOTATIONS",
    "EMPTY",
    "OUTPUT",
    "STATES",
    "AnnotationRow",
    "IoRow",
    "Place",
    "RunRow",
    "SegmentRow",
    "begins",
    "digest_number",
    "digest_range",
    "flags_of",
    "ids_of",
    "run_id_of",
    "span_hex",
    "span_number",
    "target_number",
    "trace_numbers",
    "uri_number",
]

ANNOTATIONS = ("note", "flag", "unflag", "label", "unlabel", "retract", "restore")
STATES = ("open", "ok", "failed", "cancelled")
# Flags of an I/O row.
OUTPUT, EMPTY = 1, 2
_NUMBER, _TWO_NUMBERS = struct.Struct(">q"), struct.Struct(">qq")


class Place(NamedTuple):
    """Where a line stands: its segment's number, first byte and length without the newline."""

    segment: int
    offset: int
    length: int


class SegmentRow(NamedTuple):
    """How far a file has been read: `offset` is the first byte that was not.

    `inside` is 1 where that stands within a line that is too long, which is counted already.
    """

    id: int
    name: str
    inode: int
    offset: int
    skipped: int
    inside: int


class RunRow(Struct, gc=False):
    """A run as the index has it, or will have it."""

    id: int
    run_hi: int
    run_lo: int
    trace_hi: int | None
    trace_lo: int | None
    span: int | None
    component: int | None
    start: int | None
    parent: int | None
    state: int
    by_span: int
    seen: int | None
    start_segment: int | None
    start_offset: int | None
    start_length: int | None
    end_segment: int | None
    end_offset: int | None
    end_length: int | None


class IoRow(NamedTuple):
    """What of the row of an I/O span, or of an entry of a manifest, it takes to read it back."""

    id: int
    run: int
    span: int
    entry: int
    segment: int
    offset: int
    length: int


class AnnotationRow(NamedTuple):
    """A flag, note or label as the index has it."""

    id: int
    kind: int
    target: int
    time: int
    segment: int
    offset: int
    length: int


def flags_of(direction: str) -> tuple[int, int]:
    """The flags that a read (``input``) or a write (``output``) may have."""
    side = OUTPUT if direction == "output" else 0
    return side, side | EMPTY


def digest_number(digest: str) -> int:
    """The number of a digest in the index: its first 16 hex digits; of what is not hex, a hash of all its text."""
    digits = digest.rpartition(":")[2][:16]
    try:
        number: int = _NUMBER.unpack(bytes.fromhex(digits.ljust(16, "0")))[0]
    except (ValueError, struct.error):
        number = target_number(digest)
    return number


def digest_range(digest: str) -> tuple[int, int]:
    """First and last number that a digest of this beginning may have; its algorithm may be left out."""
    first = digest_number(digest)
    digits = digest.rpartition(":")[2][:16]
    return first, first | ((1 << 4 * (16 - len(digits))) - 1)


def begins(digest: str | None, beginning: str) -> bool:
    """Whether a digest begins so, with its algorithm or without."""
    if digest is None:
        return False
    beginning = beginning.lower()
    return digest.lower().startswith(beginning) or digest.rpartition(":")[2].lower().startswith(beginning)


def uri_number(uri: str) -> int:
    """The 32-bit number of a URI, not unique; signed, as SQLite keeps small numbers in few bytes."""
    return zlib.crc32(uri.encode("utf-8", "replace")) - (1 << 31)


def target_number(target: str) -> int:
    """The number of what an annotation speaks of, not unique."""
    number: int = _NUMBER.unpack(blake3(target.encode("utf-8", "replace")).digest(length=8))[0]
    return number


def trace_numbers(trace_id: str) -> tuple[int, int]:
    """The two halves of a trace or run id of 32 hex digits, as signed 64-bit integers; ValueError if it is none."""
    try:
        high, low = _TWO_NUMBERS.unpack(bytes.fromhex(trace_id))
    except (struct.error, TypeError) as error:
        raise ValueError(f"not 32 hex digits: {trace_id!r}") from error
    return high, low


def span_number(span_id: str) -> int:
    """A span id of 16 hex digits as a signed 64-bit integer; ValueError if it is none."""
    try:
        number: int = _NUMBER.unpack(bytes.fromhex(span_id))[0]
    except (struct.error, TypeError) as error:
        raise ValueError(f"not 16 hex digits: {span_id!r}") from error
    return number


def span_hex(number: int) -> str:
    """The 16 hex digits of a span's number."""
    return _NUMBER.pack(number).hex()


def ids_of(row: RunRow) -> tuple[str, str, str]:
    """Run id, trace id and span id of a run, in hex."""
    return run_id_of(row), _TWO_NUMBERS.pack(row.trace_hi or 0, row.trace_lo or 0).hex(), span_hex(row.span or 0)


def run_id_of(row: RunRow) -> str:
    """Run id of a run, in hex."""
    return _TWO_NUMBERS.pack(row.run_hi, row.run_lo).hex()
