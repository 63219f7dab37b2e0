"""Digests of NumPy arrays: dtype, shape and values, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference_digest import reference_array

from mlotel.hashing import fingerprint
from mlotel.model import Fingerprint

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)
DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="<"),
    hnp.unsigned_integer_dtypes(endianness="<"),
    hnp.datetime64_dtypes(endianness="<"),
    hnp.timedelta64_dtypes(endianness="<"),
    hnp.unicode_string_dtypes(endianness="<", max_len=4),
    hnp.byte_string_dtypes(max_len=4),
)


@settings(deadline=None, max_examples=200)
@given(array=DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
def test_an_array_has_the_documented_digest_in_any_memory_layout(array: Any) -> None:
    """Memory order, strides, byte order and read-only views do not count."""
    expected = reference_array(array.dtype.str[1:], array.shape, array.tobytes())
    spread = np.empty(tuple(2 * n for n in array.shape), array.dtype)[(..., *[slice(None, None, 2)] * array.ndim)]
    spread[...] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    flipped = np.flip(np.flip(array).copy())
    layouts = [array, array.copy("F"), spread, array.astype(array.dtype.newbyteorder(">")), frozen, flipped]
    assert {fingerprint(layout).digest for layout in layouts} == {expected}


@settings(deadline=None, max_examples=100)
@given(array=hnp.arrays(st.sampled_from(["<f2", "<f4", "<f8", "<c8", "<c16"]), SHAPES))
def test_floats_differ_by_value_alone(array: Any) -> None:
    """Every NaN is one value, whatever its sign and payload; -0.0 is not 0.0."""
    parts = array.reshape(-1).copy().view(f"<f{array.dtype.itemsize // (2 if array.dtype.kind == 'c' else 1)}")
    canonical = parts.copy()
    canonical[np.isnan(parts)] = np.frombuffer(
        {2: b"\0\x7e", 4: b"\0\0\xc0\x7f", 8: bytes(6) + b"\xf8\x7f"}[parts.itemsize], parts.dtype
    )[0]
    expected = reference_array(array.dtype.str[1:], array.shape, canonical.tobytes())
    assert fingerprint(array).digest == expected


def test_signs_of_zero_and_nan() -> None:
    """The two zeros are two values, the two NaN are one."""
    digests = [fingerprint(np.array([1.0, v])).digest for v in (0.0, -0.0, np.nan, -np.nan, np.inf)]
    assert len(set(digests)) == 4
    assert digests[2] == digests[3]


def test_shape_and_dtype_count() -> None:
    """The same bytes in another shape or of another dtype are another array."""
    base = np.zeros(8, "<i4")
    arrays = [
        base,
        base.reshape(2, 4),
        base.reshape(4, 2),
        base.view("<u4"),
        base.view("<f4"),
        base.view("<i8"),
        base[None],
    ]
    assert len({fingerprint(array).digest for array in arrays}) == len(arrays)


def test_padding_of_structured_arrays_does_not_count() -> None:
    """Records are hashed field by field, so that bytes between fields are no content; field names are."""
    padded = np.dtype([("a", "u1"), ("b", "<f8"), ("c", "<i2", (2,))], align=True)
    zeros, ones = (np.frombuffer(bytearray([fill]) * padded.itemsize * 3, padded).copy() for fill in (0, 255))
    for array in (zeros, ones):
        array["a"], array["b"], array["c"] = 1, 2.5, [[1, 2]] * 3
    packed = np.zeros(3, [("a", "u1"), ("b", "<f8"), ("c", "<i2", (2,))])
    for name in "abc":
        packed[name] = zeros[name]
    renamed = packed.astype([("a", "u1"), ("b", "<f8"), ("d", "<i2", (2,))])
    digests = [fingerprint(array).digest for array in (zeros, ones, packed, renamed)]
    assert digests[0] == digests[1] == digests[2] != digests[3]


def test_large_arrays_in_any_order_agree() -> None:
    """Arrays of many blocks have one digest in C and Fortran order, transposed and sliced."""
    array = np.random.default_rng(1).standard_normal((700, 333))
    expected = reference_array("f8", array.shape, array.tobytes())
    wide = np.zeros((700, 999))
    wide[:, ::3] = array
    for layout in (array, np.asfortranarray(array), array.T.copy().T, wide[:, ::3], array.astype(">f8")):
        assert fingerprint(layout).digest == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(3), Fingerprint(scope="logical", type="dataset", size=24, rows=3, columns=1)),
        (np.zeros((3, 4), "i1"), Fingerprint(scope="logical", type="dataset", size=12, rows=3, columns=4)),
        (np.zeros((2, 3, 4), "?"), Fingerprint(scope="logical", type="dataset", size=24, rows=2)),
        (np.zeros((0, 4)), Fingerprint(scope="logical", type="dataset", size=0, rows=0, columns=4, empty=True)),
        (np.array(1.5), Fingerprint(scope="logical", type="dataset", size=8)),
    ],
)
def test_rows_and_columns_are_told(array: Any, expected: Fingerprint) -> None:
    """A vector is one column, a matrix has columns, more axes have rows alone."""
    found = fingerprint(array)
    assert f"{found.digest}".startswith("blake3:")
    assert found == Fingerprint(
        digest=found.digest,
        scope=expected.scope,
        type=expected.type,
        size=expected.size,
        rows=expected.rows,
        columns=expected.columns,
        empty=expected.empty,
    )


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([object(), 1]), "Python objects"),
        (np.zeros(2, [("a", "O")]), "Python objects"),
        (np.zeros(2, np.longdouble), "padding"),
        (np.ma.masked_array([1, 2], [True, False]), "masked"),
    ],
)
def test_arrays_without_stable_bytes_get_a_note(array: Any, words: str) -> None:
    """Objects, extended precision and masked values have no digest, and the note says why."""
    found = fingerprint(array)
    assert found.digest is None
    assert words in f"{found.note}"
    assert found.rows == 2
