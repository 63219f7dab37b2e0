"""The digest of a NumPy array: dtype, shape and values in C order, whatever its memory order, strides or byte order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mlotel.hashing._algorithms import Hasher, NewHasher, framed, new_hasher, written
from mlotel.hashing._streams import octets, one_nan
from mlotel.model import Fingerprint

__all__ = ["array_digest", "array_note", "fingerprint_array"]

_BLOCK = 32_768


def array_note(array: NDArray[Any]) -> str | None:
    """Say why an array's values have no stable bytes, or None if they do."""
    if isinstance(array, np.ma.MaskedArray):
        return "no digest: a masked array hides values that are still there; log its filled form"
    return _dtype_note(array.dtype)


def _dtype_note(dtype: np.dtype[Any]) -> str | None:
    if dtype.hasobject:
        return "no digest: an array of Python objects has no stable bytes"
    if dtype.names is not None:
        notes = (_dtype_note(dtype[name]) for name in dtype.names)
        return next((note for note in notes if note is not None), None)
    if dtype.subdtype is not None:
        return _dtype_note(dtype.subdtype[0])
    if dtype.kind in "fc" and dtype.itemsize > (8 if dtype.kind == "f" else 16):
        return f"no digest: {dtype.name} has padding that differs between machines"
    if dtype.kind not in "biufcmMSUV":
        return f"no digest: arrays of {dtype.name} have no stable bytes"
    return None


def array_digest(array: NDArray[Any], new: NewHasher) -> bytes:
    """Return the 32 bytes of the digest of an array that has one (`array_note` is None)."""
    array = np.asarray(array)
    hasher = new()
    hasher.update(b"mlotel.array.v1\0" + framed(_dtype_name(array.dtype).encode()))
    hasher.update(struct.pack("<Q", array.ndim) + b"".join(struct.pack("<Q", n) for n in array.shape))
    _feed(hasher, array, new)
    return hasher.digest()


def _dtype_name(dtype: np.dtype[Any]) -> str:
    if dtype.names is not None:
        inner = "".join(f"{len(name.encode())}:{name}={_dtype_name(dtype[name])}," for name in dtype.names)
        return f"struct({inner})"
    if dtype.subdtype is not None:
        return f"array({_dtype_name(dtype.subdtype[0])},{dtype.subdtype[1]})"
    return dtype.str[1:]


def _feed(hasher: Hasher, array: NDArray[Any], new: NewHasher) -> None:
    if array.dtype.names is not None:
        # Field by field: the padding between fields is no content.
        for name in array.dtype.names:
            hasher.update(array_digest(array[name], new))
        return
    if array.dtype.itemsize == 0:
        return
    for block in _blocks(array):
        hasher.update(octets(_canonical(block)))


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    target = array.dtype.newbyteorder("<")
    if array.flags.c_contiguous and array.dtype == target:
        flat = array.reshape(-1)
        for start in range(0, len(flat), _BLOCK):
            yield flat[start : start + _BLOCK]
    elif array.size:
        with np.nditer(
            [array],
            flags=["external_loop", "buffered"],
            op_flags=cast("Any", [["readonly", "contig"]]),  # NumPy's stubs misspell "contig"
            op_dtypes=[target],
            order="C",
            casting="equiv",
            buffersize=_BLOCK,
        ) as pieces:
            yield from pieces


def _canonical(block: NDArray[Any]) -> NDArray[Any]:
    dtype = block.dtype
    if dtype.kind == "c":
        block = block.view(f"<f{dtype.itemsize // 2}")
        dtype = block.dtype
    if dtype.kind == "f":
        return one_nan(block.view(f"<u{dtype.itemsize}"))
    return block.view(np.uint8)


def fingerprint_array(array: NDArray[Any], *, algorithm: str) -> Fingerprint:
    """Return an array's fingerprint; a vector is one column, a matrix has its second axis as columns."""
    rows = array.shape[0] if array.ndim else None
    columns = None if array.ndim not in (1, 2) else (1 if array.ndim == 1 else array.shape[1])
    note = array_note(array)
    digest = None if note is not None else written(algorithm, array_digest(array, new_hasher(algorithm)))
    return Fingerprint(
        digest=digest,
        scope="logical",
        type="dataset",
        size=array.nbytes,
        rows=rows,
        columns=columns,
        empty=array.size == 0,
        note=note,
    )
