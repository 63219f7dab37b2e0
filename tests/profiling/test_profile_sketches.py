"""The sketches, their hashes and what they take from a file."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import datasketches
import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from murmur import murmur

from mlotel.profiling._hashes import byte_keys, hash_keys
from mlotel.profiling._sketches import DistinctSketch, FrequentSketch, QuantileSketch


@given(keys=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50, unique=True))
def test_hashes_are_the_librarys_own(keys: list[int]) -> None:
    """A sketch that is large enough lists all hashes of what it was given."""
    array = np.array(keys, np.uint64)
    sketch = datasketches.update_theta_sketch(12)
    for key in array.view(np.int64).tolist():
        sketch.update(key)
    assert sorted(hash_keys(array).tolist()) == sorted(int(each) for each in sketch.compact())


def test_hashes_of_many_keys_are_those_of_each() -> None:
    """They are made in blocks, which does not show."""
    keys = np.random.default_rng(1).integers(0, 2**63, 20_001).astype(np.uint64)
    whole = hash_keys(keys)
    for index in (0, 8_191, 8_192, 16_384, 20_000):
        assert hash_keys(keys[index : index + 1])[0] == whole[index]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@settings(max_examples=60)
@given(values=st.lists(st.binary(max_size=40), max_size=20), skipped=st.integers(0, 3))
def test_keys_of_bytes_are_murmurs(kind: pa.DataType, values: list[bytes], skipped: int) -> None:
    """Whatever lies next to them in memory, in slices too."""
    found = byte_keys(pa.array(values, kind).slice(skipped))
    assert found.tolist() == [murmur(value) for value in values[skipped:]]


def test_keys_of_long_bytes_are_of_their_digests() -> None:
    """From 257 bytes on, and the rest of the batch as ever."""
    values = [b"x" * 256, b"y" * 257, b"z" * 100_000, b""]
    expected = [
        murmur(value) if len(value) < 257 else int.from_bytes(blake3(value).digest(8), "little") for value in values
    ]
    assert byte_keys(pa.array(values, pa.binary())).tolist() == expected


def test_keys_of_values_of_fixed_size_are_murmurs() -> None:
    """Bytes and decimals, in slices too."""
    values = [b"abc", b"def", b"\0\0\0"]
    assert byte_keys(pa.array(values, pa.binary(3)).slice(1)).tolist() == [murmur(value) for value in values[1:]]


@pytest.mark.parametrize("count", [0, 1, 255, 257, 4_000, 200_000])
def test_a_distinct_sketch_is_what_the_library_makes_of_the_smallest_hashes(count: int) -> None:
    """What is kept from it is what it would have thrown away: its hashes are the smallest of all."""
    keys = np.random.default_rng(count).integers(0, 2**63, count).astype(np.uint64)
    sketch = DistinctSketch()
    for start in range(0, count, 131_072):
        sketch.add(keys[start : start + 131_072])
    kept = sorted(int(each) for each in sketch._sketch.compact())
    assert kept == sorted(hash_keys(keys).tolist())[: len(kept)]
    assert len(kept) >= min(count, 4_096)


@given(
    batches=st.lists(st.lists(st.integers(0, 3_000), max_size=2_000), min_size=1, max_size=4), seed=st.integers(0, 9)
)
@settings(max_examples=30)
def test_frequencies_lie_between_their_bounds(batches: list[list[int]], seed: int) -> None:
    """Batches with more different texts than the sketch holds are thinned out first, which the bounds know."""
    sketch, truth = FrequentSketch(), np.zeros(5_000, np.int64)
    heavy = np.random.default_rng(seed).integers(0, 5_000, 3_000)
    for batch in [*batches, heavy.tolist()]:
        values, counts = np.unique(np.array(batch, np.int64), return_counts=True)
        chosen = sketch.choose(counts)
        sketch.add(map(str, values[chosen].tolist()), counts[chosen].tolist())
        np.add.at(truth, values, counts)
    found = {int(each.value): each for each in sketch.most()}
    assert all(each.lower <= truth[value] <= each.upper for value, each in found.items())
    assert all(count <= 2 * sketch.error for value, count in enumerate(truth) if value not in found)


def quantiles(count: int) -> QuantileSketch:
    sketch = QuantileSketch()
    sketch.add(np.random.default_rng(count).standard_normal(count))
    return sketch


def distinct(count: int) -> DistinctSketch:
    sketch = DistinctSketch()
    sketch.add(np.arange(count, dtype=np.uint64))
    return sketch


def frequent(count: int) -> FrequentSketch:
    sketch = FrequentSketch()
    sketch.add([f"wört {index}" for index in range(count)], [1 + index % 7 for index in range(count)])
    return sketch


def read_frequent(data: bytes) -> FrequentSketch:
    return FrequentSketch.from_bytes(data, 3)


KINDS: list[tuple[Callable[[int], Any], Callable[[bytes], Any]]] = [
    (quantiles, QuantileSketch.from_bytes),
    (distinct, DistinctSketch.from_bytes),
    (frequent, read_frequent),
]


def told(sketch: Any) -> Any:
    """What a sketch tells."""
    if isinstance(sketch, QuantileSketch):
        return sketch.count, sketch.rank_error, sketch.quantiles([0.1, 0.5, 0.9]) if sketch.count else []
    if isinstance(sketch, DistinctSketch):
        return sketch.estimate
    return sorted((each.value, each.lower, each.upper - sketch.left_out) for each in sketch.most())


@pytest.mark.parametrize("count", [0, 1, 2, 399, 700, 30_000, 1_000_000])
@pytest.mark.parametrize(("make", "read"), KINDS, ids=["quantiles", "distinct", "frequent"])
def test_sketches_survive_their_bytes(make: Callable[[int], Any], read: Callable[[bytes], Any], count: int) -> None:
    """Of any size, and once merged."""
    sketch = make(min(count, 60_000) if make is frequent else count)
    merged = sketch.merge(make(5))
    if make is not frequent:
        assert told(read(sketch.to_bytes())) == told(sketch)
        assert told(read(merged.to_bytes())) == told(merged)
    else:  # what is left out is told apart, and raises what "for certain" takes
        assert read(sketch.to_bytes()).error == sketch.error + 3
        assert {each.value for each in read(merged.to_bytes()).most()} <= {each.value for each in merged.most()}


@pytest.mark.parametrize(("make", "read"), KINDS, ids=["quantiles", "distinct", "frequent"])
@pytest.mark.parametrize("count", [1, 90, 9_000])
def test_bytes_that_are_no_sketch_are_refused(
    make: Callable[[int], Any], read: Callable[[bytes], Any], count: int
) -> None:
    """Whatever was changed in them, reading ends in a sketch that works or in a ValueError, never in the library."""
    chance = random.Random(count)
    whole = make(count).to_bytes()
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(min(len(data), chance.choice([24, 48, len(data)])))] = chance.choice([0, 1, 127, 255])
        if chance.random() < 0.2:
            data = data[: chance.randrange(len(data))]
        try:
            sketch = read(bytes(data))
        except ValueError:
            refused += 1
        else:
            told(sketch.merge(make(10)))
    assert refused > 100
    for data in (b"", b"\0" * 8, b"\xff" * 64, whole + b"\0", whole[:-1]):
        with pytest.raises(ValueError):
            read(data)


def test_sketches_of_another_size_are_refused() -> None:
    """They would not merge within the bounds that are stated."""
    with pytest.raises(ValueError, match="of this size"):
        QuantileSketch.from_bytes(bytes(datasketches.kll_doubles_sketch(200).serialize()))
    with pytest.raises(ValueError, match="of this size"):
        read_frequent(bytes(datasketches.frequent_strings_sketch(8).serialize()))
    large = datasketches.update_theta_sketch(16)
    for key in range(60_000):
        large.update(key)
    with pytest.raises(ValueError, match="not its hashes"):
        DistinctSketch.from_bytes(bytes(large.compact().serialize()))
