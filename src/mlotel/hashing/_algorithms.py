"""The two hash functions and how a digest is written: ``blake3:<hex>`` or ``sha256:<hex>``, 32 bytes either way."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, Self

from blake3 import blake3

from mlotel.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Hasher", "NewHasher", "content_digest", "digest_manifest", "framed", "new_hasher", "written"]

_ALGORITHMS = ("blake3", "sha256")


class Hasher(Protocol):
    """What a hash object must offer here; `hashlib` objects and `blake3` both do."""

    def update(self, data: Buffer, /) -> object:
        """Append bytes to the content."""
        ...

    def digest(self) -> bytes:
        """The 32 bytes of the digest so far."""
        ...

    def copy(self) -> Self:
        """A second hash object in the same state."""
        ...


NewHasher = Callable[[], Hasher]


def new_hasher(algorithm: str) -> NewHasher:
    """Return the constructor of `algorithm`'s hash objects: ``blake3`` or ``sha256``.

    Raises:
        ConfigurationError: for any other name.
    """
    if algorithm == "blake3":
        return blake3
    if algorithm == "sha256":
        return hashlib.sha256
    raise ConfigurationError(f"unknown digest algorithm {algorithm!r}: use one of {', '.join(_ALGORITHMS)}")


def written(algorithm: str, digest: bytes) -> str:
    """Return a digest as text that says its algorithm."""
    return f"{algorithm}:{digest.hex()}"


def content_digest(data: Buffer, algorithm: str = "blake3") -> str:
    """Return the digest of plain bytes: nothing is added, so that other tools compute the same one."""
    hasher = new_hasher(algorithm)()
    hasher.update(data)
    return written(algorithm, hasher.digest())


def framed(data: bytes) -> bytes:
    """Return `data` behind its length (8 bytes, little-endian), so that two neighbours cannot run together."""
    return struct.pack("<Q", len(data)) + data


def digest_manifest(entries: Iterable[tuple[str, str | None]], *, algorithm: str = "blake3") -> str:
    """Return the digest of a set of artifacts, given as (name, digest) pairs; their order does not matter.

    Args:
        entries: names and written digests; an artifact without a digest counts as one whose digest is empty.
        algorithm: ``blake3`` or ``sha256``.

    Raises:
        ConfigurationError: if the algorithm is unknown.
    """
    pairs = sorted((name.encode(errors="surrogatepass"), (digest or "").encode()) for name, digest in entries)
    hasher = new_hasher(algorithm)()
    hasher.update(b"mlotel.manifest.v1\0" + struct.pack("<Q", len(pairs)))
    for name, digest in pairs:
        hasher.update(framed(name) + framed(digest))
    return written(algorithm, hasher.digest())
