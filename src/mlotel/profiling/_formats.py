"""Checks of serialised sketches, before the library reads them: it trusts its own bytes, and anybody can write a file.

The layouts are those of Apache DataSketches, which sketches of all its languages share. Only what mlotel writes passes:
sketches of one size each, not compressed.
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np

__all__ = ["check_distinct", "check_frequent", "check_quantiles"]

_KLL, _THETA, _FREQUENT = 15, 3, 10  # the library's numbers of its families
_MINIMUM_WIDTH = 8  # of a level of KLL
_MOST_LEVELS = 48
_ORDERED = 0b11010  # read-only, compact, ordered
_EMPTY, _EMPTY_THETA = 0b1, 0b100


def check_quantiles(data: bytes, k: int) -> None:
    """Check a KLL sketch of doubles. Raises ValueError."""
    preamble, version, family, flags, found_k, width = struct.unpack_from("<BBBBHB", _at_least(data, 8))
    _expect(family == _KLL and found_k == k and width == _MINIMUM_WIDTH, "a KLL sketch of this size")
    if flags & _EMPTY:
        _expect(preamble == 2 and version == 1 and len(data) == 8, "an empty sketch")
        return
    if preamble == 2:
        _expect(version == 2 and flags & 0b100 and len(data) == 16, "a sketch of one number")
        _ordered(np.frombuffer(data, "<f8", 1, 8))
        return
    count, smallest_k, levels = struct.unpack_from("<QHB", _at_least(data, 20), 8)
    _expect(preamble == 5 and version == 1 and 1 <= levels <= _MOST_LEVELS and 0 < smallest_k <= k, "levels")
    first_item = 20 + 4 * levels
    starts = [*struct.unpack_from(f"<{levels}I", _at_least(data, first_item), 20), _capacity(k, levels)]
    sizes = [after - before for before, after in pairwise(starts)]
    _expect(min(sizes) >= 0 and len(data) == first_item + 8 * (2 + sum(sizes)), "as many numbers as levels have")
    _expect(count == sum(size << level for level, size in enumerate(sizes)), "a count that goes with the levels")
    numbers = np.frombuffer(data, "<f8", offset=first_item)
    _expect(not np.isnan(numbers).any(), "numbers")
    _ordered(numbers[:2])
    _expect(
        bool((numbers[2:] >= numbers[0]).all() and (numbers[2:] <= numbers[1]).all()), "numbers between the extremes"
    )
    first = 2
    for level, size in enumerate(sizes):
        if level or flags & 0b10:
            _ordered(numbers[first : first + size])
        first += size


def check_distinct(data: bytes, most: int) -> None:
    """Check a compact theta sketch of at most so many hashes. Raises ValueError."""
    preamble, version, family, flags = struct.unpack_from("<BBBxxB", _at_least(data, 8))
    _expect(family == _THETA and version == 3, "a theta sketch")
    if preamble == 1:
        single = len(data) == 16 and not flags & _EMPTY_THETA
        _expect((len(data) == 8 and flags & _EMPTY_THETA) or single, "a sketch of one hash or none")
        hashes, theta = np.frombuffer(data, "<u8", offset=8), 1 << 63
    else:
        _expect(preamble in (2, 3) and not flags & _EMPTY_THETA, "a sketch with hashes")
        (count,) = struct.unpack_from("<I", _at_least(data, 8 * preamble), 8)
        theta = struct.unpack_from("<Q", data, 16)[0] if preamble == 3 else 1 << 63
        _expect(count <= most and len(data) == 8 * (preamble + count), "its hashes")
        _expect(flags & _ORDERED == _ORDERED, "hashes in order")
        hashes = np.frombuffer(data, "<u8", offset=8 * preamble)
    _expect(0 < theta <= 1 << 63, "a threshold")
    _expect(bool((hashes > 0).all() and (hashes < np.uint64(theta)).all()), "hashes below the threshold")
    _expect(bool((hashes[1:] > hashes[:-1]).all()), "hashes in order")


def check_frequent(data: bytes, lg_k: int, capacity: int) -> None:
    """Check a sketch of frequent strings. Raises ValueError."""
    preamble, version, family, found_lg_k, lg_current, flags = struct.unpack_from("<BBBBBB", _at_least(data, 8))
    _expect(family == _FREQUENT and version == 1 and found_lg_k == lg_k, "a sketch of frequent strings of this size")
    _expect(3 <= lg_current <= lg_k, "a table of a size")
    if preamble == 1:
        _expect(len(data) == 8 and flags & 0b101, "an empty sketch")
        return
    count, total, offset = struct.unpack_from("<IxxxxQQ", _at_least(data, 32), 8)
    _expect(preamble == 4 and not flags & 0b101 and 0 < count <= capacity, "strings")
    _expect(4 * count <= 3 << lg_current and offset <= total < 1 << 62, "a table that holds them")
    weights = struct.unpack_from(f"<{count}Q", _at_least(data, 32 + 8 * count), 32)
    _expect(min(weights) > 0 and sum(weights) <= total, "weights that go with the total")
    at, texts = 32 + 8 * count, set()
    for _ in range(count):
        (length,) = struct.unpack_from("<I", _at_least(data, at + 4), at)
        at += 4 + length
        texts.add(_at_least(data, at)[at - length : at].decode())
    _expect(at == len(data) and len(texts) == count, "different strings")


def _capacity(k: int, levels: int) -> int:
    """Return how many numbers a KLL sketch of so many levels has room for, as the library reckons it."""
    room = 0
    for depth in range(levels):
        width = k
        for part in (depth,) if depth <= 30 else (depth // 2, depth - depth // 2):
            width = (((width << 1 << part) // 3**part) + 1) >> 1
        room += max(_MINIMUM_WIDTH, width)
    return room


def _at_least(data: bytes, size: int) -> bytes:
    _expect(len(data) >= size, f"{size} bytes")
    return data


def _ordered(numbers: np.ndarray) -> None:
    _expect(bool((numbers[1:] >= numbers[:-1]).all()) and not np.isnan(numbers).any(), "numbers in order")


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(f"not {what}")
