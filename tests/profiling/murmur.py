"""MurmurHash64A, by its author's description, a byte string at a time."""

from __future__ import annotations

MASK = 2**64 - 1
FACTOR = 0xC6A4A7935BD1E995


def murmur(data: bytes) -> int:
    hashed = len(data) * FACTOR & MASK
    whole = len(data) // 8 * 8
    for start in range(0, whole, 8):
        word = int.from_bytes(data[start : start + 8], "little") * FACTOR & MASK
        word = (word ^ word >> 47) * FACTOR & MASK
        hashed = (hashed ^ word) * FACTOR & MASK
    if data[whole:]:
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * FACTOR & MASK
    hashed = (hashed ^ hashed >> 47) * FACTOR & MASK
    return hashed ^ hashed >> 47
