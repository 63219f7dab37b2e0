"""What a record's key is called on disk and on spans: a hash of 64 bits, keyed with a secret where the user has one.

Without a secret anyone can hash a guess: such a hash finds a record and hides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from blake3 import blake3

__all__ = ["MOST_CHARACTERS", "SECRET_VARIABLE", "RecordKeys", "hashes", "key_text", "secret_of"]

MOST_CHARACTERS = 1000
"""Characters of a key that are kept beside its hash, which is that of all of them."""

SECRET_VARIABLE = "MLOTEL_RECORD_KEY_SECRET"

_UNKEYED = b"mlotel.record.key.v1\0"
_CONTEXT = "mlotel 2026-11-21 hashes of record keys v1"


def key_text(key: object) -> str | None:
    """Return a key as text: what a person types to find it again; None for what is no key (null, NaN, no text).

    Whole floats count as integers, since tables turn integers into floats where one of them is missing.
    """
    if isinstance(key, float):
        if key != key:
            return None
        text = str(int(key)) if key.is_integer() else repr(float(key))
    elif isinstance(key, bytes):
        text = key.decode("utf-8", "backslashreplace")
    else:
        text = "" if key is None else str(key)
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()  # halves of surrogate pairs cannot be written
    return text or None


def secret_of(environment: Mapping[str, str]) -> bytes | None:
    """Return the secret that the environment names, None where it names none."""
    return environment.get(SECRET_VARIABLE, "").encode("utf-8", "surrogateescape") or None


class RecordKeys:
    """Hashes keys, with a secret or without. It neither shows the secret nor keeps it, but only what is made of it."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes | None = None) -> None:
        self._key = None if secret is None else blake3(secret, derive_key_context=_CONTEXT).digest()

    @property
    def secret(self) -> bool:
        """Whether keys are hashed with a secret, so that they must not stand anywhere in clear."""
        return self._key is not None

    def hash(self, key: str) -> int:
        """Return the hash of a key's text as an unsigned integer of 64 bits."""
        data = key.encode()
        hasher = blake3(_UNKEYED + data) if self._key is None else blake3(data, key=self._key)
        return int.from_bytes(hasher.digest(length=8), "big")


def hashes(key: str, secret: bytes | None = None) -> tuple[str, ...]:
    """Return the hashes (16 hex digits) by which a key may be on record: with the secret, and without any."""
    text = key_text(key)
    if text is None:
        return ()
    ways = (RecordKeys(secret), RecordKeys()) if secret else (RecordKeys(),)
    return tuple(f"{way.hash(text):016x}" for way in ways)
