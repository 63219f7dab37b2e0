"""What a record's key is called on disk and on spans: a hash of 64 bits, keyed with the user's secret or the store's.

Without a secret anyone can hash a guess: such a hash finds a record and hides nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from blake3 import blake3

from mlotel.store.journal import make_private, private

__all__ = [
    "IN_CLEAR",
    "MOST_CHARACTERS",
    "SECRET_FILE",
    "SECRET_VARIABLE",
    "RecordKeys",
    "hashes",
    "key_text",
    "make_secret_of_store",
    "secret_of",
    "secret_of_store",
]

MOST_CHARACTERS = 1000
"""Characters of a key that are kept beside its hash, which is that of all of them."""

SECRET_VARIABLE = "MLOTEL_RECORD_KEY_SECRET"
IN_CLEAR = "none"
"""What that variable says where keys are to be kept in clear."""
SECRET_FILE = "record.key"
"""The file, in the folder of a store, of the secret that its keys are hashed with where the user has none."""

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
    said = environment.get(SECRET_VARIABLE, "")
    return None if said == IN_CLEAR else said.encode("utf-8", "surrogateescape") or None


def secret_of_store(root: Path) -> bytes | None:
    """Return the secret that the store at `root` made for itself, None where it has none or cannot be read."""
    try:
        with open(root / SECRET_FILE, "rb") as file:
            return file.read(1000) or None
    except OSError:
        return None


def make_secret_of_store(root: Path) -> bytes:
    """Return the secret of the store at `root`, made now if there is none: the same one to all processes.

    Raises OSError.
    """
    known = secret_of_store(root)
    if known is not None:
        return known
    make_private(root)
    draft = f"{root / SECRET_FILE}.{os.urandom(4).hex()}"
    try:
        with open(draft, "xb", opener=private) as file:
            file.write(os.urandom(32).hex().encode())
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(draft, root / SECRET_FILE)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)
    return secret_of_store(root) or b""


class RecordKeys:
    """Hashes keys, with a secret or without. It neither shows the secret nor keeps it, but only what is made of it.

    Args:
        secret: the secret, or what returns it when the first key comes; None for none.
    """

    __slots__ = ("_ask", "_key")

    def __init__(self, secret: bytes | Callable[[], bytes] | None = None) -> None:
        self._ask = secret if callable(secret) else None
        self._key = None if secret is None or callable(secret) else _derived(secret)

    @property
    def secret(self) -> bool:
        """Whether keys are hashed with a secret, so that they must not stand anywhere in clear."""
        return self._key is not None or self._ask is not None

    def hash(self, key: str) -> int:
        """Return the hash of a key's text as an unsigned integer of 64 bits. Raises OSError: there is no secret."""
        ask = self._ask
        if ask is not None:
            self._key = _derived(ask())
            self._ask = None
        data = key.encode()
        hasher = blake3(_UNKEYED + data) if self._key is None else blake3(data, key=self._key)
        return int.from_bytes(hasher.digest(length=8), "big")


def _derived(secret: bytes) -> bytes:
    return blake3(secret, derive_key_context=_CONTEXT).digest()


def hashes(key: str, *known: bytes | None) -> tuple[str, ...]:
    """Return the hashes (16 hex digits) by which a key may be on record: with each secret, and without any."""
    text = key_text(key)
    if text is None:
        return ()
    ways = (*(RecordKeys(each) for each in dict.fromkeys(known) if each), RecordKeys())
    return tuple(f"{way.hash(text):016x}" for way in ways)
