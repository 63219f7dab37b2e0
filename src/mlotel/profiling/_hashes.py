"""Hashes of many values at once, by which most of them need not be handed to a sketch at all.

A distinct-count sketch keeps the smallest hashes that it has seen; after some thousand values hardly any other can
change it. `hash_keys` is the hash that the sketches of datasketches use (a part of their format, as sketches that one
program wrote are merged by another), so what cannot matter is known without asking the sketch for each value.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from blake3 import blake3

__all__ = ["byte_keys", "hash_keys"]

_BLOCK = 8_192  # what a block needs fits the processor's first caches
_SEED = 9001  # the library's own
_LONGEST = 256
_WORD = 8


def hash_keys(keys: np.ndarray) -> np.ndarray:
    """Return the 63-bit hashes of n 64-bit integers: MurmurHash3 (x64, 128 bits, its first half), the seed 9001.

    Args:
        keys: n uint64.

    Returns:
        n uint64, each the upper 63 bits of a hash.
    """
    hashes = np.empty(keys.size, np.uint64)
    scratch = np.empty(min(_BLOCK, keys.size), np.uint64)
    for start in range(0, keys.size, _BLOCK):
        block = keys[start : start + _BLOCK]
        _hash_block(block, hashes[start : start + block.size], scratch[: block.size])
    return hashes


def _hash_block(keys: np.ndarray, first: np.ndarray, scratch: np.ndarray) -> None:
    """Write the hashes of a block of keys to `first`."""
    u = np.uint64
    np.multiply(keys, u(0x87C37B91114253D5), out=first)
    np.right_shift(first, u(33), out=scratch)
    np.left_shift(first, u(31), out=first)
    np.bitwise_or(first, scratch, out=first)
    np.multiply(first, u(0x4CF5AD432745937F), out=first)
    np.bitwise_xor(first, u(_SEED ^ _WORD), out=first)
    np.add(first, u(_SEED ^ _WORD), out=first)
    second = first + u(_SEED ^ _WORD)
    for half in (first, second):
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            np.right_shift(half, u(33), out=scratch)
            np.bitwise_xor(half, scratch, out=half)
            np.multiply(half, u(factor), out=half)
        np.right_shift(half, u(33), out=scratch)
        np.bitwise_xor(half, scratch, out=half)
    np.add(first, second, out=first)
    np.right_shift(first, u(1), out=first)


def byte_keys(values: pa.Array) -> np.ndarray:
    """Return a 64-bit key for each of n texts or byte strings, none of them null.

    Those of up to 256 bytes are hashed side by side, by MurmurHash64A (https://github.com/aappleby/smhasher) with the
    seed 0; of longer ones the first 8 bytes of the BLAKE3 digest are the key.

    Args:
        values: an array of strings or binaries, large or of fixed size too, but no views.

    Returns:
        n uint64.
    """
    starts, lengths, data = _layout(values)
    keys = np.empty(len(values), np.uint64)
    long = lengths > _LONGEST
    if long.any():
        for index in np.flatnonzero(long).tolist():
            start = int(starts[index])
            digest = blake3(data[start : start + int(lengths[index])].tobytes()).digest(_WORD)
            keys[index] = int.from_bytes(digest, "little")
        short = np.flatnonzero(~long)
        keys[short] = _murmur(starts[short], lengths[short], data)
        return keys
    return _murmur(starts, lengths, data)


def _layout(values: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each value begins, how many bytes it has, and the bytes of all."""
    count, buffers = len(values), values.buffers()
    data = np.empty(0, np.uint8) if buffers[-1] is None else np.frombuffer(buffers[-1], np.uint8)
    if pa.types.is_fixed_size_binary(values.type) or pa.types.is_decimal(values.type):
        width = values.type.byte_width
        starts = np.arange(values.offset, values.offset + count, dtype=np.int64) * width
        return starts, np.full(count, width, np.int64), data
    wide = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    if not count:
        return np.empty(0, np.int64), np.empty(0, np.int64), data
    offsets = np.frombuffer(buffers[1], np.int64 if wide else np.int32)[values.offset : values.offset + count + 1]
    offsets = offsets.astype(np.int64, copy=False)
    return offsets[:-1], np.diff(offsets), data


def _murmur(starts: np.ndarray, lengths: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return MurmurHash64A of byte strings, the longest first so that those that go on are always in front."""
    u = np.uint64
    factor = u(0xC6A4A7935BD1E995)
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    hashes = lengths.astype(np.uint64) * factor
    for first, count in _words(lengths):
        word = _word_at(data, starts[:count] + first)
        word *= factor
        word ^= word >> u(47)
        word *= factor
        hashes[:count] ^= word
        hashes[:count] *= factor
    rest = lengths % _WORD
    ragged = np.flatnonzero(rest)
    if ragged.size:
        word = _word_at(data, starts[ragged] + (lengths - rest)[ragged])
        word &= (u(1) << (rest[ragged].astype(np.uint64) * u(8))) - u(1)
        hashes[ragged] = (hashes[ragged] ^ word) * factor
    hashes ^= hashes >> u(47)
    hashes *= factor
    hashes ^= hashes >> u(47)
    keys = np.empty_like(hashes)
    keys[order] = hashes
    return keys


def _words(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield where each whole word begins, and how many of the strings, the longest first, have it."""
    longest = int(lengths[0]) if lengths.size else 0
    for first in range(0, longest - _WORD + 1, _WORD):
        yield first, int(np.searchsorted(-lengths, -(first + _WORD), side="right"))


def _word_at(data: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the little-endian words that begin at any byte; what lies past the end of the data is zero."""
    word = np.zeros(starts.size, np.uint64)
    inside = data.size - (_WORD - 1)
    if inside > 0:
        words = np.ndarray((inside,), "<u8", buffer=data, strides=(1,))
        whole = starts < inside
        if whole.all():
            return np.asarray(words[starts], np.uint64)
        word[whole] = words[starts[whole]]
    for index in np.flatnonzero(starts >= inside).tolist():  # those that end with the data: few
        word[index] = int.from_bytes(data[int(starts[index]) :][:_WORD].tobytes(), "little")
    return word
